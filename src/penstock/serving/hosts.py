"""The names by which a server that only its own machine can reach may be called.

A web page can have its own name resolve to 127.0.0.1 (DNS rebinding); its browser then takes a server there for the
page's own and lets it read the answers. What gives it away is the name that the browser sends as Host.
"""

from collections.abc import Sequence

from penstock.serving.exchange import Exchange
from penstock.serving.exposure import is_loopback
from penstock.serving.refusals import Code, Refusal

__all__ = ["Hosts"]

_MOST_KNOWN = 1_000


class Hosts:
    """Admits requests for this machine and for the names given; all of them with `*`, or where names is None."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self._is_open = names is None or "*" in names
        self._names = frozenset(_bare(name) for name in names or ())
        self._known: set[str | None] = {None}
        """Headers that were good: callers send the same ones again and again. Only browsers always send one."""

    def admit(self, exchange: Exchange) -> Refusal | None:
        """Why a request is not taken, or None."""
        if self._is_open:
            return None
        header = exchange.header("host")
        if header in self._known:
            return None
        name = _bare(header or "")
        if not (name in self._names or is_loopback(name)):
            return Refusal(
                Code.PERMISSION_DENIED,
                f"the request is for the host {name!r}, a name that this server does not go by; serve with "
                f"--allowed-host {name}, or PENSTOCK_ALLOWED_HOSTS, if it should",
            )
        if len(self._known) < _MOST_KNOWN:
            self._known.add(header)
        return None


def _bare(host: str) -> str:
    """A host without its port, in lower case.

    >>> _bare("Models.Example.com.:8501"), _bare("[::1]:8501"), _bare("::1")
    ('models.example.com', '::1', '::1')
    """
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    if host.count(":") == 1:
        host = host.partition(":")[0]
    return host.rstrip(".")
