"""What runs recipes: the seam that DuckDB and Apache Beam stand behind."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from penstock.data.columns import ColumnBatch
from penstock.data.databases import without_password
from penstock.data.options import Progress
from penstock.data.recipe.check import CheckedRecipe, CheckedStep
from penstock.data.recipe.document import read_options
from penstock.data.recipe.prepared import with_noted_types
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.recipe.steps.base import Step
from penstock.data.schema import Schema
from penstock.data.table import Table, open_table
from penstock.errors import ConfigError
from penstock.settings import Settings

__all__ = ["FileFormat", "PrepareEngine", "RecipeTables", "Target", "Watch", "open_tables", "sources_of"]

FileFormat = Literal["parquet", "csv"]

Watch = Callable[[Progress], None]
"""Told how far the work is."""


@dataclass(frozen=True)
class RecipeTables:
    """The tables of a recipe, open. source: its rows. others: by the name that steps have for them."""

    source: Table
    others: Mapping[str, Table]

    @property
    def schemas(self) -> Mapping[str, Schema]:
        """The columns of the other tables."""
        return {name: table.schema for name, table in self.others.items()}

    @property
    def all(self) -> tuple[Table, ...]:
        return (self.source, *self.others.values())


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a piece of a result goes.

    folder: exists and is empty. piece: its number, from 0, below `pieces`; None for all of them in one. is_single: one
    file is wanted.
    """

    folder: Path
    file_format: FileFormat
    piece: int | None = None
    is_single: bool = False


class PrepareEngine(Protocol):
    """Runs checked recipes. Each engine gives the same rows; a step that it cannot run it refuses beforehand."""

    @property
    def name(self) -> str: ...

    def refusal(self, step: Step) -> str | None:
        """Why it cannot run a step, with its place in the recipe; None if it can."""

    def measure(
        self, tables: RecipeTables, steps: Sequence[CheckedStep], statistics: Sequence[Statistic]
    ) -> Statistics:
        """Statistics of the rows after these steps, whose own are resolved."""

    def preview(self, tables: RecipeTables, checked: CheckedRecipe, *, rows: int) -> ColumnBatch:
        """The first rows of the result."""

    def pieces(self, tables: RecipeTables, checked: CheckedRecipe) -> int:
        """Into how many pieces the work falls that can be done, and done again, one by one."""

    def write(self, tables: RecipeTables, checked: CheckedRecipe, target: Target, *, watch: Watch) -> int:
        """Writes a piece of the result; returns how many rows it has."""


@contextmanager
def open_tables(recipe: Recipe, *, settings: Settings, watch: Watch | None = None) -> Iterator[RecipeTables]:
    """The tables that a recipe reads. Raises ConfigError if it names no source, and what `open_table` raises."""
    if recipe.source is None:
        raise ConfigError("the recipe names no source; add 'source: FILE', or give the file on the command line")
    opened: dict[str, Table] = {}
    source = _opened(recipe.source, recipe.read, settings, "the source", watch)
    try:
        for name in sources_of(recipe):
            known = recipe.tables.get(name)
            read = {} if known is None else known.read
            place = f"table {without_password(name)!r}"
            opened[name] = _opened(name if known is None else known.source, read, settings, place, watch)
        yield RecipeTables(source, opened)
    finally:
        for table in (source, *opened.values()):
            with suppress(OSError):
                table.close()


def sources_of(recipe: Recipe) -> tuple[str, ...]:
    """The other tables that steps name, each once."""
    return tuple(dict.fromkeys(name for step in recipe.steps for name in step.sources))


def _opened(
    source: str | tuple[str, ...], read: Mapping[str, object], settings: Settings, place: str, watch: Watch | None
) -> Table:
    def report(progress: Progress) -> None:
        if watch is not None:
            watch(Progress(stage=f"opening {place}", fraction=progress.fraction))

    options = with_noted_types(read_options(read, place=place), source)
    return open_table(source, settings=settings, options=options, progress=None if watch is None else report)
