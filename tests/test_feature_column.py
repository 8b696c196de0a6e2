"""The names and call shapes of tf.feature_column, and what each call refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

import penstock
from penstock import feature_column as fc
from penstock.errors import NotFoundError, UsageError


def test_trainers_of_2017_find_their_names() -> None:
    tf = penstock
    columns = [tf.feature_column.numeric_column(key) for key in ("CRIM", "ZN")]
    assert [column.name for column in columns] == ["CRIM", "ZN"]


def test_arguments_are_taken_in_tensorflow_order() -> None:
    assert fc.numeric_column("x", (1,), 3.0, np.float64) == fc.numeric_column("x", default_value=3.0)
    assert fc.numeric_column("x", 1, [3.0]) == fc.numeric_column("x", default_value=3.0)
    assert fc.categorical_column_with_vocabulary_list("x", ["a"], str, -1, 2).num_oov_buckets == 2
    assert fc.categorical_column_with_hash_bucket("x", 10, np.int64).hash_bucket_size == 10
    assert fc.categorical_column_with_identity("x", 10, 0).default_value == 0
    assert fc.embedding_column(fc.categorical_column_with_identity("x", 10), 4, "sqrtn").dimension == 4
    assert fc.bucketized_column(fc.numeric_column("x"), [1, 2]).boundaries == (1.0, 2.0)


def test_names_are_those_of_tensorflow() -> None:
    word = fc.categorical_column_with_hash_bucket("w", 10)
    assert fc.indicator_column(word).name == "w_indicator"
    assert fc.embedding_column(word, 2).name == "w_embedding"
    assert fc.bucketized_column(fc.numeric_column("x"), [0.0]).name == "x_bucketized"


def test_a_vocabulary_may_lie_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    content = "\ufeffred\r\ngreen\ncafe\u0301\ntwo\u2028parts\n".encode()
    file.write_bytes(content)
    column = fc.categorical_column_with_vocabulary_file("w", str(file))
    assert column == fc.categorical_column_with_vocabulary_list("w", ["red", "green", "café", "two\u2028parts"])
    assert fc.categorical_column_with_vocabulary_file("w", file, 2).vocabulary == ("red", "green")
    fsspec.filesystem("memory").pipe("/bucket/words.txt", content)
    assert fc.categorical_column_with_vocabulary_file("w", "memory://bucket/words.txt") == column


WORD = fc.categorical_column_with_hash_bucket("w", 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.numeric_column("x", shape=(3, 0)), r"shape=\(3, 0\).*above 0"),
        (lambda: fc.numeric_column(5), "the column's name is 5"),  # type: ignore[call-overload]
        (lambda: fc.numeric_column(""), "expected a string"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", []), "'x'.*vocabulary is empty"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", ["a", "a"]), "'a' is in the vocabulary twice"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", ["café", "cafe\u0301"]), "twice"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", ["a", 1]), "mixes words and numbers"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", [None]), "None is neither a word nor a number"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", [float("nan")]), "nan is not a finite number"),
        (
            lambda: fc.categorical_column_with_vocabulary_list("x", ["a"], default_value=1),
            "expected -1 or an id below 1",
        ),
        (lambda: fc.categorical_column_with_vocabulary_list("x", ["a"], None, 0, 2), "not both"),
        (lambda: fc.categorical_column_with_vocabulary_list("x", ["a"], num_oov_buckets=-1), "expected 0 or more"),
        (lambda: fc.categorical_column_with_hash_bucket("x", 0), "hash_bucket_size is 0"),
        (lambda: fc.categorical_column_with_hash_bucket("x", 2.5), "2.5; expected a whole"),  # type: ignore[arg-type]
        (lambda: fc.categorical_column_with_identity("x", 3, default_value=3), r"expected an id in \[0, 3\)"),
        (lambda: fc.indicator_column(fc.numeric_column("x")), "not a categorical column"),  # type: ignore[arg-type]
        (lambda: fc.embedding_column(WORD, 0), "dimension is 0"),
        (lambda: fc.embedding_column(WORD, 2, combiner="max"), "combiner is"),  # type: ignore[arg-type]
        (lambda: fc.embedding_column(WORD, 2, initializer=object()), "initializer is not supported"),
        (lambda: fc.embedding_column(WORD, 2, max_norm=1.0), "max_norm is not supported"),
        (lambda: fc.embedding_column(WORD, 2, trainable=False), "trainable=False is not supported"),
        (lambda: fc.bucketized_column(fc.numeric_column("x"), []), "expected finite numbers in ascending order"),
        (lambda: fc.bucketized_column(fc.numeric_column("x"), [2, 1]), "ascending"),
        (lambda: fc.bucketized_column(fc.numeric_column("x"), [1, 1]), "ascending"),
        (lambda: fc.bucketized_column(fc.numeric_column("x"), [float("nan")]), "finite"),
        (lambda: fc.bucketized_column(WORD, [1.0]), "expected a numeric_column"),  # type: ignore[arg-type]
        (lambda: fc.date_part_column("x", "era"), "part is 'era'; expected one of month"),  # type: ignore[arg-type]
        (lambda: fc.cyclic_column("x", "moon"), "period is 'moon'; expected one of day"),  # type: ignore[arg-type]
    ],
)
def test_a_call_that_cannot_work_says_what_was_expected(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


def test_vocabulary_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.txt")
    with pytest.raises(NotFoundError, match=r"none\.txt does not exist"):
        fc.categorical_column_with_vocabulary_file("w", missing)
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf\xe9\n")
    with pytest.raises(UsageError, match="not UTF-8"):
        fc.categorical_column_with_vocabulary_file("w", str(latin))
    short = tmp_path / "short.txt"
    short.write_text("one\n")
    with pytest.raises(UsageError, match="has 1 words; vocabulary_size asks for 5"):
        fc.categorical_column_with_vocabulary_file("w", str(short), 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fc.crossed_column(["a"], 10), "expected two columns or more"),
        (lambda: fc.crossed_column("ab", 10), "expected two columns or more"),
        (lambda: fc.crossed_column(["a", fc.numeric_column("x")], 10), "not a categorical column"),  # type: ignore[list-item]
        (lambda: fc.crossed_column(["a", "b"], 10, hash_key=7), "hash_key is not supported"),
        (lambda: fc.crossed_column(["a", "b"], 0), "hash_bucket_size is 0"),
        (lambda: fc.list_column("x"), "give either vocabulary_list or hash_bucket_size"),
        (lambda: fc.list_column("x", vocabulary_list=["a"], hash_bucket_size=3), "give either"),
        (lambda: fc.list_column("x", separator="", hash_bucket_size=3), "separator is ''"),
        (lambda: fc.list_column("x", separator=":", hash_bucket_size=3, weight_separator=":"), "one other character"),
        (lambda: fc.distance_column(("a",), ("b", "c")), r"\('a',\) is no place"),  # type: ignore[arg-type]
        (lambda: fc.distance_column("ab", ("b", "c")), "'ab' is no place"),  # type: ignore[arg-type]
        (lambda: fc.text_column("x", 0), "hash_bucket_size is 0"),
        (lambda: fc.text_column("x", dimension=0), "dimension is 0"),
        (lambda: fc.piecewise_linear_column(fc.numeric_column("x"), 0), "num_bins is 0"),
        (lambda: fc.piecewise_linear_column(WORD), "expected a numeric_column"),  # type: ignore[arg-type]
        (lambda: fc.quantile_bucketized_column(fc.numeric_column("x"), -1), "num_buckets is -1"),
        (lambda: fc.weighted_categorical_column(fc.numeric_column("x"), "n"), "not a categorical"),  # type: ignore[arg-type]
        (lambda: fc.weighted_categorical_column(WORD, ""), "expected a string"),
    ],
)
def test_engineered_columns_say_what_was_expected(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
