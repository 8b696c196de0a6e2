"""Inputs of photos: folders of `class/file.jpg`, or a table with a column of paths. Lists files and opens none."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.schema import MISSING_STRING, DataType
from penstock.data.table import Table, open_table
from penstock.errors import DataError, NotFoundError, UsageError
from penstock.estimators.examples import column_labels
from penstock.settings import load_settings
from penstock.store import blobs

__all__ = ["PhotoInput", "find_photos", "photo_input_fn", "photo_input_fns", "photos_in_table"]

_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "eval", "evaluation"}


@dataclass(frozen=True, kw_only=True)
class PhotoInput:
    """Photos and what they show. files: folder and name of each. labels: one a photo; None to predict."""

    files: tuple[tuple[str, str], ...]
    labels: NDArray[Any] | None
    label: str = "class"

    def __len__(self) -> int:
        return len(self.files)

    def take(self, index: NDArray[np.int64]) -> "PhotoInput":
        labels = None if self.labels is None else self.labels[index]
        return replace(self, files=tuple(self.files[i] for i in index.tolist()), labels=labels)

    def digest(self) -> str:
        """SHA-256 of names, labels and sizes."""
        sizes: dict[str, dict[str, int]] = {}
        told = hashlib.sha256()
        for place, (folder, name) in enumerate(self.files):
            if folder not in sizes:
                sizes[folder] = blobs.list_files(folder, follow_links=True)
            label = "" if self.labels is None else self.labels[place]
            told.update(f"{name}\0{label}\0{sizes[folder].get(name, 0)}\n".encode())
        return told.hexdigest()


def find_photos(sources: str | Sequence[str]) -> PhotoInput:
    """The photos below one folder or several, each called by the first folder on its way (`ants/1.jpg`).

    Other files and hidden ones do not count. Raises NotFoundError, and DataError for folders without classes.
    """
    files: list[tuple[str, str]] = []
    labels: list[str] = []
    for source in [sources] if isinstance(sources, str) else sources:
        place = blobs.absolute(source)
        found = [
            name
            for name in blobs.list_files(place, follow_links=True)
            if name.lower().endswith(_ENDINGS) and not any(part.startswith(".") for part in name.split("/"))
        ]
        if not found:
            raise DataError(f"{source} holds no photos; expected folders of {', '.join(_ENDINGS)} files, one a class")
        loose = [name for name in found if "/" not in name]
        if loose:
            raise DataError(
                f"{len(loose)} photos of {source} lie in no class's folder (first: {loose[0]}); expected CLASS/FILE, "
                "or a table with a column of paths"
            )
        top = {name.partition("/")[0] for name in found}
        if {name.lower() for name in top} <= _SPLITS and all(name.count("/") > 1 for name in found):
            named = ", ".join(f"{source.rstrip('/')}/{name}" for name in sorted(top))
            raise DataError(
                f"the folders of {source} are parts of a split, not classes; name them by themselves: {named}"
            )
        files += [(place, name) for name in found]
        labels += [name.partition("/")[0] for name in found]
    return PhotoInput(files=tuple(files), labels=np.array(labels, dtype=object))


def photos_in_table(table: Table, *, label: str, image: str | None = None, folder: str = "") -> PhotoInput:
    """The photos that a table names. image: its column of paths; None for its only text column but the label.

    folder: what the paths are relative to. Raises DataError for a missing column or path.
    """
    texts = [column.name for column in table.schema if column.type is DataType.STRING and column.name != label]
    if image is None:
        if len(texts) != 1:
            raise UsageError(
                f"which column holds the paths of the photos? There is {', '.join(texts) or 'none'}; name it"
            )
        image = texts[0]
    batch = table.read([table.schema[image].name, table.schema[label].name])
    files = []
    for row, path in enumerate(batch[image].tolist()):
        if path in (MISSING_STRING, ""):
            raise DataError(f"column {image!r} has no path in row {row}")
        whole = path if "://" in path or path.startswith("/") else f"{folder}/{path}"
        parent, _, name = blobs.absolute(whole).rpartition("/")
        files.append((parent, name))
    return PhotoInput(files=tuple(files), labels=column_labels(batch, label), label=label)


def photo_input_fn(
    source: str | Sequence[str], *, label: str = "class", image: str | None = None
) -> Callable[[], PhotoInput]:
    """An input function over a folder of `class/file.jpg`, several of them, or a table with a column of paths.

    image: that column. Of a table, paths are relative to its folder.
    """
    made = _photos(source, label=label, image=image)
    return lambda: made


def photo_input_fns(
    source: str | Sequence[str],
    *,
    label: str = "class",
    image: str | None = None,
    evaluation: float | str | Sequence[str] = 0.2,
    seed: int = 0,
) -> tuple[Callable[[], PhotoInput], Callable[[], PhotoInput]]:
    """Two input functions: photos to train on and photos to evaluate on.

    evaluation: the share held out of each class, drawn by `seed`; or other folders.
    """
    photos = _photos(source, label=label, image=image)
    if not isinstance(evaluation, float | int):
        others = _photos(evaluation, label=label, image=image)
        return lambda: photos, lambda: others
    if not 0.0 < evaluation < 1.0:
        raise UsageError(f"evaluation is {evaluation}; expected a share of the photos between 0 and 1, or a folder")
    training, held_out = _split(photos, evaluation, seed=seed)
    return lambda: training, lambda: held_out


def _photos(source: str | Sequence[str], *, label: str, image: str | None) -> PhotoInput:
    sources = [source] if isinstance(source, str) else list(source)
    places = [blobs.absolute(one) for one in sources]
    if len(places) == 1 and blobs.is_local(places[0]) and blobs.local_path(places[0]).is_file():
        table = open_table(places[0], settings=load_settings())
        try:
            return photos_in_table(table, label=label, image=image, folder=places[0].rpartition("/")[0])
        finally:
            table.close()
    for one, place in zip(sources, places, strict=True):
        if not blobs.exists(place):
            raise NotFoundError(f"there is no folder {one}; expected one of class/file.jpg")
    return replace(find_photos(sources), label=label)


def _split(photos: PhotoInput, share: float, *, seed: int) -> tuple[PhotoInput, PhotoInput]:
    """Of each class as many, at least one on either side where it has two."""
    assert photos.labels is not None
    random = np.random.default_rng(seed)
    kept, held = [], []
    for name in sorted(set(photos.labels.tolist()), key=str):
        places = random.permutation(np.flatnonzero(photos.labels == name))
        count = min(len(places) - 1, max(1, round(len(places) * share)))
        held.append(places[:count])
        kept.append(places[count:])
    return photos.take(np.sort(np.concatenate(kept))), photos.take(np.sort(np.concatenate(held)))
