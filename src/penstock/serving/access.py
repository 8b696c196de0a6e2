"""Who may ask: those who send the bearer token, where there is one."""

import hmac

from penstock.serving.gateway import Exchange
from penstock.serving.health import PROBES
from penstock.serving.refusals import Code, Refusal

__all__ = ["Access"]


class Access:
    """Admits everyone when there is no token; else those who send it as `Authorization: Bearer TOKEN`."""

    def __init__(self, token: str | None) -> None:
        self._expected = None if token is None else token.encode()

    def admit(self, exchange: Exchange) -> Refusal | None:
        """Why a request is not taken, or None. Takes the same time for every wrong token."""
        if self._expected is None or exchange.path in PROBES or exchange.method == "OPTIONS":
            return None
        scheme, _, sent = (exchange.header("authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), self._expected):
            return None
        missing = "the request has no token" if not sent else "the token is not this server's"
        return Refusal(Code.UNAUTHENTICATED, f"{missing}; send the header 'Authorization: Bearer TOKEN'")
