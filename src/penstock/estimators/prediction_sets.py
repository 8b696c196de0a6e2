"""Sets of classes that hold the true one as often as promised: split conformal prediction.

On rows that no training saw, the chance that a model gives the true class is looked at; the set of a row is all classes
with at least the chance that the wanted share of these rows reached, corrected for their number. So a sure answer is a
set of one and a doubtful one of several, and the promise holds for later rows that come from where these came from,
whatever the model is. Source: Sadinle et al., "Least Ambiguous Set-Valued Classifiers With Bounded Error Levels" (JASA
2019).
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from penstock.errors import TrainingError
from penstock.estimators.calibration import log_softmax
from penstock.estimators.heads import Answers
from penstock.estimators.intervals import bound_of, least_rows
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput

__all__ = ["PredictionSets", "fit_prediction_sets"]

Floats = NDArray[np.float64]

_MARGIN = 1e-4
"""What is taken off the score that a row reached: many rows may have the same, of trees, and rounding would part them.
"""

_NEAR = 2e-5
"""How near to the least score, relative to its size, rounding may decide."""


class PredictionSets(msgspec.Struct, frozen=True, kw_only=True):
    """coverage: the share of rows whose class is in their set. least: the score from which on a class is in it.

    A class's score is the logarithm of its chance, of two classes that of its odds: chances near 0 are not told apart
    well enough in float32.
    """

    coverage: float
    least: float

    def apply(self, answers: Answers) -> Answers:
        """The answers with `prediction_set`, whether each class is in it; the likeliest always is."""
        scores = _scores(answers["logits"])
        likeliest = answers["class_ids"] == np.arange(scores.shape[1])
        return {**answers, "prediction_set": (scores >= np.float32(self.least)) | likeliest}

    def undecided(self, answers: Answers) -> NDArray[np.bool_]:
        """Rows of whose set rounding may decide."""
        scores = _scores(answers["logits"]).astype(np.float64)
        near = np.abs(scores - self.least) <= _NEAR * np.maximum(1.0, np.abs(scores))
        return np.asarray(near.any(axis=1))

    def emit(self, graph: GraphBuilder, emitted: Mapping[str, EmittedOutput]) -> dict[str, EmittedOutput]:
        """The same in a graph."""
        logits, ids, shape = emitted["logits"], emitted["class_ids"], emitted["probabilities"].shape
        classes = shape[1]
        assert classes is not None
        if logits.shape[1] == 1:
            scores = graph.node("Concat", [graph.node("Neg", [logits.tensor]), logits.tensor], axis=1)
        else:
            scores = graph.node("LogSoftmax", [logits.tensor], axis=1)
        is_likely = graph.node("GreaterOrEqual", [scores, graph.constant(self.least, np.float32)])
        is_likeliest = graph.node("Equal", [ids.tensor, graph.constant(np.arange(classes), np.int64)])
        within = graph.node("Or", [is_likely, is_likeliest], hint="prediction_set")
        return {**emitted, "prediction_set": EmittedOutput(within, int(TensorProto.BOOL), shape)}

    def metrics(
        self, answers: Answers, class_ids: NDArray[np.integer[Any]], weights: NDArray[np.float32] | None
    ) -> dict[str, float]:
        """How often the true class is in the set, and how many classes are on average."""
        sets = answers["prediction_set"]
        inside = sets[np.arange(len(sets)), class_ids]
        return {
            "prediction_set/coverage": float(np.average(inside, weights=weights)),
            "prediction_set/size": float(np.average(sets.sum(axis=1), weights=weights)),
        }


def fit_prediction_sets(
    coverage: float,
    logits: NDArray[np.float32],
    class_ids: NDArray[np.integer[Any]],
    weights: NDArray[np.float32] | None = None,
) -> PredictionSets:
    """The sets of that coverage. logits: `[rows, outputs]` of rows that no training saw. class_ids: the true ones.

    weights: how much a row counts, above 0. Raises TrainingError where the rows are too few to promise it.
    """
    count, wanted = len(class_ids), least_rows(coverage)
    if count < wanted:
        raise TrainingError(
            f"prediction_sets of {coverage:g} are measured on at least {wanted} rows; there are {count}"
        )
    reached = _scores(logits)[np.arange(count), class_ids].astype(np.float64)
    counts = np.ones(count) if weights is None else weights.astype(np.float64)
    return PredictionSets(coverage=coverage, least=-bound_of(-reached, coverage, counts) - _MARGIN)


def _scores(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each class, `[rows, classes]`."""
    return np.concatenate([-logits, logits], axis=1) if logits.shape[1] == 1 else log_softmax(logits)
