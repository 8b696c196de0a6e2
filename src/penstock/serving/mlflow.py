"""MLflow's scoring server: `/invocations` in its four JSON forms and CSV, `/ping`, `/health`, `/version`.

For servers of one model. The answer is `{"predictions": [...]}`: one value a row where the model has one output, else
an object a row; what is one number a row is not wrapped in a list.
"""

import csv
import io
from typing import Any

import orjson

from penstock.errors import InstanceError
from penstock.runtime.values import shorten
from penstock.serving.answers import Answers
from penstock.serving.compression import unpacked_body
from penstock.serving.exchange import JSON, Exchange
from penstock.serving.lanes import Ask, Lane
from penstock.serving.predicting import handler_of, list_under, read_object
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once
from penstock.serving.service import Service
from penstock.version import __version__

__all__ = ["MLflow"]

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_ERROR_CODES = {
    Code.NOT_FOUND: "RESOURCE_DOES_NOT_EXIST",
    Code.INVALID_ARGUMENT: "BAD_REQUEST",
    Code.UNAUTHENTICATED: "UNAUTHENTICATED",
    Code.PERMISSION_DENIED: "PERMISSION_DENIED",
    Code.UNAVAILABLE: "TEMPORARILY_UNAVAILABLE",
    Code.RESOURCE_EXHAUSTED: "REQUEST_LIMIT_EXCEEDED",
}
_TEXT = [("content-type", "text/plain")]
_PATHS = frozenset({"/invocations", "/ping", "/health", "/version"})


class MLflow:
    """Owns `/invocations`, `/ping`, `/health` and `/version`."""

    name = "mlflow"

    def __init__(self, service: Service) -> None:
        self._service = service

    def owns(self, path: str) -> bool:
        return path in _PATHS

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        error = {"error_code": _ERROR_CODES.get(refusal.code, "INTERNAL_ERROR"), "message": refusal.message}
        if 400 <= refusal.code.http_status < 500:
            error["error_code"] = _ERROR_CODES.get(refusal.code, "BAD_REQUEST")
        exchange.respond(refusal.code.http_status, orjson.dumps(error), [*JSON, *refusal.headers])

    def route(self, method: str, path: str) -> Handler:
        expected = "POST" if path == "/invocations" else "GET"
        if method != expected:
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with {expected}, not {method}")
        match path:
            case "/invocations":
                return handler_of(self._service, self, self._service.find_only(), do=self._score)
            case "/version":
                return Once(
                    lambda exchange: exchange.respond(200, __version__.encode(), [("content-type", "text/plain")])
                )
            case _:
                return Once(lambda exchange: exchange.respond(200, b"\n"))

    def _score(self, lane: Lane, exchange: Exchange) -> None:
        body = unpacked_body(exchange, limit_bytes=lane.limits.body_bytes)
        content_type = (exchange.header("content-type") or "application/json").partition(";")[0].strip().lower()
        match content_type:
            case "text/csv":
                batch = lane.model.decode(_csv_rows(body))
            case "application/json":
                request = read_object(body)
                forms = [form for form in _FORMS if form in request]
                if len(forms) != 1:
                    raise Refusal(
                        Code.INVALID_ARGUMENT,
                        f"the body has {' and '.join(forms) or 'none'} of {', '.join(_FORMS)}; expected exactly one",
                    )
                batch = (
                    lane.model.decode_columns(request["inputs"])
                    if forms == ["inputs"] and not isinstance(request["inputs"], list)
                    else lane.model.decode(_rows(forms[0], request))
                )
            case _:
                raise Refusal(
                    Code.INVALID_ARGUMENT,
                    f"the content type is {content_type!r}; expected application/json or text/csv",
                )
        lane.ask(Ask(exchange, respond=_respond, refuse=self.refuse, batch=batch))


def _rows(form: str, request: dict[str, Any]) -> list[object]:
    """Instances out of a JSON form. Raises Refusal or InstanceError."""
    if form != "dataframe_split":
        return list_under(form, request, missing=f"Missing {form!r} key")
    split = request[form]
    if not isinstance(split, dict):
        raise Refusal(Code.INVALID_ARGUMENT, f"'dataframe_split' is {shorten(split)}; expected columns and data")
    columns = list_under("columns", split, missing="'dataframe_split' has no 'columns'")
    data = list_under("data", split, missing="'dataframe_split' has no 'data'")
    if not all(isinstance(column, str) for column in columns):
        raise Refusal(Code.INVALID_ARGUMENT, f"the columns are {shorten(columns)}; expected names")
    rows: list[object] = []
    for index, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise InstanceError(
                f"instance {index} is {shorten(row)}; expected a list of {len(columns)} values, one a column",
                index=index,
            )
        rows.append(dict(zip(columns, row, strict=True)))
    return rows


def _csv_rows(body: bytes) -> list[object]:
    """Rows of a CSV whose first line names the columns; an empty cell is missing. Raises Refusal or InstanceError."""
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise Refusal(Code.INVALID_ARGUMENT, f"the CSV is not UTF-8 at byte {error.start}") from None
    except csv.Error as error:
        raise Refusal(Code.INVALID_ARGUMENT, f"the body is not CSV: {error}") from None
    filled = [line for line in lines if line]
    if not filled:
        raise Refusal(Code.INVALID_ARGUMENT, "the CSV is empty; expected a line of column names, then the rows")
    columns, *rows = filled
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise InstanceError(
                f"instance {index} has {len(row)} cells; expected {len(columns)}, one a column", index=index
            )
    return [{column: cell or None for column, cell in zip(columns, row, strict=True)} for row in rows]


def _respond(exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
    exchange.respond(200, b'{"predictions": ' + answers.flattened().rows(start, stop, bare=True) + b"}")
