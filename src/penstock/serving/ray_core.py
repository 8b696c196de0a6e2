"""The core of a serving process inside a replica of Ray Serve, where Ray, not our parent process, reads and scales."""

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from penstock.serving.catalog import CatalogSource
from penstock.serving.control import Configure, Topic
from penstock.serving.core import Core
from penstock.serving.drift import VersionDrift
from penstock.serving.drift_alarm import DriftOptions
from penstock.serving.exchange import Exchange, Headers
from penstock.serving.gateway import Gateway
from penstock.serving.limits import Limits
from penstock.serving.loop import MainLoop
from penstock.serving.process import look_for_garbage_seldom, yield_to_running_threads
from penstock.serving.refusals import Code, Refusal
from penstock.serving.reports import Report
from penstock.serving.statement import Statement
from penstock.serving.tokens import Grant

__all__ = ["Message", "ReplicaCore", "ReplicaSettings"]

_LOOK_EVERY_S = 1.0

Message = Mapping[str, Any]
Meter = Callable[[Report, list[VersionDrift]], None]
"""Told twice a second what was answered since, and how far values have drifted."""


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a replica is told. home, project: of the registry; the node's own variables are put before them.

    model: the one it serves. grants: tokens of which callers must send one.
    access_log_rate: share of the successful requests that are logged; failures always are.
    """

    home: str
    project: str
    model: str
    grants: tuple[Grant, ...]
    access_log_rate: float = 0.0
    limits: Limits = Limits()


class ReplicaExchange(Exchange):
    """A request that Ray's ASGI server read."""

    def __init__(self, scope: Message, answered: "Callable[[ReplicaExchange, bytes, Headers], None]") -> None:
        super().__init__(scope["method"], scope["path"])
        self._headers = scope["headers"]
        self._answered = answered

    def header(self, name: str) -> str | None:
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self._headers if key == wanted), None)

    def _send(self, status: int, body: bytes, headers: Headers) -> None:
        self._answered(self, body, headers)


class ReplicaCore:
    """The core on a main loop in a thread of its own, beside the asyncio loop on which Ray calls."""

    def __init__(
        self,
        settings: ReplicaSettings,
        source: CatalogSource,
        loop: asyncio.AbstractEventLoop,
        *,
        meter: Meter | None = None,
    ) -> None:
        """meter: told what to export beside this replica's own `/metrics`. Raises what reading the source raises."""
        self._settings = settings
        self._source = source
        self._asyncio = loop
        self._meter = meter
        self._loop = MainLoop()
        self._core = Core(
            Configure(
                limits=settings.limits,
                grants=settings.grants,
                access_log_rate=settings.access_log_rate,
                latency_target_s=1.0,
            ),
            post=self._loop.post,
            refresh=self._want_catalog,
            want=self._want,
        )
        self._statement = Statement(DriftOptions())
        self._answered: deque[Exchange] = deque()
        self._gateway: Gateway | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._refresh()
        self._look_later()
        threading.Thread(target=self._run, name="penstock", daemon=True).start()

    async def answer(self, scope: Message, receive: Callable[[], Awaitable[Message]]) -> tuple[int, bytes, Headers]:
        """Status, body and headers of the answer to a request that Ray's ASGI server read."""
        done: asyncio.Future[tuple[int, bytes, Headers]] = self._asyncio.create_future()

        def answered(exchange: ReplicaExchange, body: bytes, headers: Headers) -> None:
            self._answered.append(exchange)
            self._asyncio.call_soon_threadsafe(_settle, done, (exchange.status, body, headers))

        exchange = ReplicaExchange(scope, answered)
        exchange.refusal = self._core.admit(exchange)
        if exchange.refusal is None:
            await self._read(exchange, receive)
        self._loop.arrive(exchange)
        return await done

    def gateway(self, *, aside: Callable[[Exchange], bool]) -> Gateway:
        """A gateway of Granian's whose requests this core answers; to be asked for once.

        aside: takes the requests that are Ray's own business, and says whether it did. On any thread.
        """

        def admit(exchange: Exchange) -> Refusal | None:
            return None if exchange.path.startswith("/-/") else self._core.admit(exchange)

        def arrived(exchange: Exchange) -> None:
            if not aside(exchange):
                self._loop.arrive(exchange)

        self._gateway = self._core.gateway(arrived=arrived, admit=admit)
        return self._gateway

    def post(self, call: Callable[[], None]) -> None:
        """Has a call run in the main loop's thread."""
        self._loop.post(call)

    def close(self) -> None:
        """Ends the main loop."""
        if self._look_timer is not None:
            self._look_timer.cancel()
        self._loop.stop()

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

    def _run(self) -> None:
        yield_to_running_threads()
        look_for_garbage_seldom()
        self._loop.run(turn=self._turn, heartbeat=self._heartbeat)
        self._core.close()

    def _turn(self, exchanges: list[Exchange]) -> None:
        self._core.turn(exchanges)
        answered = [self._answered.popleft() for _ in range(len(self._answered))]
        if self._gateway is not None:
            answered += self._gateway.collect()
        if answered:
            self._core.keep_books(answered)

    def _heartbeat(self) -> None:
        if self._gateway is not None:
            self._gateway.sweep()
        self._core.heartbeat()
        self._report()

    def _report(self) -> Report:
        in_flight = self._gateway.in_flight if self._gateway is not None else 0
        report = self._core.report(busy=self._loop.busy(), in_flight=in_flight)
        self._statement.add(report)
        if self._meter is not None:
            self._meter(report, self._statement.drift())
        return report

    def _want_catalog(self) -> None:
        self._asyncio.call_soon_threadsafe(self._refresh)

    def _want(self, topic: Topic) -> None:
        load = self._report().load
        if topic == "metrics":
            told = self._statement.metrics(loads=[load], models=len(self._core.service.model_names)).encode()
        else:
            told = msgspec.json.encode(self._statement.drift())
        self._core.monitoring.tell(topic, told)

    def _look_later(self) -> None:
        self._look_timer = self._asyncio.call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        self._look_later()
        if self._source.changed():
            self._refresh()

    def _refresh(self) -> None:
        catalog = self._source.read()
        self._loop.post(lambda: self._core.service.update(catalog))


def _settle(done: "asyncio.Future[tuple[int, bytes, Headers]]", answer: tuple[int, bytes, Headers]) -> None:
    if not done.done():  # the caller may have gone away
        done.set_result(answer)
