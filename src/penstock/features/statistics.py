"""What training data is like, column by column: what feature columns are fitted to. Gathered in one pass of batches."""

from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.schema import DataType, Schema
from penstock.errors import DataError
from penstock.features.accumulation import NumberAccumulator, RowSample, WordAccumulator
from penstock.features.dates import DatePartName

__all__ = ["ColumnStatistics", "NumberSummary", "Statistics", "gather_statistics"]


class NumberSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The finite numbers of a column; of a timestamp, its microseconds since 1970.

    quantiles: at `i / (len - 1)`, ascending; the first is the minimum, the last the maximum. Empty where there is no
        finite number. Of a table above 100,000 rows, those of a seeded sample of that size.
    std: of the population.
    """

    mean: float
    std: float
    minimum: float
    maximum: float
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "NumberSummary":
        """Of at least one finite number."""
        return cls(
            mean=float(values.mean()),
            std=float(values.std()),
            minimum=float(values.min()),
            maximum=float(values.max()),
            quantiles=quantiles_of(values),
        )

    def quantile(self, level: float) -> float:
        """The value that a share `level` of the column lies below."""
        return float(np.interp(level, np.linspace(0.0, 1.0, len(self.quantiles)), self.quantiles))

    @property
    def median(self) -> float:
        return self.quantile(0.5)


class ColumnStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One column of the training data.

    rows, missing: counts. distinct: number of distinct present values; beyond `values_are_all`, an estimate.
    numbers: None for strings, and where no finite number is present.
    values, counts: the most frequent values, most frequent first (ties in the order of the values): words in NFC, or
        numbers. `values_are_all`: whether these are all there are.
    date_parts: which ids of each part occur, ascending; of timestamps only.
    """

    name: str
    type: DataType
    rows: int
    missing: int
    distinct: int
    numbers: NumberSummary | None = None
    values: tuple[str, ...] | tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    values_are_all: bool = True
    date_parts: dict[DatePartName, tuple[int, ...]] = {}

    @property
    def present(self) -> int:
        return self.rows - self.missing

    @property
    def is_constant(self) -> bool:
        return self.distinct == 1 and self.missing == 0


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """The training data: its columns' types, the statistics of each, and up to 10,000 rows drawn uniformly."""

    schema: Schema
    columns: dict[str, ColumnStatistics]
    sample: ColumnBatch

    def __getitem__(self, name: str) -> ColumnStatistics:
        """Of the column of that name. Raises DataError with the names there are."""
        return self.columns[self.schema[name].name]

    @property
    def rows(self) -> int:
        return next(iter(self.columns.values())).rows if self.columns else 0


def gather_statistics(batches: Iterable[ColumnBatch]) -> Statistics:
    """The statistics of all rows of the batches, in one pass and bounded memory.

    A column in which a value is missing is nullable in the resulting schema whatever its schema said before. The result
    depends on the rows and their order alone. Raises DataError where there is no row.
    """
    schema: Schema | None = None
    sample: RowSample | None = None
    accumulators: dict[str, NumberAccumulator | WordAccumulator] = {}
    for batch in batches:
        if schema is None:
            schema = batch.schema
            accumulators = {
                column.name: WordAccumulator() if column.type is DataType.STRING else NumberAccumulator(column.type)
                for column in schema
                if column.type is not DataType.IMAGE
            }
            sample = RowSample(schema)
        assert sample is not None
        sample.add(batch)
        for name, accumulator in accumulators.items():
            accumulator.add(batch[name])
    if schema is None or sample is None or not sample.seen:
        raise DataError("the training data has no rows; features need at least one row to be fitted to")
    columns = {name: _finish(name, schema[name].type, accumulator) for name, accumulator in accumulators.items()}
    return Statistics(schema=_with_nullability(schema, columns), columns=columns, sample=sample.rows())


def _with_nullability(schema: Schema, columns: dict[str, ColumnStatistics]) -> Schema:
    return Schema(
        tuple(
            msgspec.structs.replace(column, nullable=True)
            if column.name in columns and columns[column.name].missing
            else column
            for column in schema
        )
    )


def _finish(name: str, data_type: DataType, accumulator: NumberAccumulator | WordAccumulator) -> ColumnStatistics:
    values, counts, are_all = accumulator.frequent()
    numbers = None
    if isinstance(accumulator, NumberAccumulator) and accumulator.finite:
        numbers = NumberSummary(
            mean=accumulator.mean,
            std=accumulator.std,
            minimum=accumulator.minimum,
            maximum=accumulator.maximum,
            quantiles=quantiles_of(accumulator.sample(), accumulator.minimum, accumulator.maximum),
        )
    return ColumnStatistics(
        name=name,
        type=data_type,
        rows=accumulator.rows,
        missing=accumulator.missing,
        distinct=accumulator.distinct(),
        numbers=numbers,
        values=values,
        counts=counts,
        values_are_all=are_all,
        date_parts=accumulator.date_parts() if isinstance(accumulator, NumberAccumulator) else {},
    )


_QUANTILE_STEPS = 1000


def quantiles_of(
    values: NDArray[np.float64], minimum: float | None = None, maximum: float | None = None
) -> tuple[float, ...]:
    """Quantiles of at least one finite number. minimum, maximum: of all numbers, where `values` is a sample of them."""
    levels = np.linspace(0.0, 1.0, _QUANTILE_STEPS + 1)
    # "inverted_cdf" and its kin pick values that occur; interpolation would make new ones between integers.
    quantiles = np.quantile(values, levels, method="inverted_cdf")
    if minimum is not None and maximum is not None:
        quantiles[0], quantiles[-1] = minimum, maximum
    return tuple(quantiles.tolist())
