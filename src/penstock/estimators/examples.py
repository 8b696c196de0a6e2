"""What an input function may return, turned into rows in memory: features, labels, and how steps take them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, concatenate
from penstock.data.schema import DataType, Schema
from penstock.errors import DataError, UsageError, did_you_mean
from penstock.estimators.batches import BatchOrder, FixedBatches, FullBatch, ShuffledBatches
from penstock.features.arrays import batch_of_arrays

__all__ = [
    "UNNAMED_LABEL",
    "Batching",
    "Examples",
    "InputSource",
    "called",
    "column_labels",
    "concatenated",
    "examples_of",
    "label_array",
    "read_examples",
    "row_weights",
]

UNNAMED_LABEL = "label"

_AUTO_BATCH = ((50_000, 128), (500_000, 256), (2_000_000, 1024))
_LARGEST_AUTO_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How steps take rows.

    size: rows a step; "all" for every row in every step; "auto" by the number of rows.
    epochs: passes over the rows before the input ends; None for no end.
    given: batches come as the input function gave them, in that order.
    """

    size: int | Literal["all", "auto"] = "auto"
    epochs: int | None = None
    shuffle: bool = True
    given: bool = False

    def order(self, rows: int, *, seed: int) -> BatchOrder:
        if self.size == "all":
            return FullBatch(rows, self.epochs)
        size = self.rows_per_step(rows)
        if self.given:
            return FixedBatches(size, max(1, rows // size))
        if size >= rows:
            return FullBatch(rows, self.epochs)
        return ShuffledBatches(rows, size, seed, self.shuffle, self.epochs)

    def last_step(self, rows: int) -> int | None:
        """Steps that the input has rows for; None for as many as one likes."""
        size = self.rows_per_step(rows)
        if self.given:
            return max(1, rows // size)
        return None if self.epochs is None else max(1, rows * self.epochs // size)

    def rows_per_step(self, rows: int) -> int:
        if self.size == "all":
            return rows
        if self.size != "auto":
            return min(self.size, rows)
        size = next((size for limit, size in _AUTO_BATCH if rows < limit), _LARGEST_AUTO_BATCH)
        return min(size, rows)


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Rows in memory. labels: raw, `[rows]` or `[rows, dimension]`; None where the input has none.

    weights: of the rows, `[rows]`; None for all alike.

    label: its name. data_digest: identity of the files they came from, if any. unread: columns that the files have
    besides; callers of the model may send them.
    """

    features: ColumnBatch
    labels: NDArray[Any] | None
    label: str = UNNAMED_LABEL
    weights: NDArray[np.float32] | None = None
    batching: Batching = field(default_factory=Batching)
    data_digest: str | None = None
    unread: tuple[str, ...] = ()

    def take(self, index: NDArray[Any] | slice) -> "Examples":
        labels = None if self.labels is None else self.labels[index]
        weights = None if self.weights is None else self.weights[index]
        return replace(self, features=self.features.take(index), labels=labels, weights=weights)

    def weighted_by(self, column: str | None) -> "Examples":
        """The same rows with a column of the features as their weights; with None, as they are."""
        if column is None:
            return self
        if column not in self.features.schema:
            names = self.features.schema.names
            raise DataError(
                f"weight column {column!r} is not in the data; it has {', '.join(names)}{did_you_mean(column, names)}"
            )
        weights = row_weights(self.features[column], column)
        rest = tuple(name for name in self.features.schema.names if name != column)
        return replace(self, features=self.features.select(rest), weights=weights)


class InputSource:
    """An input that reads itself: tables and array inputs. What `penstock.estimator.inputs` returns is of this kind."""

    def examples(self, schema: Schema | None) -> Examples:
        """The rows. schema: the feature columns wanted and their types; None for all there are."""
        raise NotImplementedError


def read_examples(
    input_fn: Callable[[], Any], *, schema: Schema | None = None, most_batches: int | None = None
) -> Examples:
    """Calls an input function and reads what it returns.

    It may return a pair (features, labels) of whole columns, which every step then sees whole; features alone; an
    iterator or generator of such pairs, a batch each; a `tf.data.Dataset`; or what `penstock.estimator.inputs` makes.
    schema: the feature columns wanted and their types. most_batches: where to stop reading an endless iterator.
    Raises UsageError for anything else, DataError where the rows do not fit together.
    """
    return examples_of(called(input_fn), schema=schema, most_batches=most_batches)


def called(input_fn: Callable[[], Any]) -> Any:
    """What an input function returns. Raises UsageError for what is no function."""
    if not callable(input_fn):
        raise UsageError(f"input_fn is a {type(input_fn).__name__}; expected a function without arguments")
    return input_fn()


def examples_of(value: Any, *, schema: Schema | None = None, most_batches: int | None = None) -> Examples:
    """What an input function returned, read as in `read_examples`."""
    if isinstance(value, InputSource):
        return value.examples(schema)
    if isinstance(value, tuple) and len(value) == 2 and not _is_features(value[1]):
        return _pair(value[0], value[1], schema)
    if isinstance(value, tuple):
        raise UsageError(
            f"input_fn returned {len(value)} values; expected a pair (features, labels), or an iterator of such pairs"
        )
    if _is_features(value):
        return _pair(value, None, schema)
    if hasattr(value, "as_numpy_iterator"):
        value = value.as_numpy_iterator()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return _batches(value, schema, most_batches)
    raise UsageError(
        f"input_fn returned a {type(value).__name__}; expected (features, labels) with features a dictionary of "
        "column name to array, an iterator of such pairs, or an input of penstock.estimator.inputs"
    )


def label_array(values: Any) -> tuple[NDArray[Any], str]:
    """Labels as an array, and their name where they carry one (a pandas Series does)."""
    name = getattr(values, "name", None)
    array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    return array, name if isinstance(name, str) else UNNAMED_LABEL


def column_labels(batch: ColumnBatch, label: str) -> NDArray[Any]:
    """The labels in a column of a table; booleans as such, so that their classes are called false and true."""
    array = batch[label]
    if batch.schema[label].type is DataType.BOOLEAN and not np.isnan(array).any():
        return array.astype(bool)
    return array


def concatenated(parts: Sequence[Examples]) -> Examples:
    """The rows of all parts, which agree in all else, one after the other."""
    labels = [part.labels for part in parts if part.labels is not None]
    weights = [part.weights for part in parts if part.weights is not None]
    return replace(
        parts[0],
        features=concatenate([part.features for part in parts]),
        labels=np.concatenate(labels) if labels else None,
        weights=np.concatenate(weights) if weights else None,
    )


def row_weights(values: NDArray[Any], column: str, *, needs_some: bool = True) -> NDArray[np.float32]:
    """The weight of each row, `[rows]`. Raises DataError for missing or negative weights.

    needs_some: raises also where all are 0.
    """
    try:
        weights = values.astype(np.float32)
    except (TypeError, ValueError):
        raise DataError(f"weight column {column!r} holds {values[0]!r}; expected numbers") from None
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(f"weight column {column!r} is missing, infinite or negative in row {row}")
    if needs_some and not weights.any():
        raise DataError(f"weight column {column!r} is 0 in every row; expected at least one positive weight")
    return weights


def _is_features(value: Any) -> bool:
    return isinstance(value, Mapping | ColumnBatch) or (hasattr(value, "columns") and hasattr(value, "keys"))


def _pair(features: Any, labels: Any, schema: Schema | None) -> Examples:
    batch = _batch(features, schema)
    whole = Batching(size="all", shuffle=False)
    if labels is None:
        return Examples(features=batch, labels=None, batching=whole)
    array, name = label_array(labels)
    if len(array) != batch.rows:
        raise DataError(f"input_fn returned {batch.rows} rows of features and {len(array)} labels; expected as many")
    return Examples(features=batch, labels=array, label=name, batching=whole)


def _batch(features: Any, schema: Schema | None) -> ColumnBatch:
    if isinstance(features, ColumnBatch):
        return features if schema is None else features.select(schema.names)
    return batch_of_arrays(features, schema)


def _batches(batches: Iterable[Any], schema: Schema | None, most_batches: int | None) -> Examples:
    features: list[ColumnBatch] = []
    labels: list[NDArray[Any]] = []
    name = UNNAMED_LABEL
    for item in islice(batches, most_batches):
        pair = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
        one = _pair(pair[0], pair[1], schema)
        if features and len(one.features.arrays) and one.features.rows != features[0].rows:
            if one.features.rows > features[0].rows:
                raise DataError(
                    f"a batch of the input has {one.features.rows} rows and the first had {features[0].rows}; "
                    "batches must be of one size"
                )
            if labels:
                # The remainder of a table: no step takes a short batch.
                break
        features.append(ColumnBatch(features[0].schema, one.features.arrays) if features else one.features)
        if one.labels is not None:
            labels.append(one.labels)
            name = one.label
    if not features:
        raise DataError("the input has no rows; training and evaluation need at least one batch")
    if labels and len(labels) != len(features):
        raise DataError("some batches of the input have labels and some have none")
    return Examples(
        features=concatenate(features),
        labels=np.concatenate(labels) if labels else None,
        label=name,
        batching=Batching(size=features[0].rows, given=True, shuffle=False),
    )
