"""The parent of a prediction server: owns the socket, follows the catalog, keeps as many workers as are needed.

The socket is the parent's, so that requests wait in its backlog while no worker is there, and a worker that dies takes
only the requests it was answering with it.
"""

import importlib.util
import logging
import selectors
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import FrameType

import msgspec

from penstock.errors import MissingExtraError, PenstockError, UsageError
from penstock.serving.autoscaler import Autoscaler, Scale
from penstock.serving.catalog import Catalog, CatalogSource
from penstock.serving.control import Configure, Ready, Refresh, SampleOptions, Told, UseCatalog, Want
from penstock.serving.cors import check_origins
from penstock.serving.drift_alarm import DriftAlarm, DriftOptions
from penstock.serving.exposure import check_tls, is_loopback, require_token
from penstock.serving.limits import Limits
from penstock.serving.pool import Worker, WorkerPool
from penstock.serving.reports import Report
from penstock.serving.statement import Statement
from penstock.serving.tokens import Grant, TokenFile, grant_of_token

__all__ = ["Server", "ServerOptions"]

_BACKLOG = 4096
_LOOK_EVERY_S = 0.25
_STOP_WITHIN_S = 30.0
_LINGER_S = 2.0
_DRIFT_EVERY_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """How to serve.

    port: 0 takes a free one.
    token: what callers must send; it, or `tokens_file`, is needed where `host` can be reached from other machines.
    tokens_file: tokens of which callers must send one, read again whenever it changes.
    tls_certificate, tls_key: PEM files, both or none.
    grpc_port: for the gRPC service, 0 for a free one; None for no such service.
    access_log_rate: share of the successful requests that are logged; failures always are.
    allowed_hosts: further names that requests may be for, where only this machine can reach `host`; "*" for all.
    cors_origins: origins of web pages that may ask, "*" for all.
    predict_route, health_route: further paths that answer for the only model.
    samples: which requests and answers are kept, and where; None for none.
    is_guarded: whether something else keeps strangers out, so that no token is needed.
    """

    host: str = "127.0.0.1"
    port: int = 8501
    scale: Scale = field(default_factory=Scale)
    token: str | None = None
    tokens_file: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    grpc_port: int | None = None
    access_log_rate: float = 1.0
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    predict_route: str | None = None
    health_route: str | None = None
    is_guarded: bool = False
    drift: DriftOptions = field(default_factory=DriftOptions)
    limits: Limits = field(default_factory=Limits)
    samples: SampleOptions | None = None


