"""A replica of Ray Serve that answers with this server's own core: the same protocols, batching, limits and tokens.

Ray starts it on its nodes (`penstock deploy`), where `build` is the application's import path. Requests of one turn of
the replica's event loop are run together. Ray's metrics and autoscaling stand in for those of the parent process.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from penstock.serving.access import Access
from penstock.serving.catalog import CatalogSource
from penstock.serving.cors import Cors
from penstock.serving.exchange import Exchange, Headers
from penstock.serving.explaining import Explaining
from penstock.serving.health import Health
from penstock.serving.limits import Limits
from penstock.serving.ml_engine import MLEngine
from penstock.serving.mlflow import MLflow
from penstock.serving.open_inference import OpenInference
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Router
from penstock.serving.service import Service
from penstock.serving.tf_serving import TensorFlowServing
from penstock.serving.tokens import Grant
from penstock.settings import load_settings

__all__ = ["ReplicaSettings", "build"]

_LOOK_EVERY_S = 1.0

Message = Mapping[str, Any]


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica is told. home, project: of the registry; the node's own variables are put before them.

    model: the one it serves. grants: tokens of which callers must send one.
    """

    home: str
    project: str
    model: str
    grants: tuple[Grant, ...]
    limits: Limits = Limits()


class ReplicaExchange(Exchange):
    """A request that Ray's ASGI server read."""

    def __init__(self, scope: Message, answered: Callable[[int, bytes, Headers], None]) -> None:
        super().__init__(scope["method"], scope["path"])
        self._headers = scope["headers"]
        self._answered = answered

    def header(self, name: str) -> str | None:
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self._headers if key == wanted), None)

    def _send(self, status: int, body: bytes, headers: Headers) -> None:
        self._answered(status, body, headers)


class Core:
    """The service and its protocols on an asyncio loop, whose thread all of it belongs to."""

    def __init__(self, settings: ReplicaSettings, source: CatalogSource, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._source = source
        self._loop = loop
        self._access = Access(settings.grants)
        self._explaining = Explaining(settings.limits)
        self._is_flush_due = False
        self._service = Service(
            settings.limits,
            post=self._post,
            refresh=self._follow,
            ran=lambda *_: None,
            compared=lambda *_: None,
        )
        protocols = (
            MLEngine(self._service, self._explaining),
            TensorFlowServing(self._service, self._explaining),
            OpenInference(self._service),
            MLflow(self._service),
            Health(),
        )
        self._router = Router(self._service, protocols, Cors(()))
        self._service.update(source.read())
        self._look()

    async def answer(self, scope: Message, receive: Callable[[], Awaitable[Message]]) -> tuple[int, bytes, Headers]:
        """Status, body and headers of the answer to a request."""
        done: asyncio.Future[tuple[int, bytes, Headers]] = self._loop.create_future()

        def answered(status: int, body: bytes, headers: Headers) -> None:
            self._loop.call_soon_threadsafe(_settle, done, (status, body, headers))

        exchange = ReplicaExchange(scope, answered)
        exchange.refusal = self._access.admit(exchange)
        if exchange.refusal is None:
            await self._read(exchange, receive)
        self._router.dispatch(exchange)
        self._flush_soon()
        return await done

    async def _read(self, exchange: Exchange, receive: Callable[[], Awaitable[Message]]) -> None:
        parts, size = [], 0
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._settings.limits.body_bytes:
                exchange.refusal = Refusal(
                    Code.TOO_LARGE, f"the body has more than {self._settings.limits.body_bytes:,} bytes"
                )
                return
            if not message.get("more_body"):
                exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
                return

    def _post(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(self._run, call)

    def _run(self, call: Callable[[], None]) -> None:
        call()
        self._flush_soon()

    def _flush_soon(self) -> None:
        """At the end of the loop's turn, with what else has come by then."""
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._service.flush()

    def _look(self) -> None:
        self._follow()
        self._service.heartbeat()
        self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _follow(self) -> None:
        if self._source.changed():
            self._service.update(self._source.read())


def _settle(done: "asyncio.Future[tuple[int, bytes, Headers]]", answer: tuple[int, bytes, Headers]) -> None:
    if not done.done():  # the caller may have gone away
        done.set_result(answer)


class Replica:
    """Ray makes one in each process, and hands its requests to the ASGI application beside it.

    Of the module, not of `build`: what Ray has to pickle by value would get globals of its own.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        from penstock.serving.registry_source import open_registry_source

        settings = msgspec.convert(told, ReplicaSettings)
        found = load_settings({"PENSTOCK_HOME": settings.home, **os.environ}, project=settings.project)
        source = open_registry_source(found, only=settings.model)
        _cores[0] = Core(settings, source, asyncio.get_running_loop())


def build(arguments: dict[str, Any]) -> Any:
    """The application that Ray Serve runs. arguments: a ReplicaSettings as JSON has it."""
    from ray import serve

    deployment = serve.deployment(serve.ingress(_make_application)(Replica))
    return deployment.options(name="penstock").bind(arguments)


_cores: dict[int, Core] = {}
"""The core of this process, which Ray's ASGI server finds only by name."""


def _make_application() -> Any:
    """Ray takes what makes an ASGI application, where that is a function."""
    return _application


async def _application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        for reply in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": reply})
        return
    status, body, headers = await _cores[0].answer(scope, receive)
    plain = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
    plain.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": plain})
    await send({"type": "http.response.body", "body": body})
