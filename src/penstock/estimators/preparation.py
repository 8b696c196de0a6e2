"""What every canned estimator does before its first step: reads labelled rows, fits columns, weighs classes."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, DataError
from penstock.estimators.estimator import Estimator, InputFn
from penstock.estimators.example_stream import ExampleStream, held_in_memory, open_examples
from penstock.estimators.examples import Examples
from penstock.estimators.label_summary import Labels
from penstock.estimators.setup import AnyHead, Setup
from penstock.features.automatic import automatic_columns
from penstock.features.column import FeatureColumn
from penstock.features.fitted import FittedFeatures, fit_features, needs_targets
from penstock.features.statistics import Statistics, gather_statistics
from penstock.features.target import FittedTargetMean, gather_targets

__all__ = [
    "FitHead",
    "chosen_columns",
    "class_factors",
    "encode_rows",
    "factors_of_classes",
    "fit_columns",
    "notice",
    "open_training_examples",
    "targets_of",
    "training_examples",
]

Index = NDArray[Any] | slice

FitHead = Callable[[Labels, str], AnyHead]
"""The head for raw labels and the label's name."""


def training_examples(
    estimator: Estimator, input_fn: InputFn, setup: Setup | None, most_batches: int | None = None
) -> Examples:
    """Labelled rows in memory: with the columns of the setup where there is one, else with all there are."""
    examples = open_training_examples(estimator, lambda: held_in_memory(input_fn), setup, most_batches)
    assert isinstance(examples, Examples)
    return examples


def open_training_examples(
    estimator: Estimator, input_fn: InputFn, setup: Setup | None, most_batches: int | None = None
) -> Examples | ExampleStream:
    """As `training_examples`, but of rows that do not fit in memory a stream."""
    examples = _opened(estimator, input_fn, setup, most_batches)
    estimator.remember(examples)
    return examples


def _opened(
    estimator: Estimator, input_fn: InputFn, setup: Setup | None, most_batches: int | None
) -> Examples | ExampleStream:
    if setup is not None:
        return estimator.open_examples(input_fn, most_batches)
    examples = open_examples(input_fn, most_batches=most_batches)
    if isinstance(examples, ExampleStream):
        return examples.weighted_by(estimator.weight_column)
    if examples.labels is None:
        raise DataError("the input has no labels; training needs a pair (features, labels)")
    if examples.features.rows == 0:
        raise DataError("the input has no rows; training needs at least one")
    return examples.weighted_by(estimator.weight_column)


def fit_columns(columns: Sequence[FeatureColumn] | None, examples: Examples, head: AnyHead) -> FittedFeatures:
    """The feature columns fitted to the rows; None chooses them, and says what is left out."""
    statistics = gather_statistics([examples.features])
    columns = chosen_columns(columns, statistics, label=examples.label)
    if not needs_targets(columns):
        return fit_features(columns, statistics)
    assert examples.labels is not None
    targets = targets_of(head.encode(examples.labels), len(head.classes))
    sums = gather_targets(columns, statistics, [(examples.features, targets)])
    return fit_features(columns, statistics, targets=sums)


def chosen_columns(
    columns: Sequence[FeatureColumn] | None, statistics: Statistics, *, label: str
) -> Sequence[FeatureColumn]:
    """The columns given; with None, automatic ones, and what is left out is said."""
    if columns is not None:
        return columns
    chosen = automatic_columns(statistics, label=label)
    for message in chosen.notices:
        notice(message)
    return chosen.columns


def encode_rows(features: FittedFeatures, examples: Examples, index: Index) -> dict[str, NDArray[Any]]:
    """The blocks of some of the training rows. examples: all of them, in the order that the features were fitted to.

    A column made of the labels holds, for each row, what the other rows' labels say.
    """
    if not any(isinstance(column, FittedTargetMean) for column in features.columns):
        return features.encode(examples.features.take(index))
    return {name: array[index] for name, array in features.encode_training(examples.features).items()}


def targets_of(encoded: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """What means are taken of, `[rows, targets]`: the label, or an indicator of each class (of two, the second)."""
    if not classes:
        return np.asarray(encoded, np.float64)
    if classes == 2:
        return np.asarray(encoded, np.float64).reshape(-1, 1)
    return np.asarray(np.eye(classes)[encoded], np.float64)


def class_factors(
    head: AnyHead, labels: NDArray[Any], class_weight: Mapping[str, float] | str | None
) -> NDArray[np.float32] | None:
    """What each row counts by its class, `[rows]`; None for all alike. labels: class ids."""
    counts = np.bincount(labels, minlength=len(head.classes)) if class_weight == "balanced" and head.classes else None
    factors = factors_of_classes(head, counts, class_weight)
    return None if factors is None else np.asarray(factors[labels], dtype=np.float32)


def factors_of_classes(
    head: AnyHead, counts: NDArray[np.int64] | None, class_weight: Mapping[str, float] | str | None
) -> NDArray[np.float64] | None:
    """What the rows of each class count, `[classes]`; None for all alike. counts: rows of each, for "balanced"."""
    if class_weight is None:
        return None
    if not head.classes:
        raise ConfigError("class_weight is for classifiers; give a regressor row weights with weight_column")
    if class_weight == "balanced":
        assert counts is not None
        factors: NDArray[np.float64] = counts.sum() / (len(head.classes) * counts.clip(1))
        return factors
    if isinstance(class_weight, str):
        raise ConfigError(f"class_weight is {class_weight!r}; expected 'balanced' or a weight by class name")
    unknown = sorted(set(map(str, class_weight)) - set(head.classes))
    if unknown:
        raise ConfigError(f"class_weight names {unknown[0]!r}; the classes are {', '.join(head.classes)}")
    named = {str(name): float(value) for name, value in class_weight.items()}
    for name, value in named.items():
        if not 0.0 <= value < math.inf:
            raise ConfigError(f"class_weight of {name!r} is {value:g}; expected a number of at least 0")
    weights = np.array([named.get(name, 1.0) for name in head.classes])
    if not weights.any():
        raise ConfigError("class_weight is 0 for every class; expected at least one positive weight")
    return weights


def notice(message: str) -> None:
    """One line on stderr."""
    sys.stderr.write(f"{message}\n")
