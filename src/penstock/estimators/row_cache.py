"""Encoded rows on disk, a file a block, read through memory maps: what every epoch after the first reads.

A file is written under a temporary name and renamed, so it is there whole or not at all, and a training that was killed
finds what it had written. Arrays lie one after the other, in the order of `Rows`; the layout is the same in all files.
"""

import os
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import TrainingError
from penstock.estimators.loop import Rows

__all__ = ["RowCache", "RowLayout"]

_KEPT_S = 7 * 24 * 3600.0


@dataclass(frozen=True)
class RowLayout:
    """What of a row is kept: type and shape of each input, of the label, and of the weight (None for none)."""

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    label: tuple[str, tuple[int, ...]]
    is_weighted: bool

    @classmethod
    def of(cls, rows: Rows) -> "RowLayout":
        assert rows.labels is not None
        return cls(tuple(map(_kind, rows.inputs)), _kind(rows.labels), rows.weights is not None)

    @property
    def parts(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        return (*self.inputs, self.label, *((("<f4", ()),) if self.is_weighted else ()))

    @property
    def row_bytes(self) -> int:
        return sum(np.dtype(kind).itemsize * int(np.prod(shape)) for kind, shape in self.parts)

    def rows(self, arrays: list[NDArray[Any]]) -> Rows:
        """Arrays in the order of `parts` as rows."""
        count = len(self.inputs)
        return Rows(tuple(arrays[:count]), arrays[count], arrays[count + 1] if self.is_weighted else None)


class RowCache:
    """The files of one training in a folder of their own. key: names everything that they depend on."""

    def __init__(self, folder: Path, *, key: str) -> None:
        _remove_forgotten(folder)
        self._folder = folder / key

    def has(self, block: int, count: int, layout: RowLayout) -> bool:
        try:
            return self._path(block).stat().st_size == count * layout.row_bytes
        except OSError:
            return False

    def write(self, block: int, rows: Rows) -> None:
        """Raises TrainingError where the disk does not take them."""
        layout = RowLayout.of(rows)
        path = self._path(block)
        temporary = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                for array, (kind, _) in zip(_arrays(rows), layout.parts, strict=True):
                    file.write(np.ascontiguousarray(array, dtype=kind).data)
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            raise TrainingError(
                f"caching encoded rows in {str(self._folder)!r} failed: {error.strerror}; free disk space under "
                "PENSTOCK_HOME, or raise PENSTOCK_TRAINING_MEMORY_MB so that the table is trained on in memory"
            ) from error

    def read(self, block: int, count: int, layout: RowLayout) -> Rows:
        """The block's rows, mapped: nothing is read before it is looked at."""
        whole = np.memmap(self._path(block), dtype=np.uint8, mode="r")
        arrays, start = [], 0
        for kind, shape in layout.parts:
            size = np.dtype(kind).itemsize * int(np.prod(shape)) * count
            arrays.append(whole[start : start + size].view(kind).reshape(count, *shape))
            start += size
        return layout.rows(arrays)

    def check_room(self, needed_bytes: int) -> None:
        """Raises TrainingError where the disk has not that much free besides what is cached already."""
        self._folder.mkdir(parents=True, exist_ok=True)
        here = sum(path.stat().st_size for path in self._folder.glob("*.rows"))
        free = shutil.disk_usage(self._folder).free
        if needed_bytes - here > free:
            raise TrainingError(
                f"the encoded rows take {needed_bytes / 1e9:.2f} GB in {str(self._folder)!r} and its disk has "
                f"{free / 1e9:.2f} GB free; free disk space, or move PENSTOCK_HOME to a larger disk"
            )

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, block: int) -> Path:
        return self._folder / f"{block:06}.rows"


def _kind(array: NDArray[Any]) -> tuple[str, tuple[int, ...]]:
    return array.dtype.newbyteorder("<").str, array.shape[1:]


def _arrays(rows: Rows) -> list[NDArray[Any]]:
    assert rows.labels is not None
    return [*rows.inputs, rows.labels, *(() if rows.weights is None else (rows.weights,))]


def _remove_forgotten(folder: Path) -> None:
    """Caches of trainings that were killed and not gone on with for a week."""
    if not folder.is_dir():
        return
    for one in folder.iterdir():
        with suppress(OSError):
            if time.time() - one.stat().st_mtime > _KEPT_S:
                shutil.rmtree(one, ignore_errors=True)
