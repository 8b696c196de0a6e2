"""What the server tells of itself: Prometheus metrics, and how far callers' values have drifted."""

import re
from collections.abc import Callable
from functools import partial

import msgspec

from penstock.serving.control import Topic
from penstock.serving.drift import VersionDrift
from penstock.serving.exchange import Exchange
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once, refuse_flat
from penstock.serving.service import Service

__all__ = ["Monitoring"]

_METRICS = frozenset({"/metrics", "/monitoring/prometheus/metrics"})  # the second is TensorFlow Serving's
_DRIFT = re.compile(r"/monitoring/drift(?:/(?P<model>[^/]+))?")
_EXPOSITION = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]


class Monitoring:
    """Owns `/metrics` and `/monitoring/`. The parent has the sums, so an exchange waits until it has sent them."""

    name = "monitoring"

    def __init__(self, service: Service, *, want: Callable[[Topic], None]) -> None:
        """want: asks for what all workers reported, which `tell` gets."""
        self._service = service
        self._want = want
        self._waiting: dict[Topic, list[Callable[[bytes], None]]] = {"metrics": [], "drift": []}

    def owns(self, path: str) -> bool:
        return path in _METRICS or path.startswith("/monitoring/")

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        drift = _DRIFT.fullmatch(path)
        if drift is None and path not in _METRICS:
            raise Refusal(Code.NOT_FOUND, f"there is no {path} here; there are /metrics and /monitoring/drift/MODEL")
        if method not in ("GET", "HEAD"):
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with GET, not {method}")
        if drift is None:
            return Once(partial(self._ask, "metrics", _tell_metrics))
        model = drift["model"]
        if model is not None and self._service.model(model) is None:
            self._service.find(model, None)  # refuses, with a hint
        return Once(partial(self._ask, "drift", partial(_tell_drift, model)))

    def tell(self, topic: Topic, content: bytes) -> None:
        """Answers everyone who waits for it."""
        waiting, self._waiting[topic] = self._waiting[topic], []
        for answer in waiting:
            answer(content)

    def _ask(self, topic: Topic, tell: Callable[[Exchange, bytes], None], exchange: Exchange) -> None:
        waiting = self._waiting[topic]
        waiting.append(partial(tell, exchange))
        if len(waiting) == 1:
            self._want(topic)


def _tell_metrics(exchange: Exchange, content: bytes) -> None:
    exchange.respond(200, content, _EXPOSITION)


def _tell_drift(model: str | None, exchange: Exchange, content: bytes) -> None:
    versions = msgspec.json.decode(content, type=list[VersionDrift])
    wanted = [version for version in versions if model in (None, version.model)]
    exchange.respond(200, msgspec.json.encode({"versions": wanted}))
