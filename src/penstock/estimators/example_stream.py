"""Rows of a table too large for memory: read in blocks of rows, each by itself, as labelled examples.

A block is a range of positions in the table. Which of its rows lie on this side of a split depends on their positions
alone, so every block's number of rows is known before any is read, and any block can be read anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, concatenate
from penstock.data.schema import Schema
from penstock.data.table import Table
from penstock.estimators.examples import (
    Batching,
    Examples,
    InputSource,
    called,
    column_labels,
    examples_of,
    row_weights,
)
from penstock.estimators.memory_budget import MemoryBudget
from penstock.estimators.row_split import RowSplit

__all__ = ["ExampleBlock", "ExampleStream", "StreamSource", "held_in_memory", "open_examples"]


@dataclass(frozen=True)
class ExampleBlock:
    """examples: rows of one block. positions: theirs in the table. first_row: how many rows blocks before it have."""

    examples: Examples
    positions: NDArray[np.int64]
    first_row: int


@dataclass(frozen=True, kw_only=True)
class ExampleStream:
    """names: columns to read beside the label. weight: the table's column of weights; weight_column: one of `names`."""

    table: Table
    names: tuple[str, ...]
    label: str
    budget: MemoryBudget
    split: RowSplit | None = None
    weight: str | None = None
    weight_column: str | None = None
    batching: Batching = field(default_factory=Batching)
    most_rows: int | None = None

    @cached_property
    def schema(self) -> Schema:
        """Of the features, weights among them only where they are read as one."""
        return self.table.schema.select(tuple(name for name in self.names if name != self.weight_column))

    @cached_property
    def block_rows(self) -> int:
        """Positions of a block, the last one aside."""
        return self.budget.rows_at_once(self.table.schema.select(self._read))

    @property
    def blocks(self) -> int:
        return -(-self.table.count() // self.block_rows)

    @cached_property
    def rows(self) -> int:
        """On this side of the split."""
        return int(self._firsts[-1])

    @cached_property
    def data_digest(self) -> str:
        return self.table.digest()

    @property
    def unread(self) -> tuple[str, ...]:
        """Columns of the table that are no features."""
        used = (*self.schema.names, self.label)
        return tuple(name for name in self.table.schema.names if name not in used)

    @property
    def identity(self) -> list[Any]:
        """What says which rows these are, as JSON values."""
        split = None if self.split is None else [self.split.evaluation, self.split.seed, self.split.side]
        return [self.data_digest, self._read, self.weight, self.weight_column, self.block_rows, split]

    @property
    def is_random_access(self) -> bool:
        """Whether any block is read as fast as the next one."""
        return bool(self.table.scan.parquet)

    def weighted_by(self, column: str | None) -> "ExampleStream":
        """The same rows with a column of the features as their weights; with None, as they are."""
        return self if column is None else replace(self, weight_column=column)

    def first(self, rows: int) -> "ExampleStream":
        """About the first `rows` rows, to the end of a block."""
        return replace(self, most_rows=rows)

    def positions(self, block: int) -> NDArray[np.int64]:
        """Positions in the table of the block's rows on this side."""
        first = block * self.block_rows
        positions = np.arange(first, min(first + self.block_rows, self.table.count()))
        return positions if self.split is None else positions[self.split.has(positions)]

    def read(self, first: int = 0) -> Iterator[ExampleBlock]:
        """Blocks from the `first`-th on."""
        names = self._read
        source = self.table.chunks(
            self.block_rows,
            columns=names,
            first_row=first * self.block_rows,
            memory_limit_mb=self.budget.database_mb,
        )
        pieces: list[ColumnBatch] = []
        block = first
        for piece in source:
            pieces.append(piece)
            wanted = min(self.block_rows, self.table.count() - block * self.block_rows)
            # Chunks end where a file ends; blocks do not.
            while sum(one.rows for one in pieces) >= wanted > 0:
                batch = concatenate(pieces) if len(pieces) > 1 else pieces[0]
                yield self._block(block, batch.take(slice(0, wanted)))
                pieces = [batch.take(slice(wanted, None))] if batch.rows > wanted else []
                block += 1
                wanted = min(self.block_rows, self.table.count() - block * self.block_rows)

    def batches(self) -> Iterator[Examples]:
        """All rows, or the first `most_rows`, in the order of the table."""
        left = self.rows if self.most_rows is None else self.most_rows
        for block in self.read():
            examples = block.examples
            if examples.features.rows > left:
                examples = examples.take(slice(0, left))
            if examples.features.rows:
                yield examples
            left -= examples.features.rows
            if left <= 0:
                return

    @property
    def _read(self) -> tuple[str, ...]:
        weight = () if self.weight is None or self.weight in self.names else (self.weight,)
        return (*self.names, *weight, self.label)

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        """Rows on this side before each block, and in all: `[blocks + 1]`."""
        counts = [len(self.positions(block)) for block in range(self.blocks)]
        return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def _block(self, block: int, batch: ColumnBatch) -> ExampleBlock:
        positions = self.positions(block)
        if len(positions) < batch.rows:
            batch = batch.take(positions - block * self.block_rows)
        weight = self.weight if self.weight_column is None else self.weight_column
        examples = Examples(
            features=batch.select(self.schema.names),
            labels=column_labels(batch, self.label),
            label=self.label,
            weights=None if weight is None else row_weights(batch[weight], weight, needs_some=False),
            batching=self.batching,
            unread=self.unread,
        )
        return ExampleBlock(examples, positions, int(self._firsts[block]))


class StreamSource(InputSource):
    """An input that may be too large for memory."""

    def stream(self, schema: Schema | None) -> ExampleStream | None:
        """The rows where they do not fit in memory; None where they do. schema: as in `examples`."""
        raise NotImplementedError


def open_examples(
    input_fn: Callable[[], Any], *, schema: Schema | None = None, most_batches: int | None = None
) -> Examples | ExampleStream:
    """As `read_examples`, but of rows that do not fit in memory a stream."""
    value = called(input_fn)
    if isinstance(value, StreamSource) and (stream := value.stream(schema)) is not None:
        return stream
    return examples_of(value, schema=schema, most_batches=most_batches)


def held_in_memory(input_fn: Callable[[], Any]) -> Any:
    """What an input function returns, read whole where it is a table. Raises DataError where that does not fit."""
    value = called(input_fn)
    return value if not isinstance(value, StreamSource) else HeldSource(value)


class HeldSource(InputSource):
    """An input that may be large, for those who need all rows in memory."""

    def __init__(self, source: StreamSource) -> None:
        self._source = source

    def examples(self, schema: Schema | None) -> Examples:
        return self._source.examples(schema)
