"""HTTP requests from Granian to `Exchange`s whose bodies are read. Knows nothing of paths or predictions.

Granian's own RSGI adapter makes an asyncio task a request. This one drives Granian's callbacks directly: they arrive on
Granian's thread, and an exchange is handed on once its body is there. On one core, with 64 connections, that and
`SCHED_BATCH` (see `worker`) took an echo from 27,800 to 68,500 requests a second.
"""

import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from time import monotonic
from typing import Any

from penstock.serving.exchange import Exchange, Headers
from penstock.serving.refusals import Code, Refusal

__all__ = ["Gateway"]


def _load_granian() -> Any:
    """Granian's compiled half alone: its package also imports asyncio and a process manager, a sixth of a start."""
    package = find_spec("granian")
    assert package is not None
    spec = PathFinder.find_spec("granian._granian", package.submodule_search_locations)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class _HTTP1Settings:
    """As `granian.http.HTTP1Settings`. header_read_timeout: milliseconds."""

    header_read_timeout: int
    keep_alive: bool = True
    max_buffer_size: int = 8192 + 4096 * 100
    pipeline_flush: bool = False


_rust = _load_granian()
_log = logging.getLogger(__name__)


class HttpExchange(Exchange):
    """A request that Granian read."""

    held_bytes: int = 0

    def __init__(self, watcher: Any, gateway: "Gateway") -> None:
        scope = watcher.scope
        super().__init__(scope.method, scope.path)
        self._gateway = gateway
        self._watcher = watcher
        self._proto = watcher.proto
        self._scope = scope

    @property
    def client(self) -> str:
        return str(self._scope.client)

    def header(self, name: str) -> str | None:
        value = self._scope.headers.get(name)
        return None if value is None else str(value)

    def _send(self, status: int, body: bytes, headers: Headers) -> None:
        gateway = self._gateway
        gateway.free(self.held_bytes)
        if gateway.is_decorating:
            headers = [*headers, *gateway.extra_headers(self)]
        self._proto.response_bytes(status, headers, body)
        self._watcher.done()
        gateway.answered.append(self)


class Gateway:
    """Accepts on one listening socket and reads requests.

    is_decorating: whether answers get `extra_headers`.
    """

    def __init__(
        self,
        *,
        arrived: Callable[[Exchange], None],
        admit: Callable[[Exchange], Refusal | None],
        body_limit_bytes: int,
        bodies_limit_bytes: int,
        body_timeout_s: float,
        cors: Callable[[Exchange], Headers] | None = None,
        tls: tuple[str | None, str | None] = (None, None),
        connections: int = 4096,
    ) -> None:
        """arrived: called with each exchange, whole or refused, on Granian's thread; it must not block.

        admit: asked before a body is read.
        cors: headers that let a web page read the answer.
        tls: PEM files of the certificate and its key; plain HTTP without.
        body_limit_bytes: of one body. bodies_limit_bytes: of all that are being read or have no answer yet.
        body_timeout_s: how long a caller may take to send the body.
        connections: how many are held at once; more wait in the socket's backlog.
        """
        self._arrived = arrived
        self._admit = admit
        self._body_limit_bytes = body_limit_bytes
        self._bodies_limit_bytes = bodies_limit_bytes
        self._body_timeout_s = body_timeout_s
        self._cors = cors
        self._tls = tls
        self._connections = connections
        self.answered: deque[Exchange] = deque()
        self._held_bytes = 0
        self._counting = Lock()  # bodies come in on threads of Granian's and go on any
        self._taken = 0
        self._gone_away = 0
        self._collected = 0
        self.is_decorating = cors is not None
        self._is_draining = False
        self._listener: socket.socket | None = None
        self._reading: dict[int, HttpExchange] = {}
        self._signal = _rust.WorkerSignal()

    def start(self, listener: socket.socket, *, stopped: Callable[[], None]) -> None:
        """Serves in threads of its own. stopped: called when `stop` was and the last open request has its answer."""
        self._listener = listener
        self._signal.add_cb(stopped)
        worker = _rust.RSGIWorker(
            1,  # worker id
            (None, _rust.SocketHolder(listener.fileno(), False, 1024)),
            None,  # no channel to a Granian parent
            1,  # threads that read and write sockets
            1,  # threads for blocking work of Rust's
            1,  # threads that call Python: what they call only queues
            30,  # seconds an idle one of these lives
            self._connections,
            "1",
            _HTTP1Settings(header_read_timeout=int(self._body_timeout_s * 1000)),
            None,
            False,  # websockets
            None,  # static files
            *(self._tls[0] is not None, *self._tls, None, "tls1.2", None, [], False),
            (None, None),  # metrics
        )
        loop = _InlineLoop()
        worker.serve_str(_Scheduler(loop, self._schedule, None, None, None), loop, self._signal)

    def extra_headers(self, exchange: Exchange) -> Headers:
        """Headers besides those of the answer itself."""
        closing = [("connection", "close")] if self._is_draining else []
        return closing if self._cors is None else [*closing, *self._cors(exchange)]

    @property
    def in_flight(self) -> int:
        """Requests whose headers were read and whose answers were not collected."""
        return self._taken - self._gone_away - self._collected

    def collect(self) -> list[Exchange]:
        """Exchanges that got their answer since the last call, for whoever keeps the books."""
        found = [self.answered.popleft() for _ in range(len(self.answered))]
        self._collected += len(found)
        return found

    def free(self, size_bytes: int) -> None:
        """Told of each body that is held no longer."""
        with self._counting:
            self._held_bytes -= size_bytes

    def drain(self) -> None:
        """Takes no new connection and closes each after its next answer; new ones are left to other processes.

        Granian can only stop accepting by closing connections that wait between two requests, which would fail a
        request that is on its way. So its socket is replaced, under the same file descriptor, by one that nobody knows.
        """
        self._is_draining = True
        self.is_decorating = True
        if self._listener is not None:
            with socket.create_server(("127.0.0.1", 0), backlog=1) as unknown:
                unknown.setblocking(False)
                os.dup2(unknown.fileno(), self._listener.fileno(), inheritable=False)

    def stop(self) -> None:
        """Accepts nothing more, closes connections between two requests, lets open requests finish."""
        self._signal.set()

    def sweep(self) -> None:
        """Refuses requests whose bodies take too long; called about once a second."""
        overdue = monotonic() - self._body_timeout_s
        for exchange in list(self._reading.values()):
            if exchange.started < overdue and self._reading.pop(id(exchange), None) is not None:
                exchange.refusal = Refusal(
                    Code.TIMEOUT, f"the body did not arrive within {self._body_timeout_s:g} seconds"
                )
                self._arrived(exchange)

    def _schedule(self, watcher: Any) -> None:
        """Called by Granian with each request as soon as its headers are read."""
        try:
            self._taken += 1
            exchange = HttpExchange(watcher, self)
            exchange.refusal = self._admit(exchange)
            if exchange.refusal is None and self._read_body(exchange):
                return
            self._arrived(exchange)
        except BaseException:
            # An exception would cross into Rust, which has no use for it.
            _log.exception("a request could not be taken in")
            self._gone_away += 1
            watcher.done()

    def _read_body(self, exchange: HttpExchange) -> bool:
        """Starts reading; False where there is nothing to wait for."""
        headers = exchange._scope.headers
        length = headers.get("content-length")
        if length is None:
            if "transfer-encoding" not in headers:
                return False
            self._reading[id(exchange)] = exchange
            _ChunkReader(exchange, self._body_limit_bytes, self._hold, self._finished).start()
            return True
        size = int(length)
        if size == 0:
            return False
        if size > self._body_limit_bytes:
            exchange.refusal = _too_large(self._body_limit_bytes, f"{size:,} bytes")
            return False
        exchange.refusal = self._hold(exchange, size)
        if exchange.refusal is not None:
            return False
        self._reading[id(exchange)] = exchange

        def read(future: Any) -> None:
            try:
                exchange.body = future.result()
            except BaseException:
                self._gone(exchange)
            else:
                self._finished(exchange)

        exchange._proto().add_done_callback(read)
        return True

    def _hold(self, exchange: HttpExchange, size: int) -> Refusal | None:
        """Counts bytes of a body that are about to be held, until it has its answer; or why they may not be."""
        with self._counting:
            if self._held_bytes + size <= self._bodies_limit_bytes:
                self._held_bytes += size
                exchange.held_bytes += size
                return None
        return Refusal(
            Code.RESOURCE_EXHAUSTED,
            f"with this request, bodies of more than {self._bodies_limit_bytes:,} bytes would wait for their answers "
            "(--max-in-flight-mb); try again",
            retry_after_s=1,
        )

    def _finished(self, exchange: HttpExchange) -> None:
        if self._reading.pop(id(exchange), None) is not None:
            self._arrived(exchange)

    def _gone(self, exchange: HttpExchange) -> None:
        """The caller closed the connection before its body was whole."""
        if self._reading.pop(id(exchange), None) is not None:
            self._gone_away += 1
            self.free(exchange.held_bytes)
            exchange._watcher.done()


