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

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np

from penstock.errors import UsageError
from penstock.features.block import Combiner
from penstock.features.bucketized import BucketizedColumn
from penstock.features.categorical import EmbeddingColumn, IndicatorColumn
from penstock.features.column import CategoricalColumn, FeatureColumn, NumberColumn
from penstock.features.crossed import CrossedColumn
from penstock.features.dates import PART_SIZES, PERIODS_US, DatePartName, PeriodName
from penstock.features.distance import DistanceColumn
from penstock.features.hashed import HashBucketColumn
from penstock.features.identity import IdentityColumn
from penstock.features.lists import ListColumn, WeightedColumn
from penstock.features.numeric import NumericColumn, Scaling
from penstock.features.piecewise import PiecewiseLinearColumn
from penstock.features.target import TargetMeanColumn
from penstock.features.text import TextColumn
from penstock.features.timestamp import CyclicColumn, DatePartColumn
from penstock.features.tokens import PAIR_LIMIT
from penstock.features.vector import NumericVector
from penstock.features.vocabulary import VocabularyColumn, read_vocabulary_file, vocabulary_words

__all__ = [
    "FeatureColumn",
    "bucketized_column",
    "categorical_column_with_hash_bucket",
    "categorical_column_with_identity",
    "categorical_column_with_vocabulary_file",
    "categorical_column_with_vocabulary_list",
    "crossed_column",
    "cyclic_column",
    "date_part_column",
    "distance_column",
    "embedding_column",
    "indicator_column",
    "list_column",
    "numeric_column",
    "piecewise_linear_column",
    "quantile_bucketized_column",
    "target_mean_column",
    "text_column",
    "weighted_categorical_column",
]

Categories = CategoricalColumn | ListColumn | WeightedColumn


@overload
def numeric_column(
    key: str,
    *,
    default_value: float | Sequence[float] | None = None,
    dtype: Any = np.float32,
    normalizer_fn: Callable[[Any], Any] | None = None,
    scaling: Scaling = "standard",
) -> NumericColumn: ...


@overload
def numeric_column(
    key: str,
    shape: int | Sequence[int],
    default_value: float | Sequence[float] | None = None,
    dtype: Any = np.float32,
    normalizer_fn: Callable[[Any], Any] | None = None,
    *,
    scaling: Scaling = "standard",
) -> NumericColumn | NumericVector: ...


def numeric_column(
    key: str,
    shape: int | Sequence[int] = (1,),
    default_value: float | Sequence[float] | None = None,
    dtype: Any = np.float32,  # noqa: ARG001
    normalizer_fn: Callable[[Any], Any] | None = None,
    *,
    scaling: Scaling = "standard",
) -> NumericColumn | NumericVector:
    """A number, standardized by the training data unless `normalizer_fn` is given.

    shape: of the values of one row. Several are raw columns KEY_0, KEY_1, …, the last dimension side by side:
        `{KEY: array [rows, *shape]}` in an input function, a list in a request, columns of these names in a table.
    default_value: what a missing value becomes, or a list of one for each value of the shape; None: the median, and a
        0/1 value that says so where values were missing in training.
    dtype: taken for compatibility; numbers are read as float64 and handed to the model as float32.
    normalizer_fn: called once with the column's expression; returns the expression of the value the model reads.
    scaling: "standard" or "robust" (outliers do not move the scale).
    """
    _check_key(key, "numeric_column")
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise UsageError(f"numeric_column({key!r}, shape={shape!r}): expected whole numbers above 0")
    count = math.prod(sizes)
    defaults = list(default_value) if isinstance(default_value, Sequence) else [default_value] * count
    if len(defaults) != count:
        raise UsageError(
            f"numeric_column({key!r}, shape={shape!r}): default_value has {len(defaults)} values; expected one, "
            f"or a list of {count}"
        )
    columns = tuple(
        NumericColumn(
            key=key if count == 1 else f"{key}_{position}",
            default_value=None if default is None else float(default),
            normalizer_fn=normalizer_fn,
            scaling=scaling,
        )
        for position, default in enumerate(defaults)
    )
    return columns[0] if count == 1 else NumericVector(key=key, shape=sizes, columns=columns)


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


