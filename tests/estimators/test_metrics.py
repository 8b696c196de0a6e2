import numpy as np
import pytest
from sklearn import metrics as peer

from penstock.estimators.metrics import binary_metrics, multiclass_metrics, regression_metrics, roc_auc


@pytest.mark.parametrize("weighted", [False, True])
def test_binary_metrics_are_scikit_learns(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    # Rounded, so that there are ties.
    scores = np.round(rng.uniform(0.01, 0.99, 500), 1).astype(np.float32)
    labels = (rng.uniform(size=500) < scores).astype(np.int32)
    weights = rng.uniform(0, 2, 500).astype(np.float32) if weighted else None
    ours = binary_metrics(scores, labels, weights)
    assert ours["auc"] == pytest.approx(peer.roc_auc_score(labels, scores, sample_weight=weights), abs=1e-6)
    assert ours["auc_precision_recall"] == pytest.approx(
        peer.average_precision_score(labels, scores, sample_weight=weights), abs=1e-6
    )
    assert ours["log_loss"] == pytest.approx(peer.log_loss(labels, scores, sample_weight=weights), rel=1e-5)
    assert ours["precision"] == pytest.approx(peer.precision_score(labels, scores > 0.5, sample_weight=weights))
    assert ours["recall"] == pytest.approx(peer.recall_score(labels, scores > 0.5, sample_weight=weights))
    assert ours["accuracy"] == pytest.approx(peer.accuracy_score(labels, scores > 0.5, sample_weight=weights))


def test_multiclass_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 200).astype(np.float32)
    labels = rng.integers(0, 3, 200).astype(np.int32)
    ours = multiclass_metrics(probabilities, labels, None)
    assert ours["log_loss"] == pytest.approx(peer.log_loss(labels, probabilities / probabilities.sum(1)[:, None]), 1e-5)
    assert ours["accuracy"] == pytest.approx(peer.accuracy_score(labels, probabilities.argmax(axis=1)))


def test_regression_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    labels, weights = rng.normal(5e4, 1e4, (100, 1)), rng.uniform(0, 1, 100).astype(np.float32)
    answers = (labels + rng.normal(0, 3e3, (100, 1))).astype(np.float32)
    ours = regression_metrics(answers, labels, weights)
    assert ours["rmse"] == pytest.approx(peer.root_mean_squared_error(labels, answers, sample_weight=weights), rel=1e-6)
    assert ours["r2"] == pytest.approx(peer.r2_score(labels, answers, sample_weight=weights), rel=1e-6)
    assert ours["mae"] == pytest.approx(peer.mean_absolute_error(labels, answers, sample_weight=weights), rel=1e-6)


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(roc_auc(np.array([0.1, 0.2]), np.array([True, True])))
