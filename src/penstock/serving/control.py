"""What the server's parent and its workers tell each other, over a socket pair."""

import socket
import struct
import threading
from contextlib import suppress
from typing import Any, Generic, Literal, TypeVar

import msgspec

from penstock.serving.catalog import Catalog
from penstock.serving.limits import Limits
from penstock.serving.reports import Report
from penstock.serving.tokens import Grant

__all__ = [
    "Channel",
    "Configure",
    "Drain",
    "FromWorker",
    "Ready",
    "Refresh",
    "SampleOptions",
    "ToWorker",
    "Told",
    "Topic",
    "UseCatalog",
    "UseGrants",
    "Want",
]

Topic = Literal["metrics", "drift"]
"""What only the parent can tell: Prometheus metrics as text, or a list of `VersionDrift` as JSON."""

_LENGTH = struct.Struct("<I")


class SampleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """rate: share of the predictions that are kept, 0 to 1. folder: path or URI. rotate_s: longest age of a file."""

    rate: float
    folder: str
    rotate_s: float = 60.0


class Configure(msgspec.Struct, tag=True, frozen=True, kw_only=True):
    """First to a worker: how to serve.

    host_names: names that a request may be for; None for all.
    grants: tokens of which callers must send one; None where none is asked for.
    predict_route, health_route: further paths that answer for the only model.
    tls_certificate, tls_key: PEM files, both or none.
    grpc_address: host and port of the gRPC service, which workers share; None for none.
    samples: which requests are kept, and where; None for none.
    """

    limits: Limits
    grants: tuple[Grant, ...] | None
    access_log_rate: float
    latency_target_s: float
    host_names: tuple[str, ...] | None = None
    cors_origins: tuple[str, ...] = ()
    predict_route: str | None = None
    health_route: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    grpc_address: str | None = None
    samples: SampleOptions | None = None


class UseCatalog(msgspec.Struct, tag=True, frozen=True):
    """To a worker: serve this from now on."""

    catalog: Catalog


class UseGrants(msgspec.Struct, tag=True, frozen=True):
    """To a worker: these tokens are good from now on."""

    grants: tuple[Grant, ...]


class Drain(msgspec.Struct, tag=True, frozen=True):
    """To a worker: take no new connection, close each after its next answer, and end after `linger_s`."""

    linger_s: float


class Told(msgspec.Struct, tag=True, frozen=True):
    """To a worker: what it asked for."""

    topic: Topic
    content: bytes


class Ready(msgspec.Struct, tag=True, frozen=True):
    """From a worker: it takes requests."""


class Refresh(msgspec.Struct, tag=True, frozen=True):
    """From a worker: send the catalog as it is now, even if it has not changed."""


class Want(msgspec.Struct, tag=True, frozen=True):
    """From a worker, right after a report: send what all workers have reported of this."""

    topic: Topic


ToWorker = Configure | UseCatalog | UseGrants | Drain | Told
FromWorker = Ready | Refresh | Report | Want

Received = TypeVar("Received")


class Channel(Generic[Received]):
    """One end of the socket pair. `send` may be called from any thread, `receive` from one."""

    def __init__(self, connection: socket.socket, kind: Any) -> None:
        """kind: the type of the messages that come in."""
        self._connection = connection
        self._decoder: msgspec.msgpack.Decoder[Received] = msgspec.msgpack.Decoder(kind)
        self._sending = threading.Lock()

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, message: ToWorker | FromWorker) -> None:
        """Sends, or does nothing when the other end is gone: its `receive` end tells of that."""
        content = msgspec.msgpack.encode(message)
        with self._sending, suppress(OSError):
            self._connection.sendall(_LENGTH.pack(len(content)) + content)

    def receive(self) -> Received | None:
        """The next message; None when the other end is gone."""
        head = self._read(_LENGTH.size)
        content = None if head is None else self._read(_LENGTH.unpack(head)[0])
        return None if content is None else self._decoder.decode(content)

    def close(self) -> None:
        self._connection.close()

    def _read(self, size: int) -> bytes | None:
        parts = []
        while size:
            try:
                part = self._connection.recv(size)
            except OSError:
                return None
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
