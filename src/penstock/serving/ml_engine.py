"""ML Engine's online prediction: `projects/P/models/M[/versions/V]:predict` and `:explain`, V a version's name.

Outputs are always objects keyed by output name, and errors objects with code, message and status.
"""

import re

import orjson

from penstock.serving.answers import Answers
from penstock.serving.exchange import JSON, Exchange
from penstock.serving.explaining import Explaining
from penstock.serving.lanes import Lane
from penstock.serving.predicting import ask_to_predict, handler_of
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler
from penstock.serving.service import Service, Target

__all__ = ["MLEngine"]

_PATH = re.compile(
    r"/v1/projects/(?P<project>[^/:]+)/models/(?P<model>[^/:]+)(?:/versions/(?P<version>[^/:]+))?"
    r":(?P<verb>predict|explain)"
)


class MLEngine:
    """Owns `/v1/projects/`."""

    name = "ml_engine"

    def __init__(self, service: Service, explaining: Explaining) -> None:
        self._service = service
        self._explaining = explaining

    def owns(self, path: str) -> bool:
        return path.startswith("/v1/projects/")

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        status = refusal.code.http_status
        error = {"code": status, "message": refusal.message, "status": refusal.code.rpc_name}
        exchange.respond(status, orjson.dumps({"error": error}), [*JSON, *refusal.headers])

    def route(self, method: str, path: str) -> Handler:
        found = _PATH.fullmatch(path)
        if found is None:
            raise Refusal(
                Code.NOT_FOUND,
                f"there is no {path} here; a prediction server answers projects/P/models/M[/versions/V]:predict "
                "and :explain",
            )
        if method != "POST":
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with POST, not {method}")

        def predict(lane: Lane, exchange: Exchange) -> None:
            ask_to_predict(lane, exchange, self, rows=_respond)

        def explain(lane: Lane, exchange: Exchange) -> None:
            self._explaining.ask(lane, exchange, self)

        if found["verb"] == "explain":
            return handler_of(self._service, self, self._target(found), do=explain, mirrors=False)
        return handler_of(self._service, self, self._target(found), do=predict)

    def _target(self, path: re.Match[str]) -> Target:
        """The version that a path means. Raises Refusal."""
        if path["project"] != self._service.project:
            raise Refusal(
                Code.NOT_FOUND,
                f"project {path['project']!r} is not served here; this server has {self._service.project!r}",
            )
        return self._service.find(path["model"], path["version"])


def _respond(exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
    exchange.respond(200, b'{"predictions": ' + answers.rows(start, stop, bare=False) + b"}")
