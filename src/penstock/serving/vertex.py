"""What Vertex AI expects of a container: predictions and health on the routes that its variables name.

For servers of one model. Bodies are those of the TensorFlow Serving protocol in rows.
"""

from penstock.serving.answers import Answers
from penstock.serving.exchange import Exchange
from penstock.serving.lanes import Lane
from penstock.serving.predicting import ask_to_predict, handler_of
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once, refuse_flat
from penstock.serving.service import Service

__all__ = ["VertexContainer"]


class VertexContainer:
    """Owns the two routes, wherever they lie; so it comes before the protocols with paths of their own."""

    name = "vertex_ai"

    def __init__(self, service: Service, *, predict_route: str | None, health_route: str | None) -> None:
        self._service = service
        self._predict_route = predict_route
        self._health_route = health_route

    def owns(self, path: str) -> bool:
        return path in (self._predict_route, self._health_route)

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        if path == self._predict_route and method == "POST":
            return handler_of(self._service, self, self._service.find_only(), do=self._predict)
        if path == self._health_route and method in ("GET", "HEAD"):
            return Once(lambda exchange: exchange.respond(200, b'{"status":"alive"}'))
        raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is not asked with {method}")

    def _predict(self, lane: Lane, exchange: Exchange) -> None:
        ask_to_predict(lane, exchange, self, rows=_respond)


def _respond(exchange: Exchange, answers: Answers, start: int, stop: int) -> None:
    exchange.respond(200, b'{"predictions": ' + answers.rows(start, stop, bare=True) + b"}")
