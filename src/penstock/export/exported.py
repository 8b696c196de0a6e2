"""What an export made, for the command that says so."""

from dataclasses import dataclass

__all__ = ["Exported"]


@dataclass(frozen=True, kw_only=True)
class Exported:
    """place: the file or folder. files: what it holds. notes: what its user has to know. next_command: what to type."""

    target: str
    place: str
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    next_command: str | None = None
