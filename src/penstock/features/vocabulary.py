"""Categorical columns over a list of words or numbers, with ids of their own for unknown and for missing values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from penstock.data.schema import DataType
from penstock.errors import NotFoundError, UsageError
from penstock.features.column import CategoricalColumn, raw_column
from penstock.features.hashing import nfc
from penstock.features.lookup import Lookup, NumberLookup, WordLookup
from penstock.features.numeric import NUMERIC_TYPES
from penstock.features.operators import Operators, Values
from penstock.features.statistics import ColumnStatistics, Statistics
from penstock.store import blobs

__all__ = ["Vocabulary", "VocabularyColumn", "read_vocabulary_file"]

Word = str | float


@dataclass(frozen=True, kw_only=True)
class VocabularyColumn(CategoricalColumn):
    """The id of a word is its place in the vocabulary.

    vocabulary: words, or numbers for a numeric column. None: those of the training data that occur in at least
        `min_count` rows, most frequent first, at most `max_size`.
    num_oov_buckets: ids behind the vocabulary that unknown words are hashed to. 0: one id for all unknown words.
    default_value: the id of every unknown word instead, if not negative.
    """

    key: str
    vocabulary: tuple[Word, ...] | None = None
    default_value: int = -1
    num_oov_buckets: int = 0
    min_count: int = 1
    max_size: int | None = None

    @property
    def name(self) -> str:
        return self.key

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def fit_categorical(self, statistics: Statistics) -> "Vocabulary":
        purpose = f"a vocabulary of {self.key!r}"
        raw = raw_column(statistics, self.key, purpose=purpose, types=(DataType.STRING, *NUMERIC_TYPES))
        words = self._words(statistics[self.key])
        is_text = raw.type is DataType.STRING
        size = len(words)
        unknown = self.default_value if self.default_value >= 0 else size
        missing = size + max(1, self.num_oov_buckets)
        lookup: Lookup
        if is_text:
            lookup = WordLookup(_texts(words), unknown, missing)
        else:
            lookup = NumberLookup(_numbers(words, self.key), unknown, missing)
        return Vocabulary(
            key=self.key,
            lookup=lookup,
            num_oov_buckets=self.num_oov_buckets,
            unseen=_unseen(lookup, statistics[self.key], self.num_oov_buckets),
        )

    def _words(self, statistics: ColumnStatistics) -> tuple[Word, ...]:
        if self.vocabulary is not None:
            words: tuple[Word, ...] = self.vocabulary
        else:
            found: tuple[Word, ...] = statistics.values
            often = [word for word, count in zip(found, statistics.counts, strict=True) if count >= self.min_count]
            words = tuple(often[: self.max_size])
        if self.default_value >= max(len(words), 1):
            raise UsageError(
                f"the vocabulary of {self.key!r} has {len(words)} words and default_value is {self.default_value}; "
                "expected the id of one of its words, or -1"
            )
        return words


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True, tag="vocabulary"):
    """Ids `0 .. words-1` for the words, then those of unknown words, last that of a missing value."""

    key: str
    lookup: Lookup
    num_oov_buckets: int = 0
    unseen: tuple[int, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    @property
    def num_buckets(self) -> int:
        return self.lookup.missing + 1

    def ids(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        values = columns[self.key]
        ids = operators.look_up(values, self.lookup)
        if self.num_oov_buckets < 2:
            return ids
        hashed = operators.hash_text(_as_text(operators, values, self.lookup)) % self.num_oov_buckets
        return operators.where(ids == self.lookup.unknown, hashed + self.lookup.unknown, ids)


def read_vocabulary_file(path: str | Path, vocabulary_size: int | None = None) -> tuple[str, ...]:
    """The words of a file or of a URI, one a line, UTF-8; the first `vocabulary_size` of them.

    Raises NotFoundError without the file, UsageError where it holds fewer words than asked for, StoreError where it
    cannot be read.
    """
    try:
        text = blobs.read_uri(str(path)).decode("utf-8-sig")
    except NotFoundError as error:
        raise NotFoundError(f"the vocabulary file {path} does not exist") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the vocabulary file {path} is not UTF-8: {error}") from error
    # Not splitlines(): a word may hold U+2028 and the like.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    words = tuple(lines.split("\n")) if lines else ()
    if vocabulary_size is None:
        return words
    if len(words) < vocabulary_size:
        raise UsageError(
            f"the vocabulary file {path} has {len(words)} words; vocabulary_size asks for {vocabulary_size}"
        )
    return words[:vocabulary_size]


def vocabulary_words(values: Sequence[Any], *, purpose: str) -> tuple[Word, ...]:
    """A user's vocabulary as words or numbers. Raises UsageError for none, a mixture, or a word given twice."""
    words: list[Word] = []
    for value in values:
        plain = value.item() if hasattr(value, "item") else value
        if isinstance(plain, bytes):
            plain = plain.decode("utf-8")
        if not isinstance(plain, str | bool | int | float):
            raise UsageError(f"{purpose}: {value!r} is neither a word nor a number")
        if isinstance(plain, float) and not math.isfinite(plain):
            raise UsageError(f"{purpose}: {value!r} is not a finite number")
        words.append(nfc(plain) if isinstance(plain, str) else float(plain))
    if not words:
        raise UsageError(f"{purpose}: the vocabulary is empty")
    if len({isinstance(word, str) for word in words}) > 1:
        raise UsageError(f"{purpose}: the vocabulary mixes words and numbers")
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise UsageError(f"{purpose}: {twice!r} is in the vocabulary twice")
    return tuple(words)


def _texts(words: tuple[Word, ...]) -> tuple[str, ...]:
    return tuple(word if isinstance(word, str) else f"{word:.17g}" for word in words)


def _numbers(words: tuple[Word, ...], key: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words)
    except ValueError as error:
        raise UsageError(f"column {key!r} holds numbers and its vocabulary words: {error}") from error


def _as_text(operators: Operators, values: Values, lookup: Lookup) -> Values:
    if isinstance(lookup, WordLookup):
        return values
    return operators.text_of(whole_number(operators, values))


def whole_number(operators: Operators, values: Values) -> Values:
    """float64 to int64, towards zero, within ±2**53; 0 for NaN."""
    present = operators.where(operators.is_nan(values), 0.0, values)
    limit = float(2**53)
    return operators.cast(
        operators.clip(present, operators.constant([[-limit]], "float64"), operators.constant([[limit]], "float64")),
        "int64",
    )


def _unseen(lookup: Lookup, statistics: ColumnStatistics, num_oov_buckets: int) -> tuple[int, ...]:
    """Ids that no training row has, as far as the statistics tell."""
    words: tuple[Word, ...] = lookup.words if isinstance(lookup, WordLookup) else lookup.numbers
    seen = set(statistics.values)
    unseen = [i for i, word in enumerate(words) if word not in seen] if statistics.values_are_all else []
    if num_oov_buckets < 2 and statistics.values_are_all and seen <= set(words) and lookup.unknown == len(words):
        unseen.append(lookup.unknown)
    if not statistics.missing:
        unseen.append(lookup.missing)
    return tuple(unseen)
