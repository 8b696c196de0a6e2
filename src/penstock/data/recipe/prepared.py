"""`_recipe.json`: stands beside prepared rows, so that a training finds the recipe and a rerun finds itself done."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from penstock.data.columns import ColumnBatch
from penstock.data.databases import without_password
from penstock.data.options import ReadOptions
from penstock.data.recipe.document import read_recipe, written_recipe
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.row_values import batch_of, rows_of
from penstock.data.recipe.serving import ServingPlan
from penstock.data.schema import Column
from penstock.errors import DataError, NotFoundError, StoreError
from penstock.store import blobs

__all__ = [
    "NAME",
    "PreparedTable",
    "SentColumnNote",
    "find_prepared",
    "note_of_file",
    "prepared",
    "read_prepared",
    "with_noted_types",
]

NAME = "_recipe.json"

_FORMAT_VERSION = 1


class SentColumnNote(msgspec.Struct, frozen=True):
    """A column that callers of a served model send because a step cannot make it of one row, and why."""

    name: str
    reason: str


class PreparedTable(msgspec.Struct, frozen=True, kw_only=True):
    """digest: of the recipe and of what it read. file_bytes: of all files of rows together.

    recipe: with every statistic as the value it had, and without passwords. source: the columns of the raw rows;
    columns: of the prepared.
    serving: the row program from the one to the other, as JSON. sent: its inputs that are no columns of the source.
    samples: some rows of the source, those of its columns that the row program takes; none where the recipe makes new
    rows of many.
    """

    version: int = _FORMAT_VERSION
    digest: str
    file_bytes: int
    created: str
    engine: str
    rows: int
    recipe: dict[str, Any]
    source: tuple[Column, ...]
    columns: tuple[Column, ...]
    serving: msgspec.Raw
    sent: tuple[SentColumnNote, ...]
    versions: dict[str, str]
    samples: tuple[tuple[Any, ...], ...] = ()

    @property
    def steps(self) -> Recipe:
        return read_recipe(msgspec.json.encode(self.recipe).decode(), name=NAME)

    @property
    def serving_program(self) -> RowProgram:
        """From a raw row to the prepared columns, but those that `split` adds."""
        return RowProgram.from_json(bytes(self.serving))

    @property
    def sample_rows(self) -> ColumnBatch:
        """The rows of `samples`: the row program's inputs but those that are sent in a step's place."""
        sent = [item.name for item in self.sent]
        return batch_of(self.samples, self.serving_program.input_schema.without(*sent))

    def to_json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def prepared(
    plan: ServingPlan,
    recipe: Recipe,
    *,
    columns: tuple[Column, ...],
    source: tuple[Column, ...],
    samples: ColumnBatch | None,
    **facts: Any,
) -> PreparedTable:
    """The note of a finished preparation. samples: rows of the source. facts: the other fields."""
    return PreparedTable(
        recipe=written_recipe(recipe.placed(without_password)),
        source=source,
        columns=columns,
        serving=msgspec.Raw(plan.program.to_json()),
        sent=tuple(SentColumnNote(item.column.name, item.reason) for item in plan.sent),
        samples=() if samples is None else tuple(rows_of(samples)),
        **facts,
    )


def read_prepared(text: bytes, *, place: str) -> PreparedTable:
    """The note in these bytes. Raises DataError if they are none, or of another format."""
    try:
        note = msgspec.json.decode(text, type=PreparedTable)
    except msgspec.DecodeError as error:
        raise DataError(f"{place} cannot be read: {error}") from error
    if note.version != _FORMAT_VERSION:
        raise DataError(f"{place} is of format {note.version}; this release reads {_FORMAT_VERSION}")
    return note


def find_prepared(source: object) -> PreparedTable | None:
    """The note beside the rows of a table's source, None where it was not prepared by a recipe.

    source: as a table is named; a folder that `prepare` wrote, a folder of one of its parts, or a file it wrote.
    """
    if not isinstance(source, str):
        return None
    if not blobs.is_local(source):
        return _find_far(source.rstrip("/"))
    path = Path(source).expanduser()
    beside = note_of_file(path) if path.suffix else path / NAME
    # The folder of a partition, `split=train`, lies in the one that was written.
    above = [folder / NAME for folder, inner in pairwise([*reversed(path.parents), path]) if "=" in inner.name]
    for place in (beside, *above):
        if place.is_file():
            return read_prepared(place.read_bytes(), place=str(place))
    return None


def with_noted_types(options: ReadOptions, source: object) -> ReadOptions:
    """What is told about a table, and the types of its columns that stand in folders' names, where a recipe made it."""
    note = find_prepared(source)
    if note is None or note.steps.output.format == "csv":
        return options
    parts = note.steps.output.partition_by
    return replace(
        options, types={**{item.name: item.type for item in note.columns if item.name in parts}, **options.types}
    )


def _find_far(uri: str) -> PreparedTable | None:
    """The note beside rows in an object store."""
    folder, _, name = uri.rpartition("/")
    places = [(folder, note_of_file(Path(name)).name) if Path(name).suffix else (uri, NAME)]
    while "=" in name:
        places.append((folder, NAME))
        folder, _, name = folder.rpartition("/")
    for place, note in places:
        try:
            return read_prepared(blobs.read_bytes(place, note), place=place)
        except (NotFoundError, StoreError):
            continue
    return None


def note_of_file(path: Path) -> Path:
    """Where the note of rows in a single file stands: `rides.parquet` has `_rides.parquet.recipe.json` beside it."""
    return path.with_name(f"_{path.name}.recipe.json")
