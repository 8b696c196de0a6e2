"""A worker process: answers the requests of one listening socket until its parent or a signal tells it to stop."""

import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from penstock.serving.control import (
    Channel,
    Configure,
    Drain,
    Ready,
    Refresh,
    Told,
    Topic,
    ToWorker,
    UseCatalog,
    UseGrants,
    Want,
)
from penstock.serving.core import Core
from penstock.serving.exchange import Exchange
from penstock.serving.loop import MainLoop
from penstock.serving.process import look_for_garbage_seldom, yield_to_running_threads

if TYPE_CHECKING:
    from penstock.serving.grpc_server import GrpcServer

__all__ = ["Worker"]

_GRPC_STOP_WITHIN_S = 20.0


class Worker:
    """Puts core, main loop, gateway and the parent's channel together."""

    def __init__(self, settings: Configure, listener: socket.socket, channel: Channel[ToWorker]) -> None:
        self._listener = listener
        self._channel = channel
        self._loop = MainLoop()
        self._core = Core(settings, post=self._loop.post, refresh=lambda: channel.send(Refresh()), want=self._want)
        self._gateway = self._core.gateway(arrived=self._loop.arrive, admit=self._core.admit)
        self._grpc = self._grpc_server(settings) if settings.grpc_address else None
        self._is_serving = False
        self._stop_at: float | None = None

    def _grpc_server(self, settings: Configure) -> "GrpcServer":
        from penstock.serving.grpc_server import GrpcServer  # an extra, and slow to import

        assert settings.grpc_address is not None
        credentials = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            credentials = (Path(settings.tls_certificate).read_bytes(), Path(settings.tls_key).read_bytes())
        return GrpcServer(
            self._core.service,
            address=settings.grpc_address,
            post=self._loop.post,
            admit=self._core.access.admit,
            answered=lambda call: self._core.keep_books([call]),
            credentials=credentials,
        )

    def run(self) -> None:
        """Until SIGTERM, or until the parent is gone; open requests are finished first."""
        signal.signal(signal.SIGTERM, self._stop_on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        threading.Thread(target=self._follow_parent, name="parent", daemon=True).start()
        look_for_garbage_seldom()
        self._loop.run(turn=self._turn, heartbeat=self._heartbeat)
        self._report()
        self._core.close()

    def _turn(self, exchanges: list[Exchange]) -> None:
        self._core.turn(exchanges)
        answered = self._gateway.collect()
        if answered:
            self._core.keep_books(answered)

    def _heartbeat(self) -> None:
        self._gateway.sweep()
        self._core.heartbeat()
        self._report()
        if self._stop_at is not None and monotonic() >= self._stop_at:
            self._stop()

    def _report(self) -> None:
        self._channel.send(self._core.report(busy=self._loop.busy(), in_flight=self._gateway.in_flight))

    def _want(self, topic: Topic) -> None:
        self._report()
        self._channel.send(Want(topic))

    def _follow_parent(self) -> None:
        while (message := self._channel.receive()) is not None:
            self._loop.post(partial(self._obey, message))
        self._loop.post(self._stop)

    def _obey(self, message: ToWorker) -> None:
        match message:
            case UseCatalog():
                self._core.service.update(message.catalog)
                self._start_serving()
            case UseGrants():
                self._core.access.grants = message.grants
            case Drain():
                self._gateway.drain()
                if self._grpc is not None:
                    self._grpc.stop(_GRPC_STOP_WITHIN_S)
                self._stop_at = monotonic() + message.linger_s
            case Told():
                self._core.monitoring.tell(message.topic, message.content)

    def _start_serving(self) -> None:
        if not self._is_serving:
            self._is_serving = True
            self._gateway.start(self._listener, stopped=self._loop.stop)
            if self._grpc is not None:
                self._grpc.start()
            self._channel.send(Ready())

    def _stop_on_signal(self, number: int, frame: FrameType | None) -> None:
        self._loop.post(self._stop)

    def _stop(self) -> None:
        if self._is_serving:
            if self._grpc is not None:
                self._grpc.stop(_GRPC_STOP_WITHIN_S)
            self._gateway.stop()
        else:
            self._loop.stop()


def main(arguments: list[str]) -> None:
    """Runs a worker. arguments: the file descriptors of the listening socket and of the parent's channel."""
    listener_fd, channel_fd = map(int, arguments)
    yield_to_running_threads()
    channel: Channel[ToWorker] = Channel(socket.socket(fileno=channel_fd), ToWorker)
    settings = channel.receive()
    if isinstance(settings, Configure):
        Worker(settings, socket.socket(fileno=listener_fd), channel).run()


if __name__ == "__main__":
    main(sys.argv[1:])
