"""Worker processes: started, spoken to, drained, buried. Decides nothing about how many there should be."""

import logging
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic

import msgspec

from penstock.errors import ServiceError
from penstock.serving.catalog import Catalog
from penstock.serving.control import Channel, Configure, Drain, FromWorker, Ready, ToWorker, UseCatalog, UseGrants
from penstock.serving.reports import Load, Report
from penstock.serving.tokens import Grant

__all__ = ["Worker", "WorkerPool"]

_FAILED_STARTS = 5
_SLOWEST_RESTART_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Worker:
    """A worker as its parent knows it. load: of its last report, None before the first."""

    process: subprocess.Popen[bytes]
    channel: Channel[FromWorker]
    started: float = field(default_factory=monotonic)
    is_ready: bool = False
    is_draining: bool = False
    load: Load | None = None

    def send(self, message: ToWorker) -> None:
        self.channel.send(message)


class WorkerPool:
    """Workers on one listening socket. started, lost: how many so far; lost ones ended on their own."""

    def __init__(self, listener: socket.socket, settings: Configure, selector: selectors.BaseSelector) -> None:
        """selector: worker channels are registered in it, with the `Worker` as data."""
        self._listener = listener
        self._settings = settings
        self._selector = selector
        self._workers: list[Worker] = []
        self._failed_starts = 0
        self._start_after = 0.0
        self._catalog: Catalog | None = None
        self.started = 0
        self.lost = 0

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers))

    @property
    def serving(self) -> list[Worker]:
        """Those that take requests or soon will."""
        return [worker for worker in self._workers if not worker.is_draining]

    @property
    def loads(self) -> list[Load]:
        """Of the workers that take requests and have reported."""
        return [worker.load for worker in self.serving if worker.is_ready and worker.load is not None]

    def scale_to(self, wanted: int, *, linger_s: float) -> None:
        """Starts workers, or drains the youngest, until `wanted` of them serve."""
        serving = self.serving
        while len(serving) < wanted and monotonic() >= self._start_after:
            serving.append(self._start())
        for worker in serving[wanted:]:
            worker.is_draining = True
            worker.send(Drain(linger_s))

    def publish(self, catalog: Catalog) -> None:
        """Has every worker, and every later one, serve this catalog."""
        self._catalog = catalog
        for worker in self._workers:
            worker.send(UseCatalog(catalog))

    def use_grants(self, grants: tuple[Grant, ...]) -> None:
        """Has every worker, and every later one, take these tokens."""
        self._settings = msgspec.structs.replace(self._settings, grants=grants)
        for worker in self._workers:
            worker.send(UseGrants(grants))

    def hear(self, worker: Worker) -> FromWorker | None:
        """A worker's next message; None when it has ended. Raises ServiceError when none gets ready."""
        message = worker.channel.receive()
        match message:
            case None:
                self._bury(worker)
            case Ready():
                worker.is_ready = True
                self._failed_starts = 0
            case Report():
                worker.load = message.load
        return message

    def stop(self, *, within_s: float, each: Callable[[float], None]) -> None:
        """Ends all workers, the open requests finished first. each: waits that long for what they say."""
        for worker in self._workers:
            worker.is_draining = True
            worker.process.terminate()
        until = monotonic() + within_s
        while self._workers and monotonic() < until:
            each(0.1)
        for worker in list(self._workers):
            worker.process.kill()
            self._bury(worker)

    def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            fds = (self._listener.fileno(), theirs.fileno())
            command = [sys.executable, "-P", "-m", "penstock.serving.worker", *map(str, fds)]
            process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL)
        worker = Worker(process, Channel(ours, FromWorker))
        self.started += 1
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        worker.send(self._settings)
        if self._catalog is not None:
            worker.send(UseCatalog(self._catalog))
        return worker

    def _bury(self, worker: Worker) -> None:
        """Takes an ended worker off the books; its successors come later and later when they die at birth."""
        self._selector.unregister(worker.channel)
        worker.channel.close()
        self._workers.remove(worker)
        status = worker.process.wait()
        if worker.is_draining:
            return
        self.lost += 1
        _log.warning("worker %d ended with status %d", worker.process.pid, status)
        if worker.is_ready:
            return
        self._failed_starts += 1
        self._start_after = monotonic() + min(0.1 * 2**self._failed_starts, _SLOWEST_RESTART_S)
        if self._failed_starts >= _FAILED_STARTS and self.lost == self.started:
            raise ServiceError(f"{self.lost} workers ended before they were ready, the last with status {status}")
