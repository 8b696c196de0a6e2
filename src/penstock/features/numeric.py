"""Numeric columns: missing values filled, outliers bounded, brought to a scale that networks learn from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import trace
from penstock.data.expressions.tree import references
from penstock.data.schema import DataType
from penstock.errors import ExpressionError, UsageError
from penstock.features.array_operators import ARRAYS
from penstock.features.block import Block
from penstock.features.column import BlockColumn, NumberColumn, raw_column
from penstock.features.dates import is_missing_time
from penstock.features.expression import check_expression, expression_values
from penstock.features.operators import Operators, Values
from penstock.features.statistics import ColumnStatistics, NumberSummary, Statistics

__all__ = [
    "NUMERIC_TYPES",
    "FittedNumeric",
    "NumericColumn",
    "RawNumber",
    "Scaling",
    "number_quantiles",
    "robust_scale",
    "standardize",
]

Scaling = Literal["standard", "robust"]

NUMERIC_TYPES = (DataType.INTEGER, DataType.FLOAT, DataType.BOOLEAN)

_BOUND = 1e4
"""Standardized values end here: what lies ten thousand deviations away, or is infinite, must not become NaN later."""

_SKEWED = 0.4
"""Of quantiles: (q95 - 2 q50 + q05) / (q95 - q05). A half-normal distribution has 0.36, an exponential one 0.56."""

_LARGEST = 1e30
"""Bound of what a `normalizer_fn` makes: well inside float32."""


@dataclass(frozen=True, kw_only=True)
class NumericColumn(BlockColumn, NumberColumn):
    """A number, or the microseconds of a timestamp; standardized unless `normalizer_fn` says otherwise.

    default_value: what a missing value becomes. None: the median, and an extra 0/1 value that says so if values were
        missing in training.
    normalizer_fn: takes an expression builder and returns one (`lambda x: (x - 3.0) / 4.2`); replaces the
        standardization.
    scaling: "standard" subtracts the mean and divides by the standard deviation; "robust" is not moved by outliers.
    """

    key: str
    default_value: float | None = None
    normalizer_fn: Callable[[Any], Any] | None = None
    scaling: Scaling = "standard"

    @property
    def name(self) -> str:
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def allows_missing(self, key: str) -> bool:
        return self.default_value is not None

    def fit(self, statistics: Statistics) -> "FittedNumeric":
        return fit_numeric(self, statistics[self.key], self.fit_number(statistics))

    def fit_number(self, statistics: Statistics) -> "RawNumber":
        types = (*NUMERIC_TYPES, DataType.TIMESTAMP)
        raw = raw_column(statistics, self.key, purpose=f"numeric_column({self.key!r})", types=types)
        return RawNumber(
            key=self.key,
            fill=self.default_value,
            is_time=raw.type is DataType.TIMESTAMP,
            expression=None if self.normalizer_fn is None else self._traced(self.normalizer_fn),
        )

    def _traced(self, normalizer_fn: Callable[[Any], Any]) -> str:
        purpose = f"the normalizer_fn of numeric_column({self.key!r})"
        try:
            expression = trace(normalizer_fn, self.key)
        except ExpressionError as error:
            raise UsageError(f"{purpose}: {error}") from error
        check_expression(expression, purpose=purpose)
        if references(expression) != (self.key,):
            raise UsageError(f"{purpose} makes {expression}; expected an expression of the column")
        return str(expression)


class RawNumber(msgspec.Struct, frozen=True, kw_only=True, tag="number"):
    """A raw column's number, or a timestamp's microseconds: `fill` for a missing one unless None, then `expression`."""

    key: str
    fill: float | None = None
    is_time: bool = False
    expression: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def is_plain(self) -> bool:
        """Whether it is the raw column as it stands."""
        return not self.is_time and self.fill is None and self.expression is None

    def values(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = columns[self.key]
        if self.is_time:
            values = operators.where(is_missing_time(values), float("nan"), operators.cast(values, "float64"))
        if self.fill is not None:
            values = operators.where(operators.is_nan(values), self.fill, values)
        if self.expression is not None:
            values = expression_values(parse(self.expression), operators, {self.key: values})
        return values


class FittedNumeric(msgspec.Struct, frozen=True, kw_only=True, tag="numeric"):
    """`clip((x - center) / scale, low, high)` of a number, `fill` for a missing one; then 1.0 where it was missing.

    log_unit: above 0, `log(1 + max(x, 0) / log_unit)` stands for x.
    """

    name: str
    number: RawNumber
    fill: float
    log_unit: float = 0.0
    center: float = 0.0
    scale: float = 1.0
    low: float = -_BOUND
    high: float = _BOUND
    indicator: bool = False

    @property
    def block(self) -> Block:
        features = (self.name, f"{self.name}_is_missing") if self.indicator else (self.name,)
        return Block(name=self.name, kind="dense", columns=self.number.keys, width=len(features), features=features)

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        return standardize(operators, self.number.values(operators, columns), [self])


def standardize(operators: Operators, values: Values, parameters: list[FittedNumeric]) -> Values:
    """float64 `[rows, K]` to float32 `[rows, K + indicators]`, one fitted column's parameters each: the formula.

    parameters: all with a logarithm, or all without. A column's missing indicator comes right behind its value.
    """

    def row(numbers: list[float]) -> Values:
        return operators.constant([numbers], "float64")

    missing = operators.is_nan(values)
    filled = operators.where(missing, row([p.fill for p in parameters]), values)
    if parameters[0].log_unit:
        share = operators.clip(filled, 0.0, float("inf")) / row([p.log_unit for p in parameters])
        filled = operators.log(share + 1.0)
    scaled = (filled - row([p.center for p in parameters])) / row([p.scale for p in parameters])
    bounded = operators.clip(scaled, row([p.low for p in parameters]), row([p.high for p in parameters]))
    result = operators.cast(bounded, "float32")
    marked = [i for i, p in enumerate(parameters) if p.indicator]
    if not marked:
        return result
    marks = operators.cast(missing if len(marked) == len(parameters) else operators.pick(missing, marked), "float32")
    together = operators.concat([result, marks])
    order: list[int] = []
    for i in range(len(parameters)):
        order.append(i)
        if i in marked:
            order.append(len(parameters) + marked.index(i))
    return together if order == sorted(order) else operators.pick(together, order)


def number_quantiles(number: RawNumber, statistics: Statistics) -> NDArray[np.float64]:
    """Quantiles of a number as it is after its expression, ascending; empty where it has no finite value."""
    found = statistics[number.key].numbers
    quantiles = np.asarray(() if found is None else found.quantiles, dtype=np.float64)
    if number.expression is not None and len(quantiles):
        plain = msgspec.structs.replace(number, is_time=False)
        with np.errstate(all="ignore"):
            quantiles = plain.values(ARRAYS, {number.key: quantiles.reshape(-1, 1)})[:, 0]
    return np.sort(quantiles[np.isfinite(quantiles)])


def fit_numeric(column: NumericColumn, statistics: ColumnStatistics, number: RawNumber) -> FittedNumeric:
    """The parameters that these statistics give; of a column without a finite number, those that map to 0."""
    numbers = statistics.numbers
    typical = number.fill if number.fill is not None else (0.0 if numbers is None else numbers.median)
    indicator = number.fill is None and 0 < statistics.missing < statistics.rows
    if number.expression is not None:
        # What lies outside the expression's domain (the logarithm of -1) becomes what a typical value becomes.
        value = float(number.values(ARRAYS, {number.key: np.full((1, 1), typical)})[0, 0])
        fill = value if np.isfinite(value) else 0.0
        return FittedNumeric(
            name=column.name, number=number, fill=fill, low=-_LARGEST, high=_LARGEST, indicator=indicator
        )
    fitted = FittedNumeric(
        name=column.name, number=msgspec.structs.replace(number, fill=None), fill=typical, indicator=indicator
    )
    if numbers is None:
        return fitted
    if column.scaling == "robust":
        return robust_scale(fitted, numbers)
    return msgspec.structs.replace(fitted, center=numbers.mean, scale=numbers.std or 1.0)


def robust_scale(fitted: FittedNumeric, numbers: NumberSummary) -> FittedNumeric:
    """Skewed numbers above 0 by their logarithm; all within the middle 98% of the data, widened by itself on each side.

    Measured on raw tables (california, taxi, housing, bike, adult): a linear model's error falls by 3 to 5% where a
    column is skewed or holds outliers, such as taxi coordinates of 0, and a network's does not rise.
    """
    quantiles = np.asarray(numbers.quantiles)
    fifth, median, last = (numbers.quantile(level) for level in (0.05, 0.5, 0.95))
    log_unit = 0.0
    if fifth >= 0.0 < median and last - 2.0 * median + fifth > _SKEWED * (last - fifth):
        log_unit = median
        quantiles = np.log(np.maximum(quantiles, 0.0) / log_unit + 1.0)
    low, high = np.interp([0.01, 0.99], np.linspace(0.0, 1.0, len(quantiles)), quantiles)
    if low == high:
        low, high = quantiles[0], quantiles[-1]
    low, high = low - (high - low), high + (high - low)
    inner = np.clip(quantiles, low, high)
    center, scale = float(inner.mean()), float(inner.std())
    if not 0.0 < scale < np.inf:
        return msgspec.structs.replace(fitted, center=numbers.mean, scale=numbers.std or 1.0)
    return msgspec.structs.replace(
        fitted,
        log_unit=log_unit,
        center=center,
        scale=scale,
        low=float((low - center) / scale),
        high=float((high - center) / scale),
    )
