"""An OpenAPI document of one model: every way to ask it, its columns, and real rows as examples."""

from typing import Any

from penstock.bundle.manifest import Manifest
from penstock.data.schema import Column, DataType
from penstock.serving.wire_tensors import datatype_of, input_datatype
from penstock.version import __version__

__all__ = ["describe"]

_JSON_TYPES = {
    DataType.INTEGER: "integer",
    DataType.FLOAT: "number",
    DataType.BOOLEAN: "boolean",
    DataType.STRING: "string",
    DataType.TIMESTAMP: "string",
    DataType.IMAGE: "string",
}
_OUTPUT_TYPES = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}


def describe(
    manifest: Manifest, *, model: str, version: int, project: str, samples: tuple[dict[str, Any], ...], has_token: bool
) -> dict[str, Any]:
    """The document, OpenAPI 3.1. samples: instances that become examples. has_token: whether callers need one."""
    at = f"/v1/models/{model}"
    paths = {
        f"{at}:predict": {"post": _predict(manifest, samples)},
        at: {"get": _operation("Versions of the model and their state", "status")},
        f"{at}/metadata": {"get": _operation("The signature (TensorFlow Serving)", "metadata")},
        f"/v1/projects/{project}/models/{model}:predict": {"post": _ml_engine_predict(manifest, samples)},
        f"/v2/models/{model}": {"get": _operation("The signature (Open Inference Protocol)", "v2_metadata")},
        f"/v2/models/{model}/infer": {"post": _infer(manifest, samples)},
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": model,
            "version": str(version),
            "description": _describe_model(manifest, model, version),
            "x-generator": f"penstock {__version__}",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Instance": _instance(manifest),
                "Columns": _columns(manifest),
                "Error": {"type": "object", "required": ["error"], "properties": {"error": {}}},
            }
        },
    }
    if has_token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _describe_model(manifest: Manifest, model: str, version: int) -> str:
    label = manifest.label
    target = f" of {label.name}{f' in {label.unit}' if label.unit else ''}" if label else ""
    maker = f" by {manifest.estimator}" if manifest.estimator else ""
    return f"Version {version} of {model}: {manifest.task.value.replace('_', ' ')}{target}{maker}."


def _instance(manifest: Manifest) -> dict[str, Any]:
    """The schema of a row."""
    signature = manifest.signature
    properties = {column.name: _value(column) for column in signature.inputs}
    properties |= {name: {"description": "accepted and not used"} for name in signature.ignored}
    required = [column.name for column in signature.inputs if not column.nullable]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _columns(manifest: Manifest) -> dict[str, Any]:
    """The schema of rows held by column."""
    schema = _instance(manifest)
    lists = {
        column.name: {"type": "array", "minItems": 1, "items": _value(column)} for column in manifest.signature.inputs
    }
    return schema | {"properties": lists}


def _value(column: Column) -> dict[str, Any]:
    kind = _JSON_TYPES[column.type]
    schema: dict[str, Any] = {"type": [kind, "null"] if column.nullable else kind}
    if column.type is DataType.IMAGE:
        return _photo(column)
    for size in reversed(column.shape):
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema |= {"minItems": size, "maxItems": size}
    if column.type is DataType.TIMESTAMP:
        formats = [*column.formats, "ISO 8601"]
        schema["description"] = f"a timestamp: {' or '.join(formats)}; without an offset in {column.timezone}"
    if column.description or column.unit:
        schema["description"] = " in ".join(filter(None, (column.description or column.name, column.unit)))
    return schema


