"""The address of a Ray cluster's job server, checked."""

from urllib.parse import urlsplit

from penstock.errors import UsageError

__all__ = ["check_address"]


def check_address(address: str) -> str:
    """The job server's URL, `http://` put in front of a bare `host:port`. Raises UsageError."""
    url = address if "://" in address else f"http://{address}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            f"the cluster's address is {address!r}; expected that of its job server (dashboard), such as "
            "http://127.0.0.1:8265"
        )
    return url.rstrip("/")
