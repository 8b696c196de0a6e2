"""A worker process: answers the requests of one listening socket until its parent or a signal tells it to stop."""

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

from penstock.serving.access import Access
from penstock.serving.access_log import AccessLog
from penstock.serving.books import Books
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
from penstock.serving.cors import Cors
from penstock.serving.documents import Documents
from penstock.serving.exchange import Exchange
from penstock.serving.explaining import Explaining
from penstock.serving.gateway import Gateway
from penstock.serving.health import Health
from penstock.serving.hosts import Hosts
from penstock.serving.loop import MainLoop
from penstock.serving.ml_engine import MLEngine
from penstock.serving.mlflow import MLflow
from penstock.serving.monitoring import Monitoring
from penstock.serving.open_inference import OpenInference
from penstock.serving.refusals import Refusal
from penstock.serving.router import Router
from penstock.serving.sampling import Sampler
from penstock.serving.service import Service
from penstock.serving.tf_serving import TensorFlowServing
from penstock.serving.vertex import VertexContainer

if TYPE_CHECKING:
    from penstock.serving.grpc_server import GrpcServer

__all__ = ["Worker"]

_GRPC_STOP_WITHIN_S = 20.0
_GARBAGE_LOOK_EVERY = 20_000


class Worker:
    """Puts gateway, loop, service and protocols together."""

    def __init__(self, settings: Configure, listener: socket.socket, channel: Channel[ToWorker]) -> None:
        self._listener = listener
        self._channel = channel
        self._loop = MainLoop()
        self._books = Books(latency_target_s=settings.latency_target_s)
        self._service = Service(
            settings.limits,
            post=self._loop.post,
            refresh=lambda: channel.send(Refresh()),
            ran=self._books.batch,
            compared=self._books.compared,
        )
        self._explaining = Explaining(settings.limits)
        self._monitoring = Monitoring(self._service, want=self._want)
        cors = Cors(settings.cors_origins)
        protocols = (
            VertexContainer(self._service, predict_route=settings.predict_route, health_route=settings.health_route),
            MLEngine(self._service, self._explaining),
            TensorFlowServing(self._service, self._explaining),
            OpenInference(self._service),
            MLflow(self._service),
            Documents(self._service, has_token=settings.grants is not None),
            self._monitoring,
            Health(),
        )
        self._router = Router(self._service, protocols, cors)
        self._access = Access(settings.grants)
        self._hosts = Hosts(settings.host_names)
        self._log = AccessLog(sys.stderr.fileno(), rate=settings.access_log_rate)
        self._sampler = Sampler(settings.samples) if settings.samples else None
        self._gateway = Gateway(
            arrived=self._loop.arrive,
            admit=self._admit,
            body_limit_bytes=settings.limits.body_bytes,
            bodies_limit_bytes=settings.limits.bodies_bytes,
            body_timeout_s=settings.limits.body_timeout_s,
            cors=cors.headers if cors.is_on else None,
            tls=(settings.tls_certificate, settings.tls_key),
        )
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
            self._service,
            address=settings.grpc_address,
            post=self._loop.post,
            admit=self._access.admit,
            answered=lambda call: self._keep_books([call]),
            credentials=credentials,
        )

    def run(self) -> None:
        """Until SIGTERM, or until the parent is gone; open requests are finished first."""
        signal.signal(signal.SIGTERM, self._stop_on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
        threading.Thread(target=self._follow_parent, name="parent", daemon=True).start()
        # What is loaded by now stays, and requests hold no cycles: looking for garbage seldom is enough.
        gc.freeze()
        gc.set_threshold(_GARBAGE_LOOK_EVERY, 10, 100)
        self._loop.run(turn=self._turn, heartbeat=self._heartbeat)
        self._report()
        self._service.close()
        self._explaining.close()
        if self._sampler is not None:
            self._sampler.close()

    def _admit(self, exchange: Exchange) -> Refusal | None:
        return self._hosts.admit(exchange) or self._access.admit(exchange)

    def _turn(self, exchanges: list[Exchange]) -> None:
        dispatch = self._router.dispatch
        for exchange in exchanges:
            dispatch(exchange)
        self._service.flush()
        answered = self._gateway.collect()
        if answered:
            self._keep_books(answered)

    def _keep_books(self, answered: Sequence[Exchange]) -> None:
        self._books.record(answered)
        self._log.record(answered)
        if self._sampler is not None:
            self._sampler.record(answered)

    def _heartbeat(self) -> None:
        self._gateway.sweep()
        self._service.heartbeat()
        if self._sampler is not None:
            self._sampler.heartbeat()
        self._report()
        if self._stop_at is not None and monotonic() >= self._stop_at:
            self._stop()

    def _report(self) -> None:
        self._channel.send(
            self._books.close(
                busy=self._loop.busy(),
                in_flight=self._gateway.in_flight,
                loaded_versions=self._service.loaded_versions,
                sketches=self._service.sketches(),
            )
        )

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
                self._service.update(message.catalog)
                self._start_serving()
            case UseGrants():
                self._access.grants = message.grants
            case Drain():
                self._gateway.drain()
                if self._grpc is not None:
                    self._grpc.stop(_GRPC_STOP_WITHIN_S)
                self._stop_at = monotonic() + message.linger_s
            case Told():
                self._monitoring.tell(message.topic, message.content)

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
    _yield_to_running_threads()
    channel: Channel[ToWorker] = Channel(socket.socket(fileno=channel_fd), ToWorker)
    settings = channel.receive()
    if isinstance(settings, Configure):
        Worker(settings, socket.socket(fileno=listener_fd), channel).run()


def _yield_to_running_threads() -> None:
    """Has Linux not interrupt a running thread when another of this worker wakes up.

    Granian's threads and the main loop hand every request to each other. Letting each finish what it has collected
    halves the context switches: 35,800 to 68,500 echoed requests a second on one core.
    """
    if hasattr(os, "sched_setscheduler"):
        with suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


if __name__ == "__main__":
    main(sys.argv[1:])
