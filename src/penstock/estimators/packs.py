"""Packs: bundles kept by a name in the home, that others build on."""

import re
from pathlib import Path

from penstock.errors import UsageError
from penstock.settings import Settings

__all__ = ["pack_place"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def pack_place(name: str, *, settings: Settings) -> Path:
    """Where the bundle of a pack is kept. Raises UsageError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a pack; expected letters, digits, '.', '_' and '-'")
    return settings.home / "packs" / name
