"""Cross-origin requests: which web pages may ask, and what their browsers are told."""

from collections.abc import Sequence

from penstock.serving.exchange import Exchange, Headers

__all__ = ["Cors"]

_ALLOWED = (
    ("access-control-allow-methods", "POST, GET"),
    ("access-control-allow-headers", "Content-Type, Authorization"),
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
        told = [
            ("access-control-allow-methods", "POST, GET"),
            ("access-control-allow-headers", "Content-Type, Authorization"),
        ]
        if "*" in self._origins:
            return [("access-control-allow-origin", "*"), *told]
        origin = exchange.header("origin")
        if origin in self._origins:
            return [("access-control-allow-origin", str(origin)), *told, ("vary", "Origin")]
        return [("vary", "Origin")]

    def preflight(self, exchange: Exchange) -> None:
        """Answers an OPTIONS request: 200 to a web page of whatever origin, 400 to anything else."""
        origin = exchange.header("origin") or ""
        is_page = origin.startswith(("http://", "https://"))
        exchange.respond(200 if is_page else 400, b"", [("content-type", "application/json")])