class Server:
    """Runs in one thread until a signal, or `stop`."""

    def __init__(self, options: ServerOptions, *, ready: Callable[[str], None]) -> None:
        """ready: told the server's URL once requests are answered. Raises UsageError for options that cannot be."""
        self._tokens = TokenFile(options.tokens_file) if options.tokens_file else None
        self._tokens_stamp = self._tokens.stamp() if self._tokens else None
        self._token = options.token
        grants = self._grants()
        if not options.is_guarded:
            require_token(options.host, bool(grants))
        if self._tokens is not None and not grants:
            _log.warning(
                "%s holds no token, so every request is refused until there is one: penstock tokens create NAME "
                "--tokens-file %s",
                *(self._tokens.path, self._tokens.path),
            )
        check_origins(options.cors_origins)
        if options.tls_certificate is not None and options.tls_key is not None:
            check_tls(options.tls_certificate, options.tls_key)
        self._ready: Callable[[str], None] | None = ready
        self._listener = _bind(options.host, options.port)
        self._selector = selectors.DefaultSelector()
        self._autoscaler = Autoscaler(options.scale, now=monotonic())
        self._statement = Statement(options.drift)
        self._alarm = DriftAlarm(options.drift.webhook) if options.drift.webhook else None
        self._next_drift_look = 0.0
        self._source: CatalogSource | None = None
        self._catalog: Catalog | None = None
        self._is_stopping = False
        self._is_watching_listener = False
        self._grpc_holder: socket.socket | None = None
        settings = Configure(
            limits=options.limits,
            host_names=_host_names(options),
            grants=grants,
            access_log_rate=options.access_log_rate,
            latency_target_s=options.scale.latency_target_s,
            cors_origins=options.cors_origins,
            predict_route=options.predict_route,
            health_route=options.health_route,
            tls_certificate=str(options.tls_certificate) if options.tls_certificate else None,
            tls_key=str(options.tls_key) if options.tls_key else None,
            grpc_address=self._reserve_grpc_port(options),
            samples=options.samples,
        )
        self._scheme = "https" if options.tls_certificate else "http"
        self._grpc_address = settings.grpc_address
        self._pool = WorkerPool(self._listener, settings, self._selector)

    @property
    def url(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"{self._scheme}://[{host}]:{port}" if ":" in host else f"{self._scheme}://{host}:{port}"

    @property
    def grpc_address(self) -> str | None:
        """Host and port of the gRPC service, where there is one."""
        return self._grpc_address

    def run(self, open_source: Callable[[], CatalogSource]) -> None:
        """Serves until SIGTERM or SIGINT, then lets open requests finish.

        open_source: opens the catalog, while the first worker is already starting. Raises what it raises, and
        ServiceError when workers cannot start.
        """
        previous = {number: signal.signal(number, self._stop_on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._scale()
            self._source = open_source()
            self._publish(self._source.read())
            while not self._is_stopping:
                self._wait(_LOOK_EVERY_S)
                self._follow_catalog()
                self._follow_tokens()
                self._scale()
                self._look_for_drift()
        finally:
            self._is_stopping = True
            self._pool.stop(within_s=_STOP_WITHIN_S, each=self._wait)
            if self._source is not None:
                self._source.close()
            self._listener.close()
            if self._grpc_holder is not None:
                self._grpc_holder.close()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _reserve_grpc_port(self, options: ServerOptions) -> str | None:
        """Holds the port for the workers, which share it; a socket that does not listen gets no connection."""
        if options.grpc_port is None:
            return None
        if importlib.util.find_spec("grpc") is None:
            raise MissingExtraError("grpc", "serving over gRPC")
        if options.scale.minimum == 0:
            raise UsageError("--grpc-port needs a worker at all times: its socket is not the parent's to hold requests")
        self._grpc_holder = _bind(options.host, options.grpc_port, shares_port=True)
        host, port = self._grpc_holder.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def stop(self) -> None:
        """Ends `run`."""
        self._is_stopping = True

    def _stop_on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()

    def _scale(self) -> None:
        """Has as many workers as are wanted. With none, the backlog is watched for the first request."""
        wanted = self._autoscaler.look(self._pool.loads, now=monotonic())
        self._pool.scale_to(wanted, linger_s=_LINGER_S)
        watch = wanted == 0
        if watch and not self._is_watching_listener:
            self._selector.register(self._listener, selectors.EVENT_READ, None)
        elif not watch and self._is_watching_listener:
            self._selector.unregister(self._listener)
        self._is_watching_listener = watch

    def _wait(self, timeout_s: float) -> None:
        """Hears what workers and the listening socket have to say, until one does or the time is up."""
        for key, _ in self._selector.select(timeout_s):
            if isinstance(key.data, Worker):
                self._hear(key.data)
            else:
                self._autoscaler.demand(monotonic())
                self._scale()

    def _hear(self, worker: Worker) -> None:
        match self._pool.hear(worker):
            case Ready() if self._ready is not None:
                self._ready(self.url)
                self._ready = None
            case Refresh():
                self._follow_catalog()
                if self._catalog is not None:
                    worker.send(UseCatalog(self._catalog))
            case Report() as report:
                self._statement.add(report)
            case Want(topic="metrics"):
                worker.send(Told("metrics", self._metrics().encode()))
            case Want(topic="drift"):
                worker.send(Told("drift", msgspec.json.encode(self._statement.drift())))

    def _look_for_drift(self) -> None:
        """Tells the webhook, where there is one."""
        if self._alarm is not None and monotonic() >= self._next_drift_look:
            self._next_drift_look = monotonic() + _DRIFT_EVERY_S
            self._alarm.look(self._statement.drift())

    def _metrics(self) -> str:
        return self._statement.metrics(
            loads=self._pool.loads,
            models=len(self._catalog.models) if self._catalog else 0,
            workers_started=self._pool.started,
            workers_lost=self._pool.lost,
        )

    def _follow_catalog(self) -> None:
        assert self._source is not None
        try:
            if self._source.changed():
                self._publish(self._source.read())
        except PenstockError as error:
            _log.warning("the catalog cannot be read, so the last one stays: %s", error)

    def _grants(self) -> tuple[Grant, ...] | None:
        """The tokens that are good; None where none is asked for."""
        if self._tokens is None:
            return None if self._token is None else (grant_of_token(self._token),)
        of_file = self._tokens.read()
        return of_file if self._token is None else (*of_file, grant_of_token(self._token))

    def _follow_tokens(self) -> None:
        if self._tokens is None or self._tokens.stamp() == self._tokens_stamp:
            return
        self._tokens_stamp = self._tokens.stamp()
        try:
            self._pool.use_grants(self._grants() or ())
        except PenstockError as error:
            _log.warning("the tokens stay as they were: %s", error)

    def _publish(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._pool.publish(catalog)


def _host_names(options: ServerOptions) -> tuple[str, ...] | None:
    """Names that a request may be for; None for all, where tokens or something else keep strangers out."""
    if options.is_guarded or not is_loopback(options.host):
        return None
    return (options.host, *options.allowed_hosts)


def _bind(host: str, port: int, *, shares_port: bool = False) -> socket.socket:
    """A listening socket; or one that only holds a port which others share. Raises UsageError for no such address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host} is no address of this machine: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        if not shares_port:
            listener.listen(_BACKLOG)
            listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes a free port"
        ) from error
    return listener
