"""Aggregates of many rows as mergeable values, so that Beam can combine them anywhere in any order."""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam

from penstock.data.recipe.row_values import Row
from penstock.data.recipe.steps.aggregate import Grouping
from penstock.data.schema import DataType

__all__ = ["AggregateRows", "Aggregation", "aggregation_of", "cut", "quantile"]

_LARGEST = 2**53


class Aggregation(ABC):
    """One aggregate. Its state starts as `create()`; values are never None, but for a count of rows."""

    @abstractmethod
    def create(self) -> Any: ...

    @abstractmethod
    def add(self, state: Any, value: Any) -> Any: ...

    @abstractmethod
    def merge(self, left: Any, right: Any) -> Any: ...

    @abstractmethod
    def result(self, state: Any) -> Any: ...


class _Count(Aggregation):
    def create(self) -> int:
        return 0

    def add(self, state: int, value: Any) -> int:
        return state + 1

    def merge(self, left: int, right: int) -> int:
        return left + right

    def result(self, state: int) -> int:
        return state


class _Sum(Aggregation):
    """Exact, by Shewchuk's partial sums, whatever the order."""

    def create(self) -> tuple[int, list[float]]:
        return 0, []

    def add(self, state: tuple[int, list[float]], value: float) -> tuple[int, list[float]]:
        count, partials = state
        return count + 1, _grown(partials, float(value))

    def merge(self, left: tuple[int, list[float]], right: tuple[int, list[float]]) -> tuple[int, list[float]]:
        partials = left[1]
        for partial in right[1]:
            partials = _grown(partials, partial)
        return left[0] + right[0], partials

    def result(self, state: tuple[int, list[float]]) -> float | None:
        return _finite(_total(state[1])) if state[0] else None


class _WholeSum(Aggregation):
    def create(self) -> int | None:
        return None

    def add(self, state: int | None, value: int) -> int:
        return value if state is None else state + value

    def merge(self, left: int | None, right: int | None) -> int | None:
        return left if right is None else self.add(left, right)

    def result(self, state: int | None) -> int | None:
        return None if state is None or abs(state) > _LARGEST else state


class _Mean(_Sum):
    def result(self, state: tuple[int, list[float]]) -> float | None:
        return _finite(_total(state[1]) / state[0]) if state[0] else None


class _Variance(Aggregation):
    """By Chan's pairwise update of count, mean and squared deviations."""

    def create(self) -> tuple[int, float, float]:
        return 0, 0.0, 0.0

    def add(self, state: tuple[int, float, float], value: float) -> tuple[int, float, float]:
        count, mean, squares = state
        delta = value - mean
        mean += delta / (count + 1)
        return count + 1, mean, squares + delta * (value - mean)

    def merge(self, left: tuple[int, float, float], right: tuple[int, float, float]) -> tuple[int, float, float]:
        if not left[0] or not right[0]:
            return left if left[0] else right
        count = left[0] + right[0]
        delta = right[1] - left[1]
        mean = left[1] + delta * right[0] / count
        return count, mean, left[2] + right[2] + delta * delta * left[0] * right[0] / count

    def result(self, state: tuple[int, float, float]) -> float | None:
        return _finite(state[2] / (state[0] - 1)) if state[0] > 1 else None


class _Deviation(_Variance):
    def result(self, state: tuple[int, float, float]) -> float | None:
        variance = super().result(state)
        return None if variance is None else math.sqrt(variance)


class _Extreme(Aggregation):
    """The value that wins every comparison: min, max, or; all of booleans is their least, any their greatest."""

    def __init__(self, is_greatest: bool) -> None:
        self._is_greatest = is_greatest

    def create(self) -> None:
        return None

    def add(self, state: Any, value: Any) -> Any:
        if state is None:
            return value
        return max(state, value) if self._is_greatest else min(state, value)

    def merge(self, left: Any, right: Any) -> Any:
        return left if right is None else self.add(left, right)

    def result(self, state: Any) -> Any:
        return state


