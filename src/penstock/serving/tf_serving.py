"""TensorFlow Serving's REST API (`/v1/models/…`): predict in rows and columns, status, metadata.

Where it differs from TensorFlow Serving: no version named means the default one, not the newest; `/labels/L` takes a
version's name; null means missing, numbers in strings are numbers, unknown columns are refused in both forms. It has
`:explain` too, which answers as ML Engine's.
"""

import re

import orjson

from penstock.data.schema import DataType
from penstock.errors import did_you_mean
from penstock.serving.answers import Answers
from penstock.serving.catalog import ServedModel, ServedVersion
from penstock.serving.examples import ask_examples
from penstock.serving.exchange import Exchange
from penstock.serving.explaining import Explaining
from penstock.serving.lanes import Lane
from penstock.serving.predicting import SIGNATURE_NAME, OnVersion, ask_to_predict, handler_of
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once, refuse_flat
from penstock.serving.service import Service, Target

__all__ = ["TensorFlowServing"]

_TARGET = r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST_PATH = re.compile(_TARGET + r":(?P<verb>classify|regress|predict|explain)", re.IGNORECASE)
_GET_PATH = re.compile(_TARGET + r"(?P<metadata>/metadata)?", re.IGNORECASE)
_NAMED_VERSION = re.compile(r"/versions/[^/:]*[^0-9/:]")
_INPUT_DTYPES = {
    DataType.INTEGER: "DT_INT64",
    DataType.FLOAT: "DT_DOUBLE",
    DataType.BOOLEAN: "DT_BOOL",
    DataType.STRING: "DT_STRING",
    DataType.TIMESTAMP: "DT_STRING",
    DataType.IMAGE: "DT_UINT8",
}
_OUTPUT_DTYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "str": "DT_STRING"}


class TensorFlowServing:
    """Owns `/v1/`."""

    name = "tensorflow_serving"

    def __init__(self, service: Service, explaining: Explaining) -> None:
        self._service = service
        self._explaining = explaining

    def owns(self, path: str) -> bool:
        return path[:4].lower() == "/v1/"

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        match method:
            case "POST":
                if found := _POST_PATH.fullmatch(path):
                    return self._ask(found)
            case "GET" | "HEAD":
                if found := _GET_PATH.fullmatch(path):
                    return self._metadata(found) if found["metadata"] else self._status(found)
        raise Refusal(Code.INVALID_ARGUMENT, f"Malformed request: {method} {path}{_expected(path)}")

    def _ask(self, path: re.Match[str]) -> Handler:
        verb = path["verb"].lower()

        def predict(lane: Lane, exchange: Exchange) -> None:
            ask_to_predict(lane, exchange, self, rows=_respond_rows, columns=_respond_columns)

        def classify_or_regress(lane: Lane, exchange: Exchange) -> None:
            ask_examples(lane, exchange, self, verb=verb)

        def explain(lane: Lane, exchange: Exchange) -> None:
            self._explaining.ask(lane, exchange, self)

        if verb == "explain":
            return handler_of(self._service, self, self._target(path), do=explain, mirrors=False)
        do = predict if verb == "predict" else classify_or_regress
        return handler_of(self._service, self, self._target(path), do=do)

    def _metadata(self, path: re.Match[str]) -> Handler:
        def tell(lane: Lane, exchange: Exchange) -> None:
            exchange.respond(200, orjson.dumps(_metadata(lane), option=orjson.OPT_INDENT_2))

        return OnVersion(self._service, self, self._target(path), do=tell)

    def _status(self, path: re.Match[str]) -> Handler:
        """The status of the named version, or of all."""
        model = self._service.model(path["model"])
        if model is None or not model.versions:
            raise Refusal(Code.NOT_FOUND, f"Could not find any versions of model {path['model']}{self._hint(path)}")
        if path["version"]:
            number = _int64(path)
            versions = [version for version in model.versions if version.number == number]
            if not versions:
                raise Refusal(Code.NOT_FOUND, f"Could not find version {number} of model {model.name}")
        elif path["label"]:
            versions = [_labelled(model, path["label"])]
        else:
            versions = list(reversed(model.versions))

        def tell(exchange: Exchange) -> None:
            states = [self._state(version) for version in versions]
            exchange.respond(200, orjson.dumps({"model_version_status": states}, option=orjson.OPT_INDENT_2))

        return Once(tell)

    def _state(self, version: ServedVersion) -> dict[str, object]:
        """A version that is registered is available: it is loaded when asked."""
        failure = self._service.failure(version)
        code, message = ("OK", "") if failure is None else (failure.code.rpc_name, failure.message)
        return {
            "version": str(version.number),
            "state": "AVAILABLE" if failure is None else "END",
            "status": {"error_code": code, "error_message": message},
        }

    def _target(self, path: re.Match[str]) -> Target:
        """The version that a path means. Raises Refusal."""
        name = path["model"]
        model = self._service.model(name)
        number = _int64(path) if path["version"] else None
        if model is not None and path["label"]:
            return Target(model, _labelled(model, path["label"]), is_named=True)
        if model is not None:
            wanted = model.default if number is None else number
            for version in model.versions:
                if version.number == wanted:
                    return Target(model, version, is_named=number is not None)
        servable = f"Latest({name})" if number is None else f"Specific({name}, {number})"
        raise Refusal(Code.NOT_FOUND, f"Servable not found for request: {servable}{self._hint(path)}")

    def _hint(self, path: re.Match[str]) -> str:
        model = self._service.model(path["model"])
        if model is not None:
            numbers = ", ".join(str(version.number) for version in model.versions[-20:])
            return f"; model {model.name!r} has the versions {numbers or 'none'}"
        name = path["model"]
        return f"; there is no model {name!r}{did_you_mean(name, self._service.model_names)}"


