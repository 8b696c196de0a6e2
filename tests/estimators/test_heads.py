from typing import Any

import numpy as np
import pytest

from penstock.errors import ConfigError, DataError
from penstock.estimators.classification_heads import BinaryHead, fit_classification_head
from penstock.estimators.preparation import factors_of_classes
from penstock.estimators.regression_head import RegressionLoss, fit_regression_head


def test_regression_answers_are_in_the_labels_unit() -> None:
    labels = np.array([10_000.0, 20_000.0, 60_000.0])
    head = fit_regression_head(labels, label="MEDV")
    targets = head.encode(labels)
    assert targets.mean() == pytest.approx(0, abs=1e-6)
    assert targets.std() == pytest.approx(1, abs=1e-6)
    assert head.answers(targets)["predictions"][:, 0] == pytest.approx(labels)
    assert head.evaluate(targets + 1, labels, None)["average_loss"] == pytest.approx(labels.var(), rel=1e-5)


@pytest.mark.parametrize("labels", [[1.0, np.nan], [1.0, np.inf]])
def test_a_missing_label_is_told_with_its_row(labels: list[float]) -> None:
    with pytest.raises(DataError, match=r"'MEDV' is missing or infinite in 1 of 2 rows \(first: row 1\)"):
        fit_regression_head(np.array(labels), label="MEDV")


def test_a_constant_label_is_refused() -> None:
    with pytest.raises(DataError, match=r"same value in all 4 rows \(7\)"):
        fit_regression_head(np.full(4, 7.0), label="MEDV")


def test_text_is_no_regression_label() -> None:
    with pytest.raises(DataError, match="'cheap', which is no number; use a classifier"):
        fit_regression_head(np.array(["cheap", "dear"], dtype=object), label="price")


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows"):
        fit_regression_head(np.empty(0), label="MEDV")
    with pytest.raises(DataError, match="no rows"):
        fit_classification_head(np.empty(0, dtype=object), label="kind")


def test_negative_counts_are_refused() -> None:
    with pytest.raises(DataError, match="negative values; the Poisson loss"):
        fit_regression_head(np.array([1.0, -1.0]), label="cnt", loss="poisson")


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber", "quantile", "poisson"])
def test_the_evaluated_loss_is_the_training_loss_in_the_labels_unit(loss: RegressionLoss) -> None:
    rng = np.random.default_rng(0)
    labels, outputs = rng.gamma(2, 50, 40), rng.normal(0, 1, (40, 1)).astype(np.float32)
    weights = rng.uniform(0, 1, 40).astype(np.float32)
    head = fit_regression_head(labels, label="y", loss=loss, quantile=0.9)
    trained = float(np.asarray(head.loss()(outputs, head.encode(labels), weights))) * head.loss_scale
    assert head.evaluate(outputs, labels, weights)["average_loss"] == pytest.approx(trained, rel=1e-4)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array([1, 0, 1]), ("0", "1")),
        (np.array([2.0, 10.0, 2.0]), ("2", "10")),
        (np.array([True, False]), ("false", "true")),
        (np.array([" >50K", "<=50K", "<=50K"], dtype=object), (" >50K", "<=50K")),
        (np.array(["b", "ä", "a"], dtype=object), ("a", "b", "ä")),
    ],
)
def test_classes_are_the_distinct_labels_in_order(labels: Any, classes: tuple[str, ...]) -> None:
    head = fit_classification_head(labels, label="y")
    assert head.classes == classes
    assert [head.classes[i] for i in head.encode(labels)] == [
        str(v).lower() if labels.dtype == bool else str(int(v)) if labels.dtype.kind in "if" else v for v in labels
    ]


def test_label_vocabulary_gives_the_order() -> None:
    head = fit_classification_head(np.array(["no", "yes"], dtype=object), label="y", label_vocabulary=["yes", "no"])
    assert head.classes == ("yes", "no")
    with pytest.raises(DataError, match="'maybe'; its classes are 'yes', 'no'"):
        head.encode(np.array(["maybe"], dtype=object))


def test_one_class_only_is_refused() -> None:
    with pytest.raises(DataError, match="only the class 'yes' in all 3 rows"):
        fit_classification_head(np.array(["yes"] * 3, dtype=object), label="y")


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(DataError, match=r"3 classes .*n_classes is 2"):
        fit_classification_head(np.array(["a", "b", "c"], dtype=object), label="y", n_classes=2)


def test_class_ids_may_be_absent_from_the_training_data() -> None:
    assert fit_classification_head(np.array([0, 2]), label="y", n_classes=4).classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("labels", [np.array([1.0, np.nan]), np.array(["a", None], dtype=object)])
def test_missing_classes_are_refused(labels: Any) -> None:
    with pytest.raises(DataError, match=r"missing in 1 of 2 rows \(first: row 1\)"):
        fit_classification_head(labels, label="y")


def test_binary_answers_have_tf_estimators_names_and_shapes() -> None:
    head = BinaryHead(label="y", classes=("no", "yes"))
    answers = head.answers(np.array([[-100.0], [0.0], [2.0]], np.float32))
    assert {name: array.shape for name, array in answers.items()} == {
        "logits": (3, 1),
        "probabilities": (3, 2),
        "class_ids": (3, 1),
        "classes": (3, 1),
    }
    assert answers["classes"][:, 0].tolist() == ["no", "no", "yes"]
    assert answers["probabilities"].sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("unit", [1e300, 1e-40])
def test_labels_beyond_float32_are_refused(unit: float) -> None:
    with pytest.raises(DataError, match="predictions are float32; give it in another unit"):
        fit_regression_head(np.array([1.0, 2.0, 4.0]) * unit, label="price")


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="names the class 'b' twice"):
        fit_classification_head(np.array(["a", "b"]), label="kind", label_vocabulary=["a", "b", "b"])


def test_numbers_with_fractions_are_no_classes_where_hardly_one_comes_again() -> None:
    with pytest.raises(DataError, match="holds numbers with fractions, 4 different ones in 4 rows"):
        fit_classification_head(np.array([0.5, 1.25, 2.0, 3.5]), label="price")
    assert fit_classification_head(np.tile([0.5, 1.0], 5), label="size").classes == ("0.5", "1")


@pytest.mark.parametrize(("value", "message"), [(-2.0, "of 'a' is -2"), (float("nan"), "of 'a' is nan")])
def test_class_weights_are_no_less_than_zero(value: float, message: str) -> None:
    head = fit_classification_head(np.array(["a", "b"]), label="kind")
    with pytest.raises(ConfigError, match=f"class_weight {message}; expected a number of at least 0"):
        factors_of_classes(head, None, {"a": value})
    with pytest.raises(ConfigError, match="class_weight is 0 for every class"):
        factors_of_classes(head, None, {"a": 0.0, "b": 0.0})


def test_a_quantile_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"quantile is 1\.5"):
        fit_regression_head(np.arange(3.0), label="y", loss="quantile", quantile=1.5)