def list_column(
    key: str,
    *,
    separator: str = "|",
    vocabulary_list: Sequence[str] | None = None,
    hash_bucket_size: int | None = None,
    weight_separator: str | None = None,
) -> ListColumn:
    """Several words a cell (`red|green`): which are there. Not in `tf.feature_column`, whose tensors hold lists.

    Goes into `indicator_column` or `embedding_column`, or as it is, which means the indicator.

    separator: one or more characters, each of which parts words.
    vocabulary_list, hash_bucket_size: how words become ids; give one of them.
    weight_separator: one character between a word and its weight (`red:0.5|green`); a word without one weighs 1.
    """
    purpose = f"list_column({key!r})"
    _check_key(key, "list_column")
    if (vocabulary_list is None) == (hash_bucket_size is None):
        raise UsageError(f"{purpose}: give either vocabulary_list or hash_bucket_size")
    if not separator or (
        weight_separator is not None and (len(weight_separator) != 1 or weight_separator in separator)
    ):
        raise UsageError(
            f"{purpose}: separator is {separator!r} and weight_separator {weight_separator!r}; expected characters, "
            "and one other character"
        )
    if hash_bucket_size is not None:
        _check_positive(purpose, hash_bucket_size=hash_bucket_size)
    words = None if vocabulary_list is None else vocabulary_words(vocabulary_list, purpose=purpose)
    return ListColumn(
        key=key,
        separator=separator,
        vocabulary=None if words is None else tuple(str(word) for word in words),
        hash_bucket_size=hash_bucket_size or 0,
        weight_separator=weight_separator,
    )


def weighted_categorical_column(
    categorical_column: CategoricalColumn,
    weight_feature_key: str,
    dtype: Any = np.float32,  # noqa: ARG001
) -> WeightedColumn:
    """A categorical column whose one word a row is weighted by the number in another column."""
    _check_key(weight_feature_key, "weighted_categorical_column")
    return WeightedColumn(
        categorical_column=_categorical(categorical_column, "weighted_categorical_column"),
        weight_feature_key=weight_feature_key,
    )


def crossed_column(
    keys: Sequence[str | CategoricalColumn],
    hash_bucket_size: int,
    hash_key: int | None = None,
) -> CrossedColumn:
    """The combination of two or more columns as one id, hashed modulo `hash_bucket_size`.

    keys: names of raw columns of words or whole numbers, or categorical columns; a number is bucketized first.
    hash_key: not supported; hashes are MurmurHash3 with seed 0.
    """
    _check_positive("crossed_column", hash_bucket_size=hash_bucket_size)
    if hash_key is not None:
        raise UsageError("crossed_column: hash_key is not supported; hashes are MurmurHash3 with seed 0")
    if isinstance(keys, str) or len(keys) < 2:
        raise UsageError(f"crossed_column: keys are {keys!r}; expected two columns or more")
    parts: list[CategoricalColumn] = []
    for key in keys:
        if isinstance(key, str):
            parts.append(HashBucketColumn(key=key, hash_bucket_size=PAIR_LIMIT))
        elif isinstance(key, CrossedColumn):
            parts.extend(key.columns)
        else:
            parts.append(_categorical(key, "crossed_column"))
    return CrossedColumn(columns=tuple(parts), hash_bucket_size=hash_bucket_size)


def text_column(
    key: str, hash_bucket_size: int = 1_000, *, pairs: bool = True, dimension: int | None = None
) -> TextColumn:
    """Free text as hashed counts of its words and, with `pairs`, of its neighbouring words. Not in `tf.feature_column`.

    dimension: of a trained vector a word, averaged over the text; None hands the counts to the model. Upper and lower
    case differ: a recipe's `lower(...)` in front makes them one.
    """
    _check_key(key, "text_column")
    _check_positive(f"text_column({key!r})", hash_bucket_size=hash_bucket_size)
    if dimension is not None:
        _check_positive(f"text_column({key!r})", dimension=dimension)
    return TextColumn(key=key, hash_bucket_size=hash_bucket_size, pairs=pairs, dimension=dimension)


