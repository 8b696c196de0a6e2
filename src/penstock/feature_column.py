"""Feature columns, by the names and call shapes of `tf.feature_column`: what a model reads from a table.

>>> columns = [
...     numeric_column("age"),
...     indicator_column(categorical_column_with_vocabulary_list("sex", ["Female", "Male"])),
...     embedding_column(categorical_column_with_hash_bucket("occupation", 100), dimension=4),
...     bucketized_column(numeric_column("hours"), [20.0, 40.0]),
... ]
>>> [column.name for column in columns]
['age', 'sex_indicator', 'occupation_embedding', 'hours_bucketized']
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from penstock.errors import UsageError
from penstock.features.bucketized import BucketizedColumn
from penstock.features.categorical import EmbeddingColumn, IndicatorColumn
from penstock.features.column import CategoricalColumn, FeatureColumn, NumberColumn
from penstock.features.dates import PART_SIZES, PERIODS_US, DatePartName, PeriodName
from penstock.features.hashed import HashBucketColumn
from penstock.features.identity import IdentityColumn
from penstock.features.numeric import NumericColumn, Scaling
from penstock.features.timestamp import CyclicColumn, DatePartColumn
from penstock.features.vocabulary import VocabularyColumn, read_vocabulary_file, vocabulary_words

__all__ = [
    "FeatureColumn",
    "bucketized_column",
    "categorical_column_with_hash_bucket",
    "categorical_column_with_identity",
    "categorical_column_with_vocabulary_file",
    "categorical_column_with_vocabulary_list",
    "cyclic_column",
    "date_part_column",
    "embedding_column",
    "indicator_column",
    "numeric_column",
]


def numeric_column(
    key: str,
    shape: int | Sequence[int] = (1,),
    default_value: float | Sequence[float] | None = None,
    dtype: Any = np.float32,  # noqa: ARG001
    normalizer_fn: Callable[[Any], Any] | None = None,
    *,
    scaling: Scaling = "standard",
) -> NumericColumn:
    """A number, standardized by the training data unless `normalizer_fn` is given.

    shape: one value a row; tables hold one value a cell.
    default_value: what a missing value becomes; None: the median, and a 0/1 value that says so where values were
        missing in training.
    dtype: taken for compatibility; numbers are read as float64 and handed to the model as float32.
    normalizer_fn: called once with the column's expression; returns the expression of the value the model reads.
    scaling: "standard" or "robust" (outliers do not move the scale).
    """
    _check_key(key, "numeric_column")
    if shape not in (1, (1,), [1], ()):
        raise UsageError(
            f"numeric_column({key!r}, shape={shape!r}): a column of a table holds one value a row; "
            "give each value a column of its own"
        )
    if isinstance(default_value, Sequence):
        (default_value,) = default_value
    return NumericColumn(
        key=key,
        default_value=None if default_value is None else float(default_value),
        normalizer_fn=normalizer_fn,
        scaling=scaling,
    )


def categorical_column_with_vocabulary_list(
    key: str,
    vocabulary_list: Sequence[Any],
    dtype: Any = None,  # noqa: ARG001 - taken for compatibility, types come from the table
    default_value: int = -1,
    num_oov_buckets: int = 0,
) -> VocabularyColumn:
    """The id of a word is its place in the list; unknown and missing values have ids of their own.

    vocabulary_list: words, or whole numbers for a numeric column.
    default_value: the id that unknown words share, if not negative.
    num_oov_buckets: how many ids unknown words are hashed to; not together with `default_value`.
    """
    purpose = f"categorical_column_with_vocabulary_list({key!r})"
    _check_key(key, "categorical_column_with_vocabulary_list")
    return _vocabulary(key, vocabulary_words(vocabulary_list, purpose=purpose), default_value, num_oov_buckets, purpose)


def categorical_column_with_vocabulary_file(
    key: str,
    vocabulary_file: str,
    vocabulary_size: int | None = None,
    dtype: Any = None,  # noqa: ARG001 - taken for compatibility, types come from the table
    default_value: int | None = None,
    num_oov_buckets: int = 0,
) -> VocabularyColumn:
    """As with a vocabulary list, the words being the first `vocabulary_size` lines of a UTF-8 file."""
    purpose = f"categorical_column_with_vocabulary_file({key!r})"
    _check_key(key, "categorical_column_with_vocabulary_file")
    words = vocabulary_words(read_vocabulary_file(vocabulary_file, vocabulary_size), purpose=purpose)
    return _vocabulary(key, words, -1 if default_value is None else default_value, num_oov_buckets, purpose)


def categorical_column_with_hash_bucket(
    key: str,
    hash_bucket_size: int,
    dtype: Any = None,  # noqa: ARG001
) -> HashBucketColumn:
    """The id of a word is its hash modulo `hash_bucket_size`; a missing value has an id of its own."""
    _check_key(key, "categorical_column_with_hash_bucket")
    _check_positive(f"categorical_column_with_hash_bucket({key!r})", hash_bucket_size=hash_bucket_size)
    return HashBucketColumn(key=key, hash_bucket_size=hash_bucket_size)


def categorical_column_with_identity(key: str, num_buckets: int, default_value: int | None = None) -> IdentityColumn:
    """The id is the value, a whole number in `[0, num_buckets)`.

    default_value: the id of any other number and of a missing one; None gives each an id of its own.
    """
    purpose = f"categorical_column_with_identity({key!r})"
    _check_key(key, "categorical_column_with_identity")
    _check_positive(purpose, num_buckets=num_buckets)
    if default_value is not None and not 0 <= default_value < num_buckets:
        raise UsageError(f"{purpose}: default_value is {default_value}; expected an id in [0, {num_buckets})")
    return IdentityColumn(key=key, num_buckets=num_buckets, default_value=default_value)


def date_part_column(key: str, part: DatePartName) -> DatePartColumn:
    """The id of a timestamp's part, in UTC, from 0: "month", "day" (of the month), "weekday" (Monday is 0), "hour" or
    "minute". A missing timestamp has an id of its own. Not in `tf.feature_column`.
    """
    _check_key(key, "date_part_column")
    if part not in PART_SIZES:
        raise UsageError(f"date_part_column({key!r}): part is {part!r}; expected one of {', '.join(PART_SIZES)}")
    return DatePartColumn(key=key, part=part)


def cyclic_column(key: str, period: PeriodName) -> CyclicColumn:
    """A timestamp's place in its "day", "week" or "year" as a point on a circle. Not in `tf.feature_column`."""
    _check_key(key, "cyclic_column")
    if period not in PERIODS_US:
        raise UsageError(f"cyclic_column({key!r}): period is {period!r}; expected one of {', '.join(PERIODS_US)}")
    return CyclicColumn(key=key, period=period)


