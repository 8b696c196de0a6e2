"""Checkpoints in a model folder: arrays in `checkpoint-STEP.npz`, their digest and the rest in `checkpoint-STEP.json`.

Each file is written under a temporary name, flushed to disk and renamed, the description last: a checkpoint is there
whole or not at all, and one that was damaged since is told by its digest and passed over.
"""

import hashlib
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.errors import NotFoundError, TrainingError
from penstock.store.blobs import replace_file

__all__ = ["Checkpoint", "CheckpointFolder"]

_NAME = re.compile(r"checkpoint-(\d+)\.json")

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Checkpoint:
    """arrays: by name. facts: what JSON holds besides."""

    step: int
    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


class _Description(msgspec.Struct, kw_only=True):
    step: int
    sha256: str
    facts: dict[str, Any] = {}


class CheckpointFolder:
    """The checkpoints of one model folder; the newest `keep` are kept. saved: called after each."""

    def __init__(self, folder: Path, *, keep: int = 5, saved: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._keep = keep
        self._saved = saved

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, ascending; whether they are sound is not looked at."""
        if not self._folder.is_dir():
            return []
        found = (_NAME.fullmatch(path.name) for path in self._folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint and removes the oldest ones beyond those kept. Raises TrainingError when it cannot."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **_escaped(checkpoint.arrays))
        content = buffer.getvalue()
        description = _Description(
            step=checkpoint.step, sha256=hashlib.sha256(content).hexdigest(), facts=dict(checkpoint.facts)
        )
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            replace_file(self._arrays_path(checkpoint.step), content)
            replace_file(self._description_path(checkpoint.step), msgspec.json.encode(description))
            for step in self.steps()[: -self._keep] if self._keep else []:
                self._description_path(step).unlink(missing_ok=True)
                self._arrays_path(step).unlink(missing_ok=True)
        except OSError as error:
            raise TrainingError(f"saving a checkpoint in {str(self._folder)!r} failed: {error}") from error
        self._saved()

    def load(self, step: int) -> Checkpoint:
        """One checkpoint. Raises NotFoundError where there is none, TrainingError where it is damaged."""
        try:
            description = msgspec.json.decode(self._description_path(step).read_bytes(), type=_Description)
            content = self._arrays_path(step).read_bytes()
        except FileNotFoundError:
            have = ", ".join(map(str, self.steps())) or "none"
            raise NotFoundError(
                f"there is no whole checkpoint of step {step} in {str(self._folder)!r}; it has {have}"
            ) from None
        except (msgspec.MsgspecError, OSError) as error:
            raise TrainingError(f"checkpoint {step} in {str(self._folder)!r} cannot be read: {error}") from None
        if hashlib.sha256(content).hexdigest() != description.sha256:
            raise TrainingError(f"checkpoint {step} in {str(self._folder)!r} does not match its digest; it was altered")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return Checkpoint(description.step, _unescaped(arrays), description.facts)

    def latest(self, *, notice: Notice = lambda _message: None) -> Checkpoint | None:
        """The newest sound checkpoint; damaged ones are passed over, each with a notice. None where there is none."""
        for step in reversed(self.steps()):
            try:
                return self.load(step)
            except (NotFoundError, TrainingError) as error:
                notice(f"{error}; going back to the one before it")
        return None

    def _arrays_path(self, step: int) -> Path:
        return self._folder / f"checkpoint-{step}.npz"

    def _description_path(self, step: int) -> Path:
        return self._folder / f"checkpoint-{step}.json"


def _escaped(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    # NumPy makes a file of each name; a slash in one would make folders in the archive.
    return {name.replace("/", ":"): array for name, array in arrays.items()}


def _unescaped(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.replace(":", "/"): arrays[name] for name in arrays}
