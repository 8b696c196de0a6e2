"""Granian at the port where Ray's HAProxy asks a replica, in the place of the server that Ray starts there.

Ray runs Uvicorn around its own ASGI wrapper: 570 µs of processor time a request with the smallest of models, against 60
for ours. It has no setting for that server, so the function that starts it is exchanged in the replica's process, for
the Ray that `requirements` pins (2.60); where Ray has no such function, its own server answers, through the same core.
"""

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from penstock.serving.exchange import Exchange
from penstock.serving.gateway import Gateway
from penstock.serving.ray_core import ReplicaCore

__all__ = ["DirectServer", "answer_direct_requests"]

_BACKLOG = 4096
_LOOK_EVERY_S = 0.2
_log = logging.getLogger(__name__)


def answer_direct_requests(core: ReplicaCore) -> None:
    """From now on, requests that come straight to this replica's port are read by Granian. Before Ray opens it."""
    from ray.serve._private import replica

    rays = getattr(replica, "start_asgi_http_server", None)
    if rays is None:
        _log.warning("this Ray starts the server of a replica in another way; requests go through its own")
        return

    async def start(app: Any, http_options: Any, *, event_loop: asyncio.AbstractEventLoop, **others: Any) -> Any:
        if http_options.ssl_keyfile or http_options.middlewares or http_options.root_path:
            return await rays(app, http_options, event_loop=event_loop, **others)
        listener = _bind(http_options.host, http_options.port)
        server = DirectServer(core, app, listener, event_loop)
        return event_loop.create_task(server.serve()), server

    replica.start_asgi_http_server = start


class DirectServer:
    """As Ray uses Uvicorn's server: it runs `serve`, and sets `should_exit`."""

    def __init__(
        self, core: ReplicaCore, app: Any, listener: socket.socket, event_loop: asyncio.AbstractEventLoop
    ) -> None:
        """app: Ray's own ASGI application, which answers under `/-/`: the probes of HAProxy."""
        self.should_exit = False
        self._core = core
        self._app = app
        self._listener = listener
        self._event_loop = event_loop
        # Ray scales by the requests that it counts, and these pass it by.
        self._meter = getattr(getattr(app, "__self__", None), "_metrics_manager", None)
        if not hasattr(self._meter, "_num_ongoing_requests"):
            _log.warning("this Ray counts requests in another way; it does not scale by those of this replica")
            self._meter = None
        self._counted = 0

    async def serve(self) -> None:
        """Until Ray wants an end; open requests are finished first."""
        gateway = self._core.gateway(aside=self._take_aside)
        stopped = asyncio.Event()

        def stop() -> None:
            self._event_loop.call_soon_threadsafe(stopped.set)

        self._core.post(lambda: gateway.start(self._listener, stopped=stop))
        try:
            while not self.should_exit:
                self._count(gateway)
                await asyncio.sleep(_LOOK_EVERY_S)
            gateway.drain()
            while gateway.in_flight > 0:
                self._count(gateway)
                await asyncio.sleep(_LOOK_EVERY_S)
        finally:
            gateway.stop()
        await stopped.wait()

    def _count(self, gateway: Gateway) -> None:
        if self._meter is not None:
            now = gateway.in_flight
            self._meter._num_ongoing_requests += now - self._counted
            self._counted = now

    def _take_aside(self, exchange: Exchange) -> bool:
        if not exchange.path.startswith("/-/"):
            return False
        self._event_loop.call_soon_threadsafe(self._ask_ray, exchange)
        return True

    def _ask_ray(self, exchange: Exchange) -> None:
        task = self._event_loop.create_task(self._answer_by_ray(exchange))
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())

    async def _answer_by_ray(self, exchange: Exchange) -> None:
        scope = {"type": "http", "method": exchange.method, "path": exchange.path, "headers": [], "root_path": ""}
        status, parts = 500, []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        try:
            await self._app(scope, receive, send)
        finally:
            exchange.respond(status, b"".join(parts), [("content-type", "text/plain")])
            self._core.post(_nothing)  # the books of a request are closed in the main loop's next turn


def _nothing() -> None:
    pass


def _bind(host: str, port: int) -> socket.socket:
    """Listening. Raises RuntimeError from OSError, by which Ray knows to try another port."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        with suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise RuntimeError(f"cannot listen on {host} port {port}") from error
    return listener
