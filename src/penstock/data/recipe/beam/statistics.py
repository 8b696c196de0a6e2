"""Statistics of columns in a pipeline."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam

from penstock.data.expressions.symbols import call, column
from penstock.data.recipe.beam.aggregates import Aggregation, aggregation_of, cut
from penstock.data.recipe.beam.batched import Batched
from penstock.data.recipe.projection import Projection, computed
from penstock.data.recipe.row_values import Row
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.schema import DataType

__all__ = ["measured"]


def measured(rows: Batched, statistics: Sequence[Statistic], *, label: str) -> Any:
    """A PCollection of one value: the Statistics of these rows."""
    values = []
    for index, statistic in enumerate(statistics):
        symbol = column(statistic.column)
        is_text = rows.schema[statistic.column].type is DataType.STRING
        if statistic.kind == "values" and not is_text:
            symbol = call("string", symbol)
        values.append(computed(f"s{index}", symbol.expression, rows.schema))
    chosen = rows.projected([Projection(tuple(values))], label=f"{label}: columns")
    return chosen.rows | f"{label}: combine" >> beam.CombineGlobally(_Measure(statistics))


class _Measure(beam.CombineFn):  # type: ignore[misc]
    def __init__(self, statistics: Sequence[Statistic]) -> None:
        self._statistics = tuple(statistics)
        self._aggregations = [_aggregation(statistic) for statistic in statistics]

    def create_accumulator(self) -> list[Any]:
        return [aggregation.create() for aggregation in self._aggregations]

    def add_input(self, mutable_accumulator: list[Any], element: Row) -> list[Any]:
        for index, (aggregation, value) in enumerate(zip(self._aggregations, element, strict=True)):
            if value is not None:
                mutable_accumulator[index] = aggregation.add(mutable_accumulator[index], value)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged = [
                aggregation.merge(left, right)
                for aggregation, left, right in zip(self._aggregations, merged, accumulator, strict=True)
            ]
        return merged

    def extract_output(self, accumulator: list[Any]) -> Statistics:
        return {
            statistic: aggregation.result(state)
            for statistic, aggregation, state in zip(self._statistics, self._aggregations, accumulator, strict=True)
        }


class _Cut(Aggregation):
    """The first value that has a fraction of them at or below it. It holds all values."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def create(self) -> list[Any]:
        return []

    def add(self, state: list[Any], value: Any) -> list[Any]:
        state.append(value)
        return state

    def merge(self, left: list[Any], right: list[Any]) -> list[Any]:
        return left + right

    def result(self, state: list[Any]) -> Any:
        return cut(sorted(state), self._fraction)


class _Values(Aggregation):
    """The most frequent values, ties by value."""

    def __init__(self, most: int) -> None:
        self._most = most

    def create(self) -> Counter[str]:
        return Counter()

    def add(self, state: Counter[str], value: str) -> Counter[str]:
        state[value] += 1
        return state

    def merge(self, left: Counter[str], right: Counter[str]) -> Counter[str]:
        left.update(right)
        return left

    def result(self, state: Counter[str]) -> tuple[str, ...]:
        ordered = sorted(state.items(), key=lambda item: (-item[1], item[0]))
        return tuple(value for value, _ in ordered[: self._most])


def _aggregation(statistic: Statistic) -> Aggregation:
    match statistic.kind:
        case "values":
            return _Values(int(statistic.argument))
        case "cut":
            return _Cut(statistic.argument)
        case "quantile":
            return aggregation_of("quantile", DataType.FLOAT, statistic.argument)
        case _:
            return aggregation_of(statistic.kind, DataType.FLOAT)
