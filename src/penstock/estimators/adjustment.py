"""What is fitted to a trained model on rows held back from its training: calibration, intervals and sets of classes;
kept by step.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError
from penstock.estimators.calibration import CALIBRATIONS, Calibration, Calibrator, fit_calibrator
from penstock.estimators.examples import Examples
from penstock.estimators.heads import Answers, Head
from penstock.estimators.intervals import Intervals, fit_intervals
from penstock.estimators.prediction_sets import PredictionSets, fit_prediction_sets
from penstock.estimators.regression_head import numeric_labels
from penstock.estimators.row_split import split_rows
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput
from penstock.store.blobs import replace_file

__all__ = ["Adjustment", "AdjustmentOptions", "hold_back", "load_adjustment", "save_adjustment"]

_SHARE = 0.2
_MOST_ROWS = 10_000
_SPLIT = 7919
"""Added to the seed: these rows are drawn apart from those of the early stopping."""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """calibrator, prediction_sets: of a classifier's outputs. intervals: of a regression's predictions."""

    calibrator: Calibrator | None = None
    intervals: Intervals | None = None
    prediction_sets: PredictionSets | None = None

    def calibrated(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the head makes answers of."""
        return outputs if self.calibrator is None else self.calibrator.apply(outputs)

    def completed(self, answers: Answers) -> Answers:
        """The head's answers with what stands beside them."""
        for beside in (self.intervals, self.prediction_sets):
            answers = answers if beside is None else beside.apply(answers)
        return answers

    def emit_calibrated(self, graph: GraphBuilder, outputs: str, *, width: int) -> str:
        """As `calibrated`, in a graph."""
        return outputs if self.calibrator is None else self.calibrator.emit(graph, outputs, width=width)

    def emit_completed(self, graph: GraphBuilder, emitted: dict[str, EmittedOutput]) -> dict[str, EmittedOutput]:
        """As `completed`, in a graph."""
        for beside in (self.intervals, self.prediction_sets):
            emitted = emitted if beside is None else beside.emit(graph, emitted)
        return emitted

    def metrics(
        self, outputs: NDArray[np.float32], head: Head, labels: NDArray[Any], weights: NDArray[np.float32] | None
    ) -> dict[str, float]:
        """What intervals and sets keep of their promise. outputs: calibrated. labels: raw."""
        answers = self.completed(head.answers(outputs))
        if self.intervals is not None:
            return self.intervals.metrics(answers, numeric_labels(labels, head.label, head.outputs), weights)
        if self.prediction_sets is not None:
            return self.prediction_sets.metrics(answers, head.encode(labels), weights)
        return {}


class AdjustmentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """calibrate: how probabilities are calibrated. intervals, prediction_sets: the share of rows that these are to
    cover.
    """

    calibrate: Calibration | None = None
    intervals: float | None = None
    prediction_sets: float | None = None

    def __post_init__(self) -> None:
        if self.calibrate is not None and self.calibrate not in CALIBRATIONS:
            raise ConfigError(f"calibrate is {self.calibrate!r}; expected one of {', '.join(CALIBRATIONS)}")
        for name, share in (("intervals", self.intervals), ("prediction_sets", self.prediction_sets)):
            if share is not None and not (isinstance(share, int | float) and 0.0 < float(share) < 1.0):
                raise ConfigError(f"{name} is {share!r}; expected a share between 0 and 1, such as 0.9")

    @property
    def params(self) -> dict[str, object]:
        """Those that are asked for, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}

    @property
    def coverage(self) -> tuple[str, float] | None:
        """The promise that has to hold: its name and share."""
        for name, share in (("intervals", self.intervals), ("prediction_sets", self.prediction_sets)):
            if share is not None:
                return name, share
        return None

    def fit(self, model_outputs: NDArray[np.float32], head: Head, rows: Examples) -> Adjustment:
        """The adjustment by a model's outputs for rows that it was not trained on, in no order.

        Where probabilities are both calibrated and made sets of, each is fitted on half of the rows: a promise that is
        measured on the rows that probabilities were bent to would be broken.
        """
        assert rows.labels is not None
        if self.intervals is not None:
            predictions = head.answers(model_outputs)["predictions"]
            labels = numeric_labels(rows.labels, rows.label, head.outputs)
            return Adjustment(intervals=fit_intervals(self.intervals, predictions, labels))
        class_ids, weights = head.encode(rows.labels), rows.weights
        half = len(class_ids) // 2 if self.calibrate and self.prediction_sets else len(class_ids)
        calibrator = sets = None
        if self.calibrate is not None:
            some = None if weights is None else weights[:half]
            calibrator = fit_calibrator(self.calibrate, model_outputs[:half], class_ids[:half], some)
        if self.prediction_sets is not None:
            rest = slice(half if calibrator else 0, None)
            outputs = Adjustment(calibrator=calibrator).calibrated(model_outputs[rest])
            sets = fit_prediction_sets(self.prediction_sets, head.answers(outputs)["probabilities"], class_ids[rest])
        return Adjustment(calibrator=calibrator, prediction_sets=sets)


def hold_back(examples: Examples, *, seed: int) -> tuple[Examples, Examples]:
    """The rows to train on, and those held back: a fifth, at most 10,000."""
    count = examples.features.rows
    kept, held = split_rows(count, min(_SHARE, _MOST_ROWS / count), seed=seed + _SPLIT)
    return examples.take(kept), examples.take(np.random.default_rng(seed + _SPLIT).permutation(held))


def save_adjustment(folder: Path, step: int, adjustment: Adjustment) -> None:
    """Keeps what belongs to the checkpoint of that step."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(_path(folder, step), msgspec.json.encode(adjustment))
    for path in folder.glob("adjustment-*.json"):
        number = path.stem.removeprefix("adjustment-")
        if path != _path(folder, step) and not (folder / f"checkpoint-{number}.json").exists():
            path.unlink(missing_ok=True)


def load_adjustment(folder: Path, step: int) -> Adjustment | None:
    """What was kept for that step; None where nothing was."""
    try:
        return msgspec.json.decode(_path(folder, step).read_bytes(), type=Adjustment)
    except (OSError, msgspec.MsgspecError):
        return None


def _path(folder: Path, step: int) -> Path:
    return folder / f"adjustment-{step}.json"
