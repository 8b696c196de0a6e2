"""Takes the secrets of an environment out of texts before they are kept. Knows them by the names of their variables."""

import re
from collections.abc import Mapping
from pathlib import Path

__all__ = ["Redactor"]

_SECRET_NAME = re.compile(
    r"secret|token|passw|passphrase|_pwd$|credential|private|api_?key|access_?key|account_?key|(^|_)key$"
    r"|(^|_)auth$|(^|_)pat$|cookie|(^|_)dsn$|connection_?string|(^|_)sas($|_)",
    re.IGNORECASE,
)
_PASSWORD_IN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:([^/\s@]+)@", re.IGNORECASE)
_SHORTEST = 6
_NOT_SECRET = frozenset({"disabled", "enabled", "default", "optional", "required", "client", "server"})
_HIDDEN = "***"


class Redactor:
    """Replaces the values of secret-looking variables, and passwords inside URLs of any variable, by `***`.

    Values shorter than six characters are left: hiding them would garble every log.

    >>> Redactor({"DB_PASSWORD": "hunter2!", "LANG": "C"}).clean("login with hunter2!")
    'login with ***'
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        secrets: set[str] = set()
        for name, value in environment.items():
            if _SECRET_NAME.search(name):
                # A key of several lines reaches a log line by line.
                secrets.update(part.strip() for part in value.splitlines())
            secrets.update(_PASSWORD_IN_URL.findall(value))
        kept = sorted((one for one in secrets if _hides(one)), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, kept))) if kept else None

    def clean(self, text: str) -> str:
        """The text without the secrets."""
        return self._pattern.sub(_HIDDEN, text) if self._pattern else text


def _hides(value: str) -> bool:
    if len(value) < _SHORTEST or value.lower() in _NOT_SECRET:
        return False
    # Where a secret lies is none; a key may well begin with a slash.
    return not (value.startswith("/") and Path(value).exists())
