"""Who may ask what: those who send a token whose grant covers the path, where tokens are asked for."""

import hashlib
import hmac
import re
from collections.abc import Sequence

from penstock.serving.exchange import Exchange
from penstock.serving.health import PROBES
from penstock.serving.refusals import Code, Refusal
from penstock.serving.tokens import Grant, Scope

__all__ = ["Access"]

_MODEL = re.compile(
    r"/(?:v1/projects/[^/]+/models|v1/models|v2/models|openapi|monitoring/drift)/([^/:]+?)(?:\.json)?(?=[/:]|$)",
    re.IGNORECASE,
)


class Access:
    """Admits everyone while `grants` is None."""

    def __init__(self, grants: Sequence[Grant] | None) -> None:
        self.grants = grants

    def admit(self, exchange: Exchange) -> Refusal | None:
        """Why a request is not taken, or None. Every known token is compared, and each in constant time."""
        if self.grants is None or exchange.path in PROBES or exchange.method == "OPTIONS":
            return None
        scheme, _, sent = (exchange.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not sent:
            return _unauthenticated("the request has no token")
        digest = hashlib.sha256(sent.strip().encode()).hexdigest()
        found = [grant for grant in self.grants if hmac.compare_digest(grant.sha256, digest)]
        if not found:
            return _unauthenticated("this server does not know the token")
        return _refusal(found[0], exchange)


def _refusal(grant: Grant, exchange: Exchange) -> Refusal | None:
    if "admin" in grant.scopes:
        return None
    needed: Scope = "predict" if exchange.method == "POST" else "read"
    if needed not in grant.scopes:
        return Refusal(Code.PERMISSION_DENIED, f"the token {grant.name!r} does not have the scope {needed!r}")
    if grant.models:
        found = _MODEL.match(exchange.path)
        if found is None or found[1] not in grant.models:
            told = ", ".join(grant.models)
            return Refusal(Code.PERMISSION_DENIED, f"the token {grant.name!r} is for the models {told} only")
    return None


def _unauthenticated(reason: str) -> Refusal:
    return Refusal(Code.UNAUTHENTICATED, f"{reason}; send the header 'Authorization: Bearer TOKEN'")