def distance_column(start: tuple[str, str], end: tuple[str, str]) -> DistanceColumn:
    """The distance on Earth between two places, each named by its latitude and its longitude column, in degrees."""
    for place in (start, end):
        if isinstance(place, str) or len(place) != 2:
            raise UsageError(f"distance_column: {place!r} is no place; expected (latitude column, longitude column)")
        for key in place:
            _check_key(key, "distance_column")
    return DistanceColumn(start=(start[0], start[1]), end=(end[0], end[1]))


def target_mean_column(categorical_column: CategoricalColumn, smoothing: float = 20.0) -> TargetMeanColumn:
    """A word as the mean label of the training rows that hold it; training rows themselves are encoded out of fold.

    smoothing: how many rows of the overall mean are mixed in, which rare words are drawn towards.
    """
    if not smoothing > 0:
        raise UsageError(f"target_mean_column: smoothing is {smoothing!r}; expected a number above 0")
    return TargetMeanColumn(
        categorical_column=_categorical(categorical_column, "target_mean_column"), smoothing=float(smoothing)
    )


def piecewise_linear_column(
    source_column: NumberColumn, num_bins: int = 16, *, dimension: int | None = None
) -> PiecewiseLinearColumn:
    """A number as its progress through quantile bins of the training data (Gorishniy et al. 2022).

    dimension: of a trained embedding of these values; None hands them to the model.
    """
    source = _number(source_column, "piecewise_linear_column")
    _check_positive("piecewise_linear_column", num_bins=num_bins)
    if dimension is not None:
        _check_positive("piecewise_linear_column", dimension=dimension)
    return PiecewiseLinearColumn(source=source, num_bins=num_bins, dimension=dimension)


def quantile_bucketized_column(source_column: NumberColumn, num_buckets: int) -> BucketizedColumn:
    """The id of the quantile of the training data that a number lies in: buckets of equally many rows."""
    source = _number(source_column, "quantile_bucketized_column")
    _check_positive("quantile_bucketized_column", num_buckets=num_buckets)
    return BucketizedColumn(source=source, boundaries=int(num_buckets))


def categorical_column_with_vocabulary_file(
    key: str,
    vocabulary_file: str | Path,
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


def indicator_column(categorical_column: Categories) -> IndicatorColumn | ListColumn | WeightedColumn:
    """The one-hot indicator of a categorical column, multi-hot of a list, weighted of a weighted column."""
    if isinstance(categorical_column, ListColumn | WeightedColumn):
        return categorical_column
    return IndicatorColumn(categorical_column=_categorical(categorical_column, "indicator_column"))


def embedding_column(
    categorical_column: Categories,
    dimension: int,
    combiner: Combiner = "mean",
    initializer: Any = None,
    ckpt_to_load_from: str | None = None,
    tensor_name_in_ckpt: str | None = None,
    max_norm: float | None = None,
    trainable: bool = True,
    use_safe_embedding_lookup: bool = True,  # noqa: ARG001 - every lookup is safe
) -> EmbeddingColumn | ListColumn | WeightedColumn:
    """A trained vector of `dimension` numbers for each id of a categorical column.

    combiner: of the vectors of a list's words; of one id a row, "mean", "sum" and "sqrtn" are the same.
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
    if isinstance(categorical_column, ListColumn | WeightedColumn):
        return categorical_column.embedded(dimension, combiner)
    return EmbeddingColumn(categorical_column=_categorical(categorical_column, "embedding_column"), dimension=dimension)


def bucketized_column(source_column: NumberColumn, boundaries: Sequence[float]) -> BucketizedColumn:
    """The id of the interval a number lies in: bucket `i` holds `boundaries[i-1] <= x < boundaries[i]`."""
    source = _number(source_column, "bucketized_column")
    purpose = f"bucketized_column({source.name!r})"
    edges = tuple(float(boundary) for boundary in boundaries)
    if not edges or not np.isfinite(edges).all() or any(b <= a for a, b in pairwise(edges)):
        raise UsageError(f"{purpose}: boundaries are {list(edges)}; expected finite numbers in ascending order")
    return BucketizedColumn(source=source, boundaries=edges)


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


def _number(column: Any, function: str) -> NumberColumn:
    if not isinstance(column, NumberColumn):
        raise UsageError(f"{function}: the source is {column!r}; expected a numeric_column")
    return column


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
