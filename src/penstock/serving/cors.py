"""Cross-origin requests: which web pages may ask, and what their browsers are told."""

import re
from collections.abc import Sequence

from penstock.errors import UsageError
from penstock.serving.exchange import Exchange, Headers

__all__ = ["Cors", "check_origins"]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\sA-Z]+")

_ALLOWED = (
    ("access-control-allow-methods", "POST, GET"),
    ("access-control-allow-headers", "Content-Type, Authorization"),
)


def check_origins(origins: Sequence[str]) -> None:
    """Raises UsageError for one that no browser ever sends."""
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise UsageError(
                f"--cors-origin {origin} is no origin; expected what browsers send, without a path and in lower case, "
                "such as https://app.example.com or http://localhost:3000, or * for every page"
            )


class Cors:
    """Allows pages of these origins, or of all with "*"; with none, browsers keep every page out."""

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origins)
        self.is_on = bool(origins)

    def headers(self, exchange: Exchange) -> Headers:
        """What to add to an answer."""
        if not self._origins:
            return []
        if "*" in self._origins:
            return [("access-control-allow-origin", "*"), *_ALLOWED]
        origin = exchange.header("origin")
        if origin in self._origins:
            return [("access-control-allow-origin", str(origin)), *_ALLOWED, ("vary", "Origin")]
        return [("vary", "Origin")]

    def preflight(self, exchange: Exchange) -> None:
        """Answers an OPTIONS request: 200 to a web page of whatever origin, 400 to anything else."""
        origin = exchange.header("origin") or ""
        is_page = origin.startswith(("http://", "https://"))
        exchange.respond(200 if is_page else 400, b"", [("content-type", "application/json")])
