"""The Open Inference Protocol, version 2, over REST, with the binary tensor data extension.

KServe, Triton and MLServer speak it. One tensor a column goes in, `[rows]` or `[rows, 1]`.
"""

import re
from functools import partial
from typing import Any

import orjson
from numpy.typing import NDArray

from penstock.errors import InstanceError
from penstock.runtime.values import shorten
from penstock.serving.answers import Answers
from penstock.serving.compression import unpacked_body
from penstock.serving.exchange import Exchange
from penstock.serving.lanes import Ask, Lane
from penstock.serving.predicting import OnVersion, handler_of, read_object
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once, refuse_flat
from penstock.serving.service import Service
from penstock.serving.wire_tensors import (
    binary_form,
    datatype_of,
    input_datatype,
    json_form,
    read_binary,
    read_json_data,
    sizes_of_shape,
    wire_shape,
)
from penstock.version import __version__

__all__ = ["OpenInference"]

_HEADER_LENGTH = "inference-header-content-length"
_MODEL = re.compile(r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<verb>ready|infer))?")
_EXTENSIONS = ("binary_tensor_data",)


class OpenInference:
    """Owns `/v2`."""

    name = "open_inference"

    def __init__(self, service: Service) -> None:
        self._service = service

    def owns(self, path: str) -> bool:
        return path == "/v2" or path.startswith("/v2/")

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        match method, path.rstrip("/"):
            case "GET", "/v2":
                return _telling({"name": "penstock", "version": __version__, "extensions": _EXTENSIONS})
            case "GET", "/v2/health/live":
                return _telling({"live": True})
            case "GET", "/v2/health/ready":
                return _telling({"ready": True, "live": True})
            case "POST", "/v2/repository/index":
                return _telling(self._index())
        found = _MODEL.fullmatch(path)
        if found is None:
            raise Refusal(Code.NOT_FOUND, f"there is no {method} {path} here; models are under /v2/models/NAME")
        expected = "POST" if found["verb"] == "infer" else "GET"
        if method != expected:
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with {expected}, not {method}")
        target = self._service.find(found["model"], found["version"])
        if found["verb"] == "infer":
            return handler_of(self._service, self, target, do=self._infer)
        do = _tell_ready if found["verb"] else self._tell_metadata
        return OnVersion(self._service, self, target, do=do)

    def _tell_metadata(self, lane: Lane, exchange: Exchange) -> None:
        model = self._service.model(lane.model_name)
        signature = lane.model.manifest.signature
        body = {
            "name": lane.model_name,
            "versions": [str(version.number) for version in model.versions] if model else [],
            "platform": "onnx_onnxv1",
            "inputs": [
                {"name": column.name, "datatype": input_datatype(column.type), "shape": wire_shape(column)}
                for column in signature.inputs
            ],
            "outputs": [
                {
                    "name": output.name,
                    "datatype": datatype_of(output.dtype),
                    "shape": [-1 if size is None else size for size in output.shape],
                }
                for output in signature.outputs
            ],
        }
        exchange.respond(200, orjson.dumps(body))

    def _index(self) -> list[dict[str, str]]:
        return [
            {"name": model.name, "version": str(version.number), **_state(self._service.failure(version))}
            for name in self._service.model_names
            if (model := self._service.model(name))
            for version in model.versions
        ]

    def _infer(self, lane: Lane, exchange: Exchange) -> None:
        body = unpacked_body(exchange, limit_bytes=self._service.limits.body_bytes)
        request, binary = _split(exchange, body)
        batch = lane.model.decode_columns(_inputs(request, binary))
        wanted = _wanted_outputs(request, lane.model.output_names)
        respond = partial(_respond, request.get("id"), wanted)
        lane.ask(Ask(exchange, respond=respond, refuse=self.refuse, batch=batch))


def _telling(body: object) -> Handler:
    return Once(lambda exchange: exchange.respond(200, orjson.dumps(body)))


def _tell_ready(lane: Lane, exchange: Exchange) -> None:
    exchange.respond(200, orjson.dumps({"name": lane.model_name, "ready": True}))


def _state(failure: Refusal | None) -> dict[str, str]:
    return {"state": "READY", "reason": ""} if failure is None else {"state": "UNAVAILABLE", "reason": failure.message}


