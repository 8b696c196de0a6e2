"""Greedy selection finds the weights that make a mean of predictions best, and leaves out what adds nothing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.bundle.manifest import Task
from penstock.errors import ConfigError
from penstock.estimators.auto.metric import Metric, choose_metric
from penstock.estimators.auto.rows import deal_folds, fold_count
from penstock.estimators.auto.selection import select


def test_two_members_with_opposite_errors_share_the_weight() -> None:
    truth = np.linspace(0, 1, 200)[:, None]
    library = {"above": truth + 0.1, "below": truth - 0.1, "far": truth + 5.0}
    weights, loss = select(library, lambda scores: float(np.abs(scores - truth).mean()))
    assert weights == {"above": 0.5, "below": 0.5}
    assert loss == pytest.approx(0.0, abs=1e-9)


def test_weights_follow_how_far_each_is_off() -> None:
    truth = np.linspace(0, 1, 200)[:, None]
    library = {"near": truth + 0.1, "off": truth - 0.3}
    weights, _ = select(library, lambda scores: float(np.abs(scores - truth).mean()))
    assert weights["near"] == pytest.approx(0.75, abs=0.03)


def test_one_member_alone_has_all_the_weight() -> None:
    weights, loss = select({"only": np.zeros((5, 1))}, lambda scores: float(scores.sum()) + 3.0)
    assert (weights, loss) == ({"only": 1.0}, 3.0)


@pytest.mark.parametrize(("rows", "folds"), [(4, 2), (10, 5), (506, 10), (5_000, 8), (1_000_000, 5)])
def test_fewer_rows_get_more_folds(rows: int, folds: int) -> None:
    assert fold_count(rows) == folds


def test_folds_have_their_share_of_every_class() -> None:
    classes = np.repeat([0, 1, 2], [90, 9, 3])
    folds = deal_folds(classes, 3, is_classification=True, seed=0)
    for fold in range(3):
        assert np.bincount(classes[folds == fold]).tolist() == [30, 3, 1]


def test_folds_lie_along_the_whole_range_of_a_number() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 1_000)
    folds = deal_folds(values[:, None], 5, is_classification=False, seed=0)
    medians = [float(np.median(values[folds == fold])) for fold in range(5)]
    assert np.bincount(folds).tolist() == [200] * 5
    assert max(medians) < 1.1 * min(medians)


def _both(chance: list[float]) -> NDArray[Any]:
    return np.array([[1.0 - p, p] for p in chance])


def test_metrics_are_errors_of_scores() -> None:
    targets = np.array([0, 1, 1])
    assert Metric("auc").loss(_both([0.1, 0.9, 0.8]), targets, None) == 0.0
    assert Metric("accuracy").loss(_both([0.1, 0.9, 0.2]), targets, None) == pytest.approx(1 / 3)
    assert Metric("log_loss").loss(_both([0.5, 0.5, 0.5]), targets, None) == pytest.approx(np.log(2.0))
    assert Metric("rmse", 10.0).loss(np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]), None) == pytest.approx(
        7.0711, abs=1e-3
    )


def test_auc_of_a_single_class_falls_back_on_the_log_loss() -> None:
    assert np.isfinite(Metric("auc").loss(_both([0.2, 0.3]), np.array([0, 0]), None))


def test_a_metric_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of rmse, mae"):
        choose_metric("auc", Task.REGRESSION)