def indicator_column(categorical_column: CategoricalColumn) -> IndicatorColumn:
    """The one-hot indicator of a categorical column."""
    return IndicatorColumn(categorical_column=_categorical(categorical_column, "indicator_column"))


def embedding_column(
    categorical_column: CategoricalColumn,
    dimension: int,
    combiner: str = "mean",
    initializer: Any = None,
    ckpt_to_load_from: str | None = None,
    tensor_name_in_ckpt: str | None = None,
    max_norm: float | None = None,
    trainable: bool = True,
    use_safe_embedding_lookup: bool = True,  # noqa: ARG001 - every lookup is safe
) -> EmbeddingColumn:
    """A trained vector of `dimension` numbers for each id of a categorical column.

    combiner: taken for compatibility; of one id a row, mean, sum and square-root-of-n mean are the same.
    """
    _check_positive("embedding_column", dimension=dimension)
    if combiner not in ("mean", "sum", "sqrtn"):
        raise UsageError(f"embedding_column: combiner is {combiner!r}; expected 'mean', 'sum' or 'sqrtn'")
    asked = {
        "initializer": initializer is not None,
        "ckpt_to_load_from": ckpt_to_load_from is not None,
        "tensor_name_in_ckpt": tensor_name_in_ckpt is not None,
        "max_norm": max_norm is not None,
        "trainable=False": not trainable,
    }
    for name in (name for name, is_asked in asked.items() if is_asked):
        raise UsageError(f"embedding_column: {name} is not supported; a Keras model of your own can do this")
    return EmbeddingColumn(categorical_column=_categorical(categorical_column, "embedding_column"), dimension=dimension)


def bucketized_column(source_column: NumberColumn, boundaries: Sequence[float]) -> BucketizedColumn:
    """The id of the interval a number lies in: bucket `i` holds `boundaries[i-1] <= x < boundaries[i]`."""
    if not isinstance(source_column, NumberColumn):
        raise UsageError(f"bucketized_column: the source is {source_column!r}; expected a numeric_column")
    purpose = f"bucketized_column({source_column.name!r})"
    edges = tuple(float(boundary) for boundary in boundaries)
    if not edges or not np.isfinite(edges).all() or any(b <= a for a, b in pairwise(edges)):
        raise UsageError(f"{purpose}: boundaries are {list(edges)}; expected finite numbers in ascending order")
    return BucketizedColumn(source=source_column, boundaries=edges)


def _vocabulary(
    key: str, words: tuple[str | float, ...], default_value: int, num_oov_buckets: int, purpose: str
) -> VocabularyColumn:
    if num_oov_buckets < 0:
        raise UsageError(f"{purpose}: num_oov_buckets is {num_oov_buckets}; expected 0 or more")
    if num_oov_buckets and default_value != -1:
        raise UsageError(f"{purpose}: give either num_oov_buckets or default_value, not both")
    if not -1 <= default_value < len(words):
        raise UsageError(f"{purpose}: default_value is {default_value}; expected -1 or an id below {len(words)}")
    return VocabularyColumn(key=key, vocabulary=words, default_value=default_value, num_oov_buckets=num_oov_buckets)


def _categorical(column: Any, function: str) -> CategoricalColumn:
    if not isinstance(column, CategoricalColumn):
        raise UsageError(f"{function}: {column!r} is not a categorical column")
    return column


def _check_key(key: Any, function: str) -> None:
    if not isinstance(key, str) or not key:
        raise UsageError(f"{function}: the column's name is {key!r}; expected a string")


def _check_positive(purpose: str, **numbers: int) -> None:
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise UsageError(f"{purpose}: {name} is {number!r}; expected a whole number above 0")
