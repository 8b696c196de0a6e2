"""A share of the requests and their answers, kept in Parquet files for whoever wants to look or to train again."""

import base64
import logging
import os
import random
import threading
import time
from collections.abc import Sequence

from penstock.errors import PenstockError
from penstock.serving.control import SampleOptions
from penstock.serving.exchange import Exchange
from penstock.store import blobs
from penstock.store.parquet import ParquetColumn, parquet_bytes

__all__ = ["Sampler"]

_MOST_ROWS = 10_000
_MOST_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)


class Sampler:
    """Collects in the main loop's thread, and writes in others. What a killed worker had not written is lost."""

    def __init__(self, options: SampleOptions) -> None:
        self._options = options
        self._random = random.Random()  # noqa: S311 - a sample of requests, no secret
        self._kept: list[Exchange] = []
        self._bytes = 0
        self._since = time.monotonic()
        self._files = 0
        self._writing: list[threading.Thread] = []

    def record(self, exchanges: Sequence[Exchange]) -> None:
        """Looks at answered exchanges, and keeps some of those that were predicted."""
        rate, chance = self._options.rate, self._random.random
        for exchange in exchanges:
            if exchange.rows and exchange.status == 200 and exchange.body and chance() < rate:
                self._kept.append(exchange)
                self._bytes += len(exchange.body) + exchange.sent_bytes
        if len(self._kept) >= _MOST_ROWS or self._bytes >= _MOST_BYTES:
            self.rotate()

    def heartbeat(self) -> None:
        """Writes what has waited long enough."""
        if self._kept and time.monotonic() - self._since >= self._options.rotate_s:
            self.rotate()

    def rotate(self) -> None:
        """Starts to write what is kept, a file a model and version."""
        kept, self._kept, self._bytes, self._since = self._kept, [], 0, time.monotonic()
        self._writing = [thread for thread in self._writing if thread.is_alive()]
        if kept:
            self._files += 1
            # The exchanges hold what carried them; only what is written is taken along.
            columns = _columns_by_version(kept)
            thread = threading.Thread(target=self._write, args=(columns, self._files), name="samples", daemon=True)
            thread.start()
            self._writing.append(thread)

    def close(self) -> None:
        """Writes the rest, and waits until it is written."""
        self.rotate()
        for thread in self._writing:
            thread.join()

    def _write(self, columns: dict[tuple[str, int], list[ParquetColumn]], number: int) -> None:
        day, moment = time.strftime("%Y-%m-%d"), time.strftime("%H%M%S")
        for (model, version), some in columns.items():
            name = f"model={model}/version={version}/day={day}/{moment}-{os.getpid()}-{number}.parquet"
            try:
                blobs.write_bytes(self._options.folder, name, parquet_bytes(some))
            except PenstockError as error:
                _log.warning("%d sampled requests are lost: %s", len(some[0].values), error)


def _columns_by_version(exchanges: Sequence[Exchange]) -> dict[tuple[str, int], list[ParquetColumn]]:
    groups: dict[tuple[str, int], list[Exchange]] = {}
    for exchange in exchanges:
        number = exchange.version.number if exchange.version else 0
        groups.setdefault((exchange.model_name, number), []).append(exchange)
    return {key: _columns(some) for key, some in groups.items()}


def _columns(exchanges: Sequence[Exchange]) -> list[ParquetColumn]:
    now_us, now = time.time_ns() // 1000, time.monotonic()
    requests = [_text(exchange.body) for exchange in exchanges]
    answers = [_text(exchange.answer) for exchange in exchanges]
    return [
        ParquetColumn(
            "time", "timestamp", [now_us - int((now - exchange.started) * 1_000_000) for exchange in exchanges]
        ),
        ParquetColumn("protocol", "text", [exchange.protocol for exchange in exchanges]),
        ParquetColumn("path", "text", [exchange.path for exchange in exchanges]),
        ParquetColumn("instances", "integer", [exchange.rows for exchange in exchanges]),
        ParquetColumn("ms", "float", [exchange.seconds * 1000 for exchange in exchanges]),
        ParquetColumn("request", "text", [text for text, _ in requests]),
        ParquetColumn("request_form", "text", [form for _, form in requests]),
        ParquetColumn("answer", "text", [text for text, _ in answers]),
        ParquetColumn("answer_form", "text", [form for _, form in answers]),
    ]


def _text(body: bytes) -> tuple[str, str]:
    """A body as text, and whether it is that or base64: compressed bodies and binary tensors are."""
    try:
        return body.decode(), "text"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