class _ChunkReader:
    """Reads a body that does not say how long it is, up to the limit."""

    def __init__(
        self,
        exchange: HttpExchange,
        limit_bytes: int,
        hold: Callable[[HttpExchange, int], Refusal | None],
        finished: Callable[[HttpExchange], None],
    ) -> None:
        """hold: asked before a chunk is kept."""
        self._exchange = exchange
        self._hold = hold
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit_bytes = limit_bytes
        self._finished = finished
        self._source = exchange._proto.__aiter__()

    def start(self) -> None:
        self._source.__anext__().add_done_callback(self._take)

    def _take(self, future: Any) -> None:
        try:
            chunk = future.result()
            self._size += len(chunk)
            refusal = self._hold(self._exchange, len(chunk))
            if self._size > self._limit_bytes:
                refusal = _too_large(self._limit_bytes, "more")
            if refusal is not None:
                self._chunks.clear()
                self._exchange.refusal = refusal
                self._finished(self._exchange)
            else:
                self._chunks.append(chunk)
                self._source.__anext__().add_done_callback(self._take)
        except StopAsyncIteration:
            self._exchange.body = b"".join(self._chunks)
            self._finished(self._exchange)
        except BaseException:
            self._exchange.refusal = Refusal(Code.CANCELLED, "the body broke off")
            self._finished(self._exchange)


class _InlineLoop:
    """Stands where Granian expects an asyncio loop: runs callbacks at once, on Granian's thread."""

    def call_soon_threadsafe(self, callback: Callable[..., None], *args: Any, context: Any = None) -> None:
        callback(*args)

    call_soon = call_soon_threadsafe


class _Scheduler(_rust.CallbackScheduler):  # type: ignore[misc, name-defined]
    def __init__(self, loop: Any, schedule: Callable[[Any], None], *unused: Any) -> None:
        super().__init__()
        self._schedule_fn = schedule


def _too_large(limit_bytes: int, size: str) -> Refusal:
    return Refusal(
        Code.TOO_LARGE,
        f"the body has {size}; at most {limit_bytes:,} bytes are read (--max-body-mb). Send fewer instances a request",
    )
