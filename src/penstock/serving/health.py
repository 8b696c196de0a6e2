"""Is the server alive, and ready: `/healthz` for probes, `/` for KServe's. Also where paths end that nobody owns."""

from penstock.serving.exchange import Exchange
from penstock.serving.refusals import Code, Refusal
from penstock.serving.router import Handler, Once, refuse_flat

__all__ = ["PROBES", "Health"]

PROBES = frozenset({"/", "/healthz", "/v2/health/live", "/v2/health/ready", "/ping", "/health"})
"""Paths that are answered without a token: they say nothing of the models."""


class Health:
    """Owns every path, so it comes last. A worker takes requests only once it is ready."""

    name = "health"

    def owns(self, path: str) -> bool:
        return True

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        refuse_flat(exchange, refusal)

    def route(self, method: str, path: str) -> Handler:
        if path not in PROBES:
            raise Refusal(Code.NOT_FOUND, f"there is no {path} here; models are under /v1/models/NAME")
        if method not in ("GET", "HEAD"):
            raise Refusal(Code.METHOD_NOT_ALLOWED, f"{path} is asked with GET, not {method}")
        return Once(lambda exchange: exchange.respond(200, b'{"status":"alive"}'))
