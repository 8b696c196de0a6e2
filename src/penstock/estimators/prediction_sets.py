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
from penstock.estimators.heads import Answers
from penstock.estimators.intervals import least_rows
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput

__all__ = ["PredictionSets", "fit_prediction_sets"]

_MARGIN = 1e-5
"""What is taken off the chance that a row reached: many rows may have the same, of trees, and rounding would part them.
"""


class PredictionSets(msgspec.Struct, frozen=True, kw_only=True):
    """coverage: the share of rows whose class is in their set. least: the chance from which on a class is in it."""

    coverage: float
    least: float

    def apply(self, answers: Answers) -> Answers:
        """The answers with `prediction_set`, whether each class is in it; the likeliest always is."""
        chances = answers["probabilities"]
        likeliest = answers["class_ids"] == np.arange(chances.shape[1])
        return {**answers, "prediction_set": (chances >= np.float32(self.least)) | likeliest}

    def emit(self, graph: GraphBuilder, emitted: Mapping[str, EmittedOutput]) -> dict[str, EmittedOutput]:
        """The same in a graph."""
        chances, ids = emitted["probabilities"], emitted["class_ids"]
        assert chances.shape[1] is not None
        is_likely = graph.node("GreaterOrEqual", [chances.tensor, graph.constant(self.least, np.float32)])
        numbers = graph.constant(np.arange(chances.shape[1], dtype=np.int64), np.int64)
        is_likeliest = graph.node("Equal", [ids.tensor, numbers])
        within = graph.node("Or", [is_likely, is_likeliest], hint="prediction_set")
        return {**emitted, "prediction_set": EmittedOutput(within, int(TensorProto.BOOL), chances.shape)}

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
    coverage: float, probabilities: NDArray[np.float32], class_ids: NDArray[np.integer[Any]]
) -> PredictionSets:
    """The sets of that coverage. probabilities: `[rows, classes]` of rows that no training saw. class_ids: the true.

    Raises TrainingError where the rows are too few to promise it.
    """
    count, least_count = len(class_ids), least_rows(coverage)
    if count < least_count:
        raise TrainingError(
            f"prediction_sets of {coverage:g} are measured on at least {least_count} rows that training does not see, "
            f"and {count} are held back; train on more rows, or ask for less coverage"
        )
    chances = np.sort(probabilities[np.arange(count), class_ids].astype(np.float64))
    rank = int(np.ceil(round((count + 1) * coverage, 9)))
    return PredictionSets(coverage=coverage, least=float(chances[count - rank]) * (1.0 - _MARGIN))