def _photo(column: Column) -> dict[str, Any]:
    height, width, _ = column.shape
    told = column.description or "a photo"
    return {
        "type": "object",
        "description": f"{told}: a JPEG, PNG or WebP file in base64; it is brought to {height} x {width} pixels",
        "required": ["b64"],
        "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    }


def _predict(manifest: Manifest, samples: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    rows = {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": _list_of({"$ref": "#/components/schemas/Instance"})},
    }
    columns = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"inputs": {"$ref": "#/components/schemas/Columns"}},
    }
    examples = {}
    if samples:
        names = [column.name for column in manifest.signature.inputs]
        examples["rows"] = {"summary": "Rows", "value": {"instances": list(samples)}}
        examples["columns"] = {
            "summary": "Columns",
            "value": {"inputs": {name: [row.get(name) for row in samples] for name in names}},
        }
    outputs = _outputs(manifest)
    a_row = next(iter(outputs.values())) if len(outputs) == 1 else {"type": "object", "properties": outputs}
    answer = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": a_row}, "outputs": {}},
    }
    return _operation("Predict rows or columns (TensorFlow Serving)", "predict", answer) | {
        "requestBody": _body({"oneOf": [rows, columns]}, examples)
    }


def _ml_engine_predict(manifest: Manifest, samples: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    rows = {
        "type": "object",
        "required": ["instances"],
        "properties": {"instances": _list_of({"$ref": "#/components/schemas/Instance"})},
    }
    examples = {"rows": {"value": {"instances": list(samples)}}} if samples else {}
    a_row = {"type": "object", "properties": _outputs(manifest)}
    answer = {"type": "object", "properties": {"predictions": {"type": "array", "items": a_row}}}
    return _operation("Predict rows (ML Engine)", "ml_engine_predict", answer) | {"requestBody": _body(rows, examples)}


def _infer(manifest: Manifest, samples: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"enum": [column.name for column in manifest.signature.inputs]},
            "shape": {
                "type": "array",
                "items": {"type": "integer", "minimum": 0},
                "minItems": 1,
                "maxItems": 1 + max((len(column.shape) or 1 for column in manifest.signature.inputs), default=1),
            },
            "datatype": {"enum": sorted({input_datatype(column.type) for column in manifest.signature.inputs})},
            "data": {"type": "array"},
        },
    }
    request = {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": {"type": "string"}, "inputs": _list_of(tensor)},
    }
    examples = {}
    if samples:
        inputs = [
            {
                "name": column.name,
                "shape": [len(samples), 1],
                "datatype": input_datatype(column.type),
                "data": [row.get(column.name) for row in samples],
            }
            for column in manifest.signature.inputs
        ]
        examples["tensors"] = {"value": {"inputs": inputs}}
    datatypes = sorted({datatype_of(output.dtype) for output in manifest.signature.outputs})
    outputs = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {"datatype": {"enum": datatypes}},
    }
    answer = {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {"outputs": {"type": "array", "items": outputs}},
    }
    return _operation("Infer (Open Inference Protocol, version 2)", "infer", answer) | {
        "requestBody": _body(request, examples)
    }


def _outputs(manifest: Manifest) -> dict[str, Any]:
    """The schema of one row of each output."""
    schemas = {}
    for output in manifest.signature.outputs:
        kind = "string" if output.dtype == "str" else _OUTPUT_TYPES[output.dtype.lstrip("u")[0]]
        schema: dict[str, Any] = {"type": kind}
        for _ in output.shape[1:]:
            schema = {"type": "array", "items": schema}
        schemas[output.name] = schema
    return schemas


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": items}


def _body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if examples:
        content["examples"] = examples
    return {"required": True, "content": {"application/json": content}}


def _operation(summary: str, operation: str, answer: dict[str, Any] | None = None) -> dict[str, Any]:
    """An operation with its answers: errors all look alike."""
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    told = {
        "400": "The request does not fit the model; the message names the instance and the column.",
        "401": "The token is missing or wrong.",
        "404": "There is no such model or version.",
        "413": "The body is too large.",
        "429": "Too many requests wait; Retry-After says when to come back.",
        "503": "The version cannot be loaded.",
        "504": "The request waited for too long.",
    }
    responses: dict[str, Any] = {
        status: {"description": description, "content": error} for status, description in told.items()
    }
    responses["200"] = {
        "description": "The answer.",
        "content": {"application/json": {"schema": answer or {"type": "object"}}},
    }
    return {"operationId": operation, "summary": summary, "responses": responses}