def _expected(path: str) -> str:
    """What to ask in place of a path that this protocol does not have."""
    if _POST_PATH.fullmatch(path):
        return "; it is asked with POST"
    if _GET_PATH.fullmatch(path):
        return "; it is asked with GET"
    if _NAMED_VERSION.search(path):
        return "; a version is a number here, and /labels/NAME takes its name"
    return ""


def _respond_rows(exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
    exchange.respond(200, b'{"predictions": ' + answers.rows(start, stop, bare=True) + b"}")


def _respond_columns(exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
    exchange.respond(200, b'{"outputs": ' + answers.columns(start, stop) + b"}")


def _int64(path: re.Match[str]) -> int:
    digits = path["version"].lstrip("0") or "0"
    # Counted before they are read: Python refuses to read thousands of digits.
    if len(digits) > 19 or int(digits) >= 2**63:
        version = digits if len(digits) <= 24 else f"{digits[:20]}… ({len(digits):,} digits)"
        raise Refusal(Code.INVALID_ARGUMENT, f"Malformed request: version {version} exceeds 64 bits")
    return int(digits)


def _labelled(model: ServedModel, label: str) -> ServedVersion:
    for version in model.versions:
        if version.name == label:
            return version
    known = [version.name for version in model.versions]
    hint = did_you_mean(label, known) or f"; it has {', '.join(known[-20:]) or 'none'}"
    raise Refusal(
        Code.INVALID_ARGUMENT,
        f"Unrecognized servable version label: {label}; model {model.name!r} has no version {label!r}{hint}",
    )


def _metadata(lane: Lane) -> dict[str, object]:
    signature = lane.model.manifest.signature
    inputs = {
        column.name: _tensor(column.name, _INPUT_DTYPES[column.type], (None, *column.shape))
        for column in signature.inputs
    }
    outputs = {
        output.name: _tensor(output.name, _OUTPUT_DTYPES.get(output.dtype, f"DT_{output.dtype.upper()}"), output.shape)
        for output in signature.outputs
    }
    definition = {
        "inputs": inputs,
        "outputs": outputs,
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return {
        "model_spec": {"name": lane.model_name, "signature_name": "", "version": str(lane.version.number)},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: definition}}},
    }


def _tensor(name: str, dtype: str, shape: tuple[int | None, ...]) -> dict[str, object]:
    dims = [{"size": str(-1 if size is None else size), "name": ""} for size in shape]
    return {"dtype": dtype, "name": f"{name}:0", "tensor_shape": {"dim": dims, "unknown_rank": False}}