class _Distinct(Aggregation):
    def create(self) -> set[Any]:
        return set()

    def add(self, state: set[Any], value: Any) -> set[Any]:
        state.add(value)
        return state

    def merge(self, left: set[Any], right: set[Any]) -> set[Any]:
        return left | right

    def result(self, state: set[Any]) -> int:
        return len(state)


class _Mode(Aggregation):
    def create(self) -> Counter[Any]:
        return Counter()

    def add(self, state: Counter[Any], value: Any) -> Counter[Any]:
        state[value] += 1
        return state

    def merge(self, left: Counter[Any], right: Counter[Any]) -> Counter[Any]:
        left.update(right)
        return left

    def result(self, state: Counter[Any]) -> Any:
        most = max(state.values(), default=0)
        return min((value for value, count in state.items() if count == most), default=None)


class _Quantile(Aggregation):
    """Exact: it holds all values."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def create(self) -> list[float]:
        return []

    def add(self, state: list[float], value: float) -> list[float]:
        state.append(float(value))
        return state

    def merge(self, left: list[float], right: list[float]) -> list[float]:
        return left + right

    def result(self, state: list[float]) -> float | None:
        found = quantile(sorted(state), self._fraction)
        return None if found is None else _finite(found)


def aggregation_of(function: str, result: DataType, number: float | None = None) -> Aggregation:
    """An aggregate of `penstock.data.recipe.steps.aggregate.AGGREGATES` by name; result: the type it yields."""
    match function:
        case "count":
            return _Count()
        case "distinct":
            return _Distinct()
        case "sum":
            return _WholeSum() if result is DataType.INTEGER else _Sum()
        case "mean":
            return _Mean()
        case "min" | "all":
            return _Extreme(is_greatest=False)
        case "max" | "any":
            return _Extreme(is_greatest=True)
        case "median":
            return _Quantile(0.5)
        case "quantile":
            return _Quantile(0.0 if number is None else number)
        case "std":
            return _Deviation()
        case "variance":
            return _Variance()
        case _:
            return _Mode()


class AggregateRows(beam.CombineFn):  # type: ignore[misc]
    """Rows after `grouping.before` to the results of its calls, in order."""

    def __init__(self, grouping: Grouping) -> None:
        names = grouping.before.schema.names
        self._places = [None if source is None else names.index(source) for _, _, source, _ in grouping.calls]
        self._aggregates = [
            aggregation_of(function, result.type, number) for result, function, _, number in grouping.calls
        ]

    def create_accumulator(self) -> list[Any]:
        return [aggregate.create() for aggregate in self._aggregates]

    def add_input(self, mutable_accumulator: list[Any], element: Row) -> list[Any]:
        for index, (aggregate, place) in enumerate(zip(self._aggregates, self._places, strict=True)):
            value = 1 if place is None else element[place]
            if value is not None:
                mutable_accumulator[index] = aggregate.add(mutable_accumulator[index], value)
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Any]]) -> list[Any]:
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged = [
                aggregate.merge(left, right)
                for aggregate, left, right in zip(self._aggregates, merged, accumulator, strict=True)
            ]
        return merged

    def extract_output(self, accumulator: list[Any]) -> Row:
        return tuple(aggregate.result(state) for aggregate, state in zip(self._aggregates, accumulator, strict=True))


def quantile(ordered: Sequence[float], fraction: float) -> float | None:
    """Of rising values, by linear interpolation between the two nearest."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * fraction
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def cut(ordered: Sequence[Any], fraction: float) -> Any:
    """Of rising values, the first that has at least that fraction of them at or below it."""
    if not ordered:
        return None
    count = len(ordered)
    return ordered[max(1, count - math.floor(count - fraction * count)) - 1]


def _grown(partials: Sequence[float], value: float) -> list[float]:
    """The non-overlapping partial sums of `math.fsum`, with one more value."""
    grown: list[float] = []
    for partial in partials:
        if abs(value) < abs(partial):
            value, partial = partial, value
        high = value + partial
        low = partial - (high - value)
        if low:
            grown.append(low)
        value = high
    return [*grown, value]


def _total(partials: Sequence[float]) -> float:
    try:
        return math.fsum(partials)
    except (OverflowError, ValueError):
        return math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
