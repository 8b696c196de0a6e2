"""What the server tells of itself: Prometheus metrics of all workers."""

from collections.abc import Callable

from penstock.serving.gateway import Exchange
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once, refuse_flat

__all__ = ["Monitoring"]

_METRICS = frozenset({"/metrics", "/monitoring/prometheus/metrics"})  # the second is TensorFlow Serving's
_EXPOSITION = [("content-type", "text/plain; version=0.0.4; charset=utf-8")]


class Monitoring:
    """Owns the metrics paths. The parent has the sums, so an exchange waits until it has sent them."""

    name = "monitoring"

    def __init__(self, *, want: Callable[[], None]) -> None:
        """want: asks for the metrics, which `tell` gets."""
        self._want = want
        self._waiting: list[Exchange] = []

    def owns(self, path: str) -> bool:
        return path in _METRICS

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        if method not in ("GET", "HEAD"):
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with GET, not {method}")
        return Once(self._ask)

    def tell(self, text: str) -> None:
        """Answers everyone who waits for the metrics."""
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            exchange.respond(200, text.encode(), _EXPOSITION)

    def _ask(self, exchange: Exchange) -> None:
        self._waiting.append(exchange)
        if len(self._waiting) == 1:
            self._want()
