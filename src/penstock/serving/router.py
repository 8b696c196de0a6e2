"""Finds the protocol and handler of a request; remembers the answer for paths that predict."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

import orjson

from penstock.errors import PenstockError
from penstock.serving.cors import Cors
from penstock.serving.exchange import JSON, Exchange
from penstock.serving.refusals import Refusal, refusal_of
from penstock.serving.service import Service

__all__ = ["Handler", "Once", "Router", "WireProtocol", "refuse_flat"]

_REMEMBERED = 4096
_log = logging.getLogger(__name__)


class Handler(Protocol):
    """Answers exchanges of one path, now or later. is_lasting: good for every request on that path until the catalog
    changes."""

    is_lasting: bool

    def __call__(self, exchange: Exchange) -> None: ...


class Once:
    """A handler that tells what the catalog says now; the next request is routed anew."""

    is_lasting = False

    def __init__(self, tell: Callable[[Exchange], None]) -> None:
        self._tell = tell

    def __call__(self, exchange: Exchange) -> None:
        self._tell(exchange)


class WireProtocol(Protocol):
    """One family of paths, its request and answer bodies, and the shape of its errors. name: for the metrics."""

    name: str

    def owns(self, path: str) -> bool:
        """Whether this path is of this protocol, if only by its beginning."""
        ...

    def route(self, method: str, path: str) -> Handler:
        """The handler of a path that it owns. Raises Refusal."""
        ...

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Responds with the refusal, in this protocol's shape."""
        ...


def refuse_flat(exchange: Exchange, refusal: Refusal) -> None:
    """Responds with `{"error": "<message>"}`, the shape that most protocols have."""
    exchange.respond(refusal.code.http_status, orjson.dumps({"error": refusal.message}), [*JSON, *refusal.headers])


class Router:
    """Dispatches exchanges. The first protocol that owns a path gets it; the last one owns every path."""

    def __init__(self, service: Service, protocols: Sequence[WireProtocol], cors: Cors) -> None:
        self._service = service
        self._cors = cors
        self._protocols = protocols
        self._known: dict[tuple[str, str], Handler] = {}
        self._catalog_changes = -1

    def dispatch(self, exchange: Exchange) -> None:
        """Has the exchange answered. Never raises."""
        try:
            if exchange.refusal is not None:
                raise exchange.refusal
            if self._catalog_changes != self._service.catalog_changes:
                self._known.clear()
                self._catalog_changes = self._service.catalog_changes
            key = (exchange.method, exchange.path)
            handler = self._known.get(key)
            if handler is None:
                if exchange.method == "OPTIONS":
                    self._cors.preflight(exchange)
                    return
                protocol = self._protocol(exchange.path)
                exchange.protocol = protocol.name
                handler = protocol.route(*key)
                if handler.is_lasting:
                    if len(self._known) >= _REMEMBERED:
                        self._known.clear()
                    self._known[key] = handler
            handler(exchange)
        except Exception as error:
            if not isinstance(error, Refusal | PenstockError):
                _log.exception("%s %s failed", exchange.method, exchange.path)
            self._protocol(exchange.path).refuse(exchange, refusal_of(error))

    def _protocol(self, path: str) -> WireProtocol:
        return next(protocol for protocol in self._protocols if protocol.owns(path))
