"""Target encoding: means of labels, out of fold for the rows they are made of, the same on both sides for others."""

from typing import Any

import numpy as np
import pytest

from penstock.data.columns import ColumnBatch
from penstock.errors import DataError, UsageError
from penstock.feature_column import (
    categorical_column_with_hash_bucket,
    categorical_column_with_vocabulary_list,
    numeric_column,
    target_mean_column,
)
from penstock.features.arrays import batch_of_arrays
from penstock.features.fitted import FittedFeatures, fit_features, needs_targets
from penstock.features.statistics import gather_statistics
from penstock.features.target import FOLDS, fold_of, gather_targets

from .served import assert_sides_agree

ROWS = 4_000
WORDS = ["a", "b", "c"]


def fitted_to(
    labels: Any, words: Any, *, cut: int = ROWS, smoothing: float = 20.0
) -> tuple[FittedFeatures, ColumnBatch]:
    batch = batch_of_arrays({"w": words, "x": np.arange(float(len(words)))})
    statistics = gather_statistics([batch])
    columns = [target_mean_column(categorical_column_with_vocabulary_list("w", WORDS), smoothing), numeric_column("x")]
    assert needs_targets(columns)
    targets = np.asarray(labels, dtype=np.float64).reshape(len(words), -1)
    parts = ((batch.take(slice(i, i + cut)), targets[i : i + cut]) for i in range(0, len(words), cut))
    features = fit_features(columns, statistics, targets=gather_targets(columns, statistics, parts))
    assert FittedFeatures.from_json(features.to_json()) == features
    return features, batch


@pytest.fixture
def words() -> Any:
    return np.random.default_rng(0).choice(np.array(WORDS, dtype=object), ROWS)


def test_words_are_ordered_by_their_mean_label(words: Any) -> None:
    labels = np.select([words == "a", words == "b"], [10.0, 30.0], 20.0)
    features, _ = fitted_to(labels, words)
    rows = batch_of_arrays({"w": ["a", "c", "b", "never seen", None], "x": [0.0] * 5})
    a, c, b, unknown, missing = features.encode(rows)["w_target_mean"].ravel()
    assert a < c < b
    assert unknown == missing == pytest.approx(0.0, abs=1e-6)


def test_both_sides_agree(words: Any) -> None:
    features, batch = fitted_to(np.random.default_rng(1).normal(size=(ROWS, 3)), words)
    assert features.blocks[0].width == 3
    assert_sides_agree(features, batch)
    assert_sides_agree(features, batch.take(slice(0, 0)))


def test_a_training_row_does_not_see_its_own_label() -> None:
    """Words that occur once tell nothing, as they must; encoded with all rows they would tell the label."""
    names = np.array([f"word-{i}" for i in range(ROWS)], dtype=object)
    labels = np.random.default_rng(0).normal(size=ROWS)
    batch = batch_of_arrays({"w": names})
    statistics = gather_statistics([batch])
    columns = [target_mean_column(categorical_column_with_hash_bucket("w", 20_000), 1.0)]
    sums = gather_targets(columns, statistics, [(batch, labels.reshape(-1, 1))])
    features = fit_features(columns, statistics, targets=sums)
    leaking = features.encode(batch)["w_target_mean"].ravel()
    honest = features.encode_training(batch)["w_target_mean"].ravel()
    assert np.corrcoef(leaking, labels)[0, 1] > 0.9
    assert abs(np.corrcoef(honest + 1e-9 * labels, labels)[0, 1]) < 0.1 or np.ptp(honest) == 0.0


def test_changing_one_label_changes_only_rows_of_other_folds(words: Any) -> None:
    labels = np.random.default_rng(0).normal(size=ROWS)
    features, batch = fitted_to(labels, words)
    labels[7] += 1_000.0
    changed, _ = fitted_to(labels, words)
    before = features.encode_training(batch)["w_target_mean"].ravel()
    after = changed.encode_training(batch)["w_target_mean"].ravel()
    folds = fold_of(np.arange(ROWS))
    assert before[7] == after[7]
    np.testing.assert_array_equal(before[folds == folds[7]], after[folds == folds[7]])
    assert (before != after)[(folds != folds[7]) & (words == words[7])].all()


def test_batches_do_not_matter(words: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 2, ROWS).astype(np.float64)
    (whole, batch), (parts, _) = fitted_to(labels, words), fitted_to(labels, words, cut=333)
    assert whole == parts
    at_once = whole.encode_training(batch)
    later = whole.encode_training(batch.take(slice(1_000, None)), first_row=1_000)
    np.testing.assert_array_equal(at_once["w_target_mean"][1_000:], later["w_target_mean"])
    np.testing.assert_array_equal(at_once["x"], whole.encode(batch)["x"])


def test_rare_words_are_drawn_towards_the_mean() -> None:
    names = np.array(["a"] * 2_000 + ["b"] * 1_999 + ["c"], dtype=object)
    labels = np.where(names == "a", -1.0, 1.0)
    features, _ = fitted_to(labels, names)
    a, b, c = features.encode(batch_of_arrays({"w": WORDS, "x": [0.0] * 3}))["w_target_mean"].ravel()
    assert a < -0.9
    assert b > 0.9
    assert 0.0 < c < 0.1


def test_folds_are_dealt_evenly_whatever_the_period() -> None:
    for rows in (np.arange(100_000), np.arange(0, 500_000, 5), np.arange(0, 6_400_000, 64)):
        counts = np.bincount(fold_of(rows), minlength=FOLDS)
        assert counts.max() - counts.min() < 800
    np.testing.assert_array_equal(fold_of(np.array([3])), fold_of(np.arange(10))[3:4])


def test_without_labels_the_column_is_refused(words: Any) -> None:
    column = target_mean_column(categorical_column_with_vocabulary_list("w", WORDS))
    statistics = gather_statistics([batch_of_arrays({"w": words})])
    with pytest.raises(UsageError, match="'w_target_mean' is made of the labels"):
        fit_features([column], statistics)
    with pytest.raises(UsageError, match="smoothing is 0"):
        target_mean_column(categorical_column_with_vocabulary_list("w", WORDS), 0)


def test_labels_that_are_no_numbers_are_refused(words: Any) -> None:
    with pytest.raises(DataError, match="label is missing or infinite"):
        fitted_to([np.nan] * ROWS, words)