def _split(exchange: Exchange, body: bytes) -> tuple[dict[str, Any], memoryview]:
    """The JSON part of a body, and the binary part after it."""
    header = exchange.header(_HEADER_LENGTH)
    if header is None:
        return read_object(body), memoryview(b"")
    if not header.isdecimal() or int(header) > len(body):
        raise Refusal(
            Code.INVALID_ARGUMENT,
            f"the header Inference-Header-Content-Length is {shorten(header)}; the body has {len(body)} bytes",
        )
    length = int(header)
    return read_object(body[:length]), memoryview(body)[length:]


def _inputs(request: dict[str, Any], binary: memoryview) -> dict[str, list[Any] | NDArray[Any]]:
    """The values of every input by its name."""
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise Refusal(Code.INVALID_ARGUMENT, "the request has no 'inputs'; expected a list of one tensor a column")
    columns: dict[str, list[Any] | NDArray[Any]] = {}
    position = 0
    for tensor in inputs:
        if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
            raise Refusal(Code.INVALID_ARGUMENT, f"an input is {shorten(tensor)}; expected an object with a name")
        name = tensor["name"]
        if name in columns:
            raise InstanceError(f"input {name!r} is there twice", column=name)
        sizes = sizes_of_shape(name, tensor.get("shape"))
        datatype = str(tensor.get("datatype"))
        size = _parameters(tensor).get("binary_data_size")
        if size is None:
            columns[name] = read_json_data(name, datatype, sizes, tensor.get("data"))
            continue
        if "data" in tensor:
            raise InstanceError(f"input {name!r} has both data and binary_data_size; expected one", column=name)
        if type(size) is not int or not 0 <= size <= len(binary) - position:
            raise InstanceError(
                f"input {name!r} has the binary_data_size {shorten(size)}; {len(binary) - position} bytes are left",
                column=name,
            )
        columns[name] = read_binary(name, datatype, sizes, binary[position : position + size])
        position += size
    if position != len(binary):
        raise Refusal(Code.INVALID_ARGUMENT, f"{len(binary) - position} bytes are left over after the last input")
    return columns


def _wanted_outputs(request: dict[str, Any], known: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Output names in the order asked for, and whether each is to be binary."""
    all_binary = bool(_parameters(request).get("binary_data_output", False))
    outputs = request.get("outputs")
    if not outputs:
        return [(name, all_binary) for name in known]
    if not isinstance(outputs, list):
        raise Refusal(Code.INVALID_ARGUMENT, f"'outputs' is {shorten(outputs)}; expected a list of objects with names")
    wanted = []
    for output in outputs:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in known:
            raise Refusal(
                Code.INVALID_ARGUMENT, f"there is no output {shorten(name)}; the model has {', '.join(known)}"
            )
        wanted.append((name, bool(_parameters(output).get("binary_data", all_binary))))
    return wanted


def _parameters(of: dict[str, Any]) -> dict[str, Any]:
    parameters = of.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


def _respond(
    request_id: object, wanted: list[tuple[str, bool]], exchange: Exchange, answers: Answers, start: int, stop: int
) -> None:
    version = exchange.version
    head: dict[str, Any] = {"model_name": exchange.model_name, "model_version": str(version.number if version else "")}
    if request_id is not None:
        head["id"] = request_id
    described: list[bytes] = []
    binary: list[bytes] = []
    for name, as_binary in wanted:
        array = answers.outputs[name][start:stop]
        datatype = "BYTES" if array.dtype.kind in "OU" else datatype_of(array.dtype.name)
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": array.shape}
        if as_binary:
            data = binary_form(array)
            binary.append(data)
            described.append(orjson.dumps(tensor | {"parameters": {"binary_data_size": len(data)}}))
        else:
            described.append(orjson.dumps(tensor)[:-1] + b',"data":' + json_form(array) + b"}")
    text = orjson.dumps(head)[:-1] + b',"outputs":[' + b",".join(described) + b"]}"
    if not binary:
        exchange.respond(200, text)
    else:
        headers = [("content-type", "application/octet-stream"), (_HEADER_LENGTH, str(len(text)))]
        exchange.respond(200, text + b"".join(binary), headers)
