"""One JSON line a request, for all of them or a share; failures always."""

import os
import random
from collections.abc import Iterable
from datetime import UTC, datetime

import orjson

from penstock.serving.exchange import Exchange

__all__ = ["AccessLog"]


class AccessLog:
    """Writes to a file descriptor, a turn of the main loop at once."""

    def __init__(self, descriptor: int, *, rate: float, seed: int | None = None) -> None:
        """rate: share of the successful requests that are logged, 0 to 1."""
        self._descriptor = descriptor
        self._rate = rate
        self._random = random.Random(seed)  # noqa: S311 - a sample of log lines, no secret

    def record(self, exchanges: Iterable[Exchange]) -> None:
        """Logs answered exchanges."""
        rate, chance = self._rate, self._random.random
        lines = [_line(exchange) for exchange in exchanges if exchange.status >= 400 or (rate and chance() < rate)]
        if lines:
            os.write(self._descriptor, b"".join(lines))


def _line(exchange: Exchange) -> bytes:
    version = exchange.version
    return orjson.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": exchange.client,
            "method": exchange.method,
            "path": exchange.path,
            "status": exchange.status,
            "ms": round(exchange.seconds * 1000, 3),
            "instances": exchange.rows,
            "model": exchange.model_name or None,
            "version": None if version is None else version.number,
            "received_bytes": len(exchange.body),
            "sent_bytes": exchange.sent_bytes,
        },
        option=orjson.OPT_APPEND_NEWLINE,
    )
