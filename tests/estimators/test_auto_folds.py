"""Folds are dealt so that what a model answers for is new to it: also where rows come one after the other in time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from penstock.estimators.auto.rows import deal_rows, deal_stretches, time_order
from penstock.features.arrays import batch_of_arrays


def hours(count: int) -> NDArray[Any]:
    return np.datetime64("2026-01-01T00", "h") + np.arange(count)


def order_of(times: NDArray[Any]) -> str | None:
    return time_order(batch_of_arrays({"x": np.arange(len(times), dtype=float), "when": times}))


def test_rows_of_a_log_stand_in_the_order_of_their_time() -> None:
    assert order_of(hours(500)) == "when"
    assert order_of(hours(500)[::-1]) == "when"
    late = hours(500)
    late[10] = late[400]
    assert order_of(late) == "when"


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(np.random.default_rng(0).permutation(hours(500)), id="in no order"),
        pytest.param(np.repeat(hours(20), 25), id="few times"),
        pytest.param(np.where(np.arange(500) == 7, np.datetime64("NaT"), hours(500)), id="a missing time"),
        pytest.param(np.arange(500.0), id="numbers"),
    ],
)
def test_other_rows_do_not(times: NDArray[Any]) -> None:
    assert order_of(times) is None


@given(folds=st.integers(2, 10), seed=st.integers(0, 10**6))
def test_stretches_are_equal_and_cover_the_whole_time(folds: int, seed: int) -> None:
    moments = np.random.default_rng(seed).permutation(10_000)[:1_000]
    dealt = deal_stretches(moments, folds, seed=seed)
    sizes = np.bincount(dealt, minlength=folds)
    assert sizes.max() - sizes.min() <= 8
    along = dealt[np.argsort(moments)]
    assert 1 + np.count_nonzero(np.diff(along)) <= 8 * folds
    # Each fold has a stretch in each eighth of the time.
    for eighth in np.array_split(along, 8):
        assert len(np.unique(eighth[len(eighth) // 50 : -len(eighth) // 50])) == folds


def test_equal_times_are_in_one_fold() -> None:
    times = np.repeat(np.arange(400), 5)
    dealt = deal_stretches(times, 5, seed=0).reshape(400, 5)
    assert (dealt == dealt[:, :1]).all()


def column_of(times: NDArray[Any], labels: NDArray[Any], *, is_classification: bool = False) -> str | None:
    dealt, column = deal_rows(
        labels, 5, features=batch_of_arrays({"when": times}), is_classification=is_classification, seed=0
    )
    assert np.bincount(dealt).min() >= len(labels) / 5 / 2
    return column


def test_a_log_that_begins_with_rows_of_one_moment_is_dealt_at_random() -> None:
    imported = np.repeat(hours(1), 2_000)
    labels = np.random.default_rng(0).normal(size=2_150)
    assert column_of(np.concatenate([imported, hours(151)[1:]]), labels) is None
    assert column_of(hours(2_150), labels) == "when"


def test_a_class_that_stretches_would_hold_out_altogether_is_dealt_at_random() -> None:
    often = np.arange(2_000) % 2
    assert column_of(hours(2_000), often, is_classification=True) == "when"
    burst = np.where(np.arange(2_000) < 30, 1, 0)
    assert column_of(hours(2_000), burst, is_classification=True) is None
    third = np.where(np.arange(2_000) < 30, 2, often)
    assert column_of(hours(2_000), third, is_classification=True) is None
