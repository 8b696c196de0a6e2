"""What is fitted to a trained model on rows held back from its training: calibration, intervals and sets of classes;
kept by step.
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, TrainingError
from penstock.estimators.calibration import CALIBRATIONS, Calibration, Calibrator, fit_calibrator
from penstock.estimators.classification_heads import class_names
from penstock.estimators.examples import Examples
from penstock.estimators.heads import Answers, Head
from penstock.estimators.intervals import Intervals, fit_intervals, least_rows
from penstock.estimators.prediction_sets import PredictionSets, fit_prediction_sets
from penstock.estimators.regression_head import numeric_labels
from penstock.estimators.row_split import split_rows
from penstock.export.graph import GraphBuilder
from penstock.export.model import EmittedOutput
from penstock.store.blobs import replace_file

__all__ = ["MOST_ROWS", "Adjustment", "AdjustmentOptions", "hold_back", "load_adjustment", "save_adjustment"]

_SHARE = 0.2
MOST_ROWS = 10_000
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
        """What intervals and sets keep of their promise, means over rows. outputs: calibrated. labels: raw."""
        if self.intervals is None and self.prediction_sets is None:
            return {}
        answers = self.completed(head.answers(outputs))
        if self.intervals is not None:
            return self.intervals.metrics(answers, numeric_labels(labels, head.label, head.outputs), weights)
        assert self.prediction_sets is not None
        return self.prediction_sets.metrics(answers, head.encode(labels), weights)

    def undecided(self, answers: Answers) -> NDArray[np.bool_]:
        """Rows of whose answers, where these are no numbers, rounding may decide."""
        if self.prediction_sets is None:
            return np.zeros(len(next(iter(answers.values()))), bool)
        return self.prediction_sets.undecided(answers)


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
    def is_of_classes(self) -> bool:
        return self.calibrate is not None or self.prediction_sets is not None

    def check_rows(self, count: int, *, there: str) -> None:
        """Raises TrainingError where `count` rows that training does not see are too few for what is asked.

        there: how many there are, in words.
        """
        is_halved = self.calibrate is not None and self.prediction_sets is not None
        if self.calibrate is not None and (count // 2 if is_halved else count) < 1:
            raise TrainingError(f"calibrate is fitted to rows that training does not see, and {there}; train on more")
        for name, share in (("intervals", self.intervals), ("prediction_sets", self.prediction_sets)):
            wanted = 0 if share is None else least_rows(share)
            if (count - count // 2 if is_halved else count) < wanted:
                also = ", half of which are for the calibration" if is_halved else ""
                more = "" if count >= MOST_ROWS else "train on more rows, or "
                raise TrainingError(
                    f"{name} of {share:g} are measured on at least {wanted} rows that training does not see, and "
                    f"{there}{also}; {more}ask for less coverage"
                )

    def fit(self, model_outputs: NDArray[np.float32], head: Head, rows: Examples) -> Adjustment:
        """The adjustment by a model's outputs for rows that it was not trained on, in no order.

        Where probabilities are both calibrated and made sets of, each is fitted on half of the rows: a promise that is
        measured on the rows that probabilities were bent to would be broken.
        """
        if rows.weights is not None:  # what counts nothing says nothing
            model_outputs, rows = model_outputs[rows.weights > 0], rows.take(rows.weights > 0)
        self.check_rows(len(model_outputs), there=f"{len(model_outputs)} are held back")
        labels, weights = rows.labels, rows.weights
        assert labels is not None
        if self.intervals is not None:
            predictions = head.answers(model_outputs)["predictions"]
            numbers = numeric_labels(labels, rows.label, head.outputs)
            return Adjustment(intervals=fit_intervals(self.intervals, predictions, numbers, weights))
        ids = head.encode(labels)
        half = len(ids) // 2 if self.calibrate and self.prediction_sets else 0
        bends, measures = (slice(0, half), slice(half, None)) if half else (slice(None), slice(None))

        def some(part: slice) -> NDArray[np.float32] | None:
            return None if weights is None else weights[part]

        made = Adjustment()
        if self.calibrate is not None:
            made = Adjustment(calibrator=fit_calibrator(self.calibrate, model_outputs[bends], ids[bends], some(bends)))
        if self.prediction_sets is None:
            return made
        logits = made.calibrated(model_outputs[measures])
        sets = fit_prediction_sets(self.prediction_sets, logits, ids[measures], some(measures))
        return msgspec.structs.replace(made, prediction_sets=sets)


def hold_back(examples: Examples, options: AdjustmentOptions, *, seed: int) -> tuple[Examples, Examples]:
    """The rows to train on, and those held back: a fifth, at most 10,000, of no class that would be left without rows.

    Raises TrainingError where they are too few for what is asked.
    """
    count = examples.features.rows
    kept, held = split_rows(count, min(_SHARE, MOST_ROWS / count), seed=seed + _SPLIT)
    if options.is_of_classes:
        assert examples.labels is not None
        names = class_names(examples.labels, examples.label).astype("U")
        is_needed = ~np.isin(names[held], names[kept])
        kept, held = np.sort(np.concatenate([kept, held[is_needed]])), held[~is_needed]
    options.check_rows(len(held), there=f"{len(held)} are held back")
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
