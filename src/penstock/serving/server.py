"""The parent of a prediction server: owns the socket, follows the catalog, keeps workers running.

The socket is the parent's, so that requests wait in its backlog while no worker is there, and a worker that dies takes
only the requests it was answering with it.
"""

import logging
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from types import FrameType

from penstock.errors import PenstockError, ServiceError, UsageError
from penstock.serving.catalog import Catalog, CatalogSource
from penstock.serving.control import Channel, Configure, FromWorker, Ready, Refresh, UseCatalog
from penstock.serving.exposure import require_token
from penstock.serving.limits import Limits

__all__ = ["Server", "ServerOptions"]

_BACKLOG = 4096
_LOOK_EVERY_S = 0.25
_STOP_WITHIN_S = 30.0
_FAILED_STARTS = 5
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to serve.

    port: 0 takes a free one.
    token: what callers must send; needed when `host` can be reached from other machines.
    access_log_rate: share of the successful requests that are logged; failures always are.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    workers: int = 1
    token: str | None = None
    access_log_rate: float = 1.0
    limits: Limits = field(default_factory=Limits)


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    channel: Channel[FromWorker]
    started: float
    is_ready: bool = False


class Server:
    """Runs in one thread: `start`, then `run` until a signal or `stop`."""

    def __init__(self, options: ServerOptions, *, ready: Callable[[str], None]) -> None:
        """ready: told the server's URL once requests are answered. Raises UsageError for options that cannot be."""
        require_token(options.host, options.token)
        self._options = options
        self._ready: Callable[[str], None] | None = ready
        self._listener = _bind(options.host, options.port)
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._source: CatalogSource | None = None
        self._catalog: Catalog | None = None
        self._is_stopping = False
        self._failed_starts = 0
        self._start_after = 0.0

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def run(self, open_source: Callable[[], CatalogSource]) -> None:
        """Serves until SIGTERM or SIGINT, then lets open requests finish.

        open_source: opens the catalog, while the first worker is already starting. Raises what it raises, and
        ServiceError when workers cannot start.
        """
        previous = {number: signal.signal(number, self._stop_on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._start_workers()
            self._source = open_source()
            self._publish(self._source.read())
            while not self._is_stopping:
                self._wait(_LOOK_EVERY_S)
                self._start_workers()
                self._follow_catalog()
        finally:
            self._stop_workers()
            if self._source is not None:
                self._source.close()
            self._listener.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Ends `run`."""
        self._is_stopping = True

    def _stop_on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()

    def _follow_catalog(self) -> None:
        assert self._source is not None
        try:
            if self._source.changed():
                self._publish(self._source.read())
        except PenstockError as error:
            _log.warning("the catalog cannot be read, so the last one stays: %s", error)

    def _publish(self, catalog: Catalog) -> None:
        self._catalog = catalog
        for worker in self._workers:
            worker.channel.send(UseCatalog(catalog))

    def _start_workers(self) -> None:
        while len(self._workers) < self._options.workers and monotonic() >= self._start_after:
            ours, theirs = socket.socketpair()
            with theirs:
                fds = (self._listener.fileno(), theirs.fileno())
                command = [sys.executable, "-P", "-m", "penstock.serving.worker", *map(str, fds)]
                process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL)
            worker = _Worker(process, Channel(ours, FromWorker), monotonic())
            self._workers.append(worker)
            self._selector.register(ours, selectors.EVENT_READ, worker)
            worker.channel.send(
                Configure(
                    limits=self._options.limits,
                    token=self._options.token,
                    access_log_rate=self._options.access_log_rate,
                )
            )
            if self._catalog is not None:
                worker.channel.send(UseCatalog(self._catalog))

    def _wait(self, timeout_s: float) -> None:
        """Hears what workers say, until one does or the time is up."""
        for key, _ in self._selector.select(timeout_s):
            worker: _Worker = key.data
            message = worker.channel.receive()
            match message:
                case None:
                    self._bury(worker)
                case Ready():
                    worker.is_ready = True
                    self._failed_starts = 0
                    if self._ready is not None:
                        self._ready(self.url)
                        self._ready = None
                case Refresh():
                    self._refresh(worker)

    def _refresh(self, worker: _Worker) -> None:
        """Gives a worker the catalog anew, whether it changed or not."""
        self._follow_catalog()
        if self._catalog is not None:
            worker.channel.send(UseCatalog(self._catalog))

    def _bury(self, worker: _Worker) -> None:
        """Takes a dead worker off the books; another takes its place, later and later when they die at birth."""
        self._selector.unregister(worker.channel)
        worker.channel.close()
        self._workers.remove(worker)
        status = worker.process.wait()
        if self._is_stopping:
            return
        _log.warning("worker %d ended with status %d; starting another", worker.process.pid, status)
        if not worker.is_ready:
            self._failed_starts += 1
            self._start_after = monotonic() + min(0.1 * 2**self._failed_starts, 5.0)
            if self._failed_starts >= _FAILED_STARTS and self._ready is not None:
                raise ServiceError(f"{_FAILED_STARTS} workers ended before they were ready, the last with {status}")

    def _stop_workers(self) -> None:
        self._is_stopping = True
        for worker in self._workers:
            worker.process.terminate()
        until = monotonic() + _STOP_WITHIN_S
        while self._workers and monotonic() < until:
            self._wait(0.1)
        for worker in list(self._workers):
            worker.process.kill()
            self._bury(worker)


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UsageError when the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host} is no address of this machine: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes a free port"
        ) from error
    return listener
