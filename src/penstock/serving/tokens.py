"""Tokens that a server asks for: what each allows, and the file that keeps their digests.

The file holds SHA-256 digests, never tokens: a token is 256 random bits and is shown once, when it is made.
"""

import contextlib
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from penstock.errors import AlreadyExistsError, ConfigError, NotFoundError, UsageError, did_you_mean

__all__ = ["SCOPES", "Grant", "Scope", "TokenFile", "grant_of_token"]

Scope = Literal["predict", "read", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "read", "admin")
"""predict: ask for predictions. read: status, metadata, metrics, drift. admin: everything, of every model."""


class Grant(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the token with this digest allows. models: the only ones it is good for; empty for all."""

    name: str
    sha256: str
    scopes: tuple[Scope, ...]
    models: tuple[str, ...] = ()
    created: str = ""


class _File(msgspec.Struct):
    tokens: list[Grant] = []


def grant_of_token(token: str, name: str = "token") -> Grant:
    """Everything, for one token."""
    return Grant(name=name, sha256=hashlib.sha256(token.encode()).hexdigest(), scopes=("admin",))


class TokenFile:
    """The grants in a JSON file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Grant, ...]:
        """Raises ConfigError for a file that cannot be read."""
        try:
            return tuple(msgspec.json.decode(self.path.read_bytes(), type=_File).tokens)
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(f"the token file {self.path} cannot be read: {error}") from error

    def stamp(self) -> tuple[int, int] | None:
        """Changes when the file does."""
        with contextlib.suppress(OSError):
            facts = self.path.stat()
            return facts.st_mtime_ns, facts.st_ino
        return None

    def create(self, name: str, *, scopes: tuple[Scope, ...], models: tuple[str, ...] = ()) -> str:
        """A new token, which only this call ever tells. Raises AlreadyExistsError, or UsageError for no scope."""
        if not scopes:
            raise UsageError(f"token {name!r} would allow nothing; expected a scope: {', '.join(SCOPES)}")
        if models and "admin" in scopes:
            raise UsageError("the scope admin is for every model; leave out the models, or give predict and read")
        grants = self.read()
        if any(grant.name == name for grant in grants):
            raise AlreadyExistsError(f"there is a token {name!r} in {self.path}; revoke it, or take another name")
        import secrets  # a server only reads

        token = f"pst_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        created = datetime.now(UTC).isoformat(timespec="seconds")
        self._write([*grants, Grant(name=name, sha256=digest, scopes=scopes, models=models, created=created)])
        return token

    def revoke(self, name: str) -> None:
        """Raises NotFoundError."""
        grants = self.read()
        left = [grant for grant in grants if grant.name != name]
        if len(left) == len(grants):
            names = [grant.name for grant in grants]
            raise NotFoundError(f"there is no token {name!r} in {self.path}{did_you_mean(name, names)}")
        self._write(left)

    def _write(self, grants: list[Grant]) -> None:
        """Replaces the file at once, readable by its owner only."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(_File(grants)), indent=2))
        draft.replace(self.path)
