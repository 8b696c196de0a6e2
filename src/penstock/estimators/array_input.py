"""Inputs over arrays and data frames, as `tf.estimator.inputs` offered them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.data.schema import Schema
from penstock.errors import DataError
from penstock.estimators.examples import UNNAMED_LABEL, Batching, Examples, InputSource, label_array
from penstock.features.arrays import batch_of_arrays

__all__ = ["ArrayInput", "numpy_input_fn", "pandas_input_fn"]


@dataclass(frozen=True, kw_only=True)
class ArrayInput(InputSource):
    """Columns in memory. features: column name to array. labels: None for prediction."""

    features: Any
    labels: Any
    batching: Batching

    def examples(self, schema: Schema | None) -> Examples:
        batch = batch_of_arrays(self.features, schema)
        array, name = (None, UNNAMED_LABEL) if self.labels is None else label_array(self.labels)
        if array is not None and len(array) != batch.rows:
            raise DataError(f"the input has {batch.rows} rows of features and {len(array)} labels; expected as many")
        return Examples(features=batch, labels=array, label=name, batching=self.batching)


def numpy_input_fn(
    x: Mapping[str, Any],
    y: Any = None,
    batch_size: int = 128,
    num_epochs: int | None = 1,
    shuffle: bool = True,
    queue_capacity: int = 1000,  # noqa: ARG001
    num_threads: int = 1,  # noqa: ARG001
) -> Callable[[], ArrayInput]:
    """An input function over a dictionary of arrays; names and defaults of `tf.estimator.inputs.numpy_input_fn`.

    queue_capacity, num_threads: accepted for older trainers; rows are in memory, and nothing is queued.
    """
    made = ArrayInput(features=x, labels=y, batching=Batching(size=batch_size, epochs=num_epochs, shuffle=shuffle))
    return lambda: made


def pandas_input_fn(
    x: Any,
    y: Any = None,
    batch_size: int = 128,
    num_epochs: int | None = 1,
    shuffle: bool = True,
    queue_capacity: int = 1000,  # noqa: ARG001
    num_threads: int = 1,  # noqa: ARG001
    target_column: str = "target",
) -> Callable[[], ArrayInput]:
    """An input function over a pandas DataFrame; names and defaults of `tf.estimator.inputs.pandas_input_fn`."""
    if y is not None and getattr(y, "name", None) is None and hasattr(y, "rename"):
        y = y.rename(target_column)
    made = ArrayInput(features=x, labels=y, batching=Batching(size=batch_size, epochs=num_epochs, shuffle=shuffle))
    return lambda: made
