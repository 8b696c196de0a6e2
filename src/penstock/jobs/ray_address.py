"""The address of a Ray cluster's job server, checked."""

import re
from urllib.parse import urlsplit

from penstock.errors import UsageError

__all__ = ["check_address"]


_HOST = re.compile(r"[\w.:-]+", re.ASCII)


def check_address(address: str) -> str:
    """The job server's URL, `http://` put in front of a bare `host:port`. Raises UsageError."""
    url = address if "://" in address else f"http://{address}"
    if not _is_http(url):
        raise UsageError(
            f"the cluster's address is {address!r}; expected that of its job server (dashboard), such as "
            "http://127.0.0.1:8265"
        )
    return url.rstrip("/")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_is_read = parts.port != 0
    except ValueError:  # of a port that is none, or half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(_HOST.fullmatch(parts.hostname or "")) and port_is_read
