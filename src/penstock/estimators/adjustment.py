"""What is fitted to a trained model on rows held back from its training: calibration and intervals; kept by step."""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError
from penstock.estimators.calibration import CALIBRATIONS, Calibration, Calibrator, fit_calibrator
from penstock.estimators.examples import Examples
from penstock.estimators.heads import Head
from penstock.estimators.intervals import Intervals, fit_intervals
from penstock.estimators.regression_head import numeric_labels
from penstock.estimators.row_split import split_rows
from penstock.store.blobs import replace_file

__all__ = ["Adjustment", "AdjustmentOptions", "hold_back", "load_adjustment", "save_adjustment"]

_SHARE = 0.2
_MOST_ROWS = 10_000
_SPLIT = 7919
"""Added to the seed: these rows are drawn apart from those of the early stopping."""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """calibrator: of a classifier's outputs. intervals: of a regression's predictions."""

    calibrator: Calibrator | None = None
    intervals: Intervals | None = None


class AdjustmentOptions(msgspec.Struct, frozen=True, kw_only=True):
    """calibrate: how probabilities are calibrated. intervals: the share of rows that intervals are to cover."""

    calibrate: Calibration | None = None
    intervals: float | None = None

    def __post_init__(self) -> None:
        if self.calibrate is not None and self.calibrate not in CALIBRATIONS:
            raise ConfigError(f"calibrate is {self.calibrate!r}; expected one of {', '.join(CALIBRATIONS)}")
        if self.intervals is not None and not (
            isinstance(self.intervals, int | float) and 0.0 < float(self.intervals) < 1.0
        ):
            raise ConfigError(f"intervals is {self.intervals!r}; expected a share between 0 and 1, such as 0.9")

    @property
    def params(self) -> dict[str, object]:
        """Those that are asked for, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}

    def fit(self, model_outputs: NDArray[np.float32], head: Head, rows: Examples) -> Adjustment:
        """The adjustment by a model's outputs for rows that it was not trained on."""
        assert rows.labels is not None
        if self.calibrate is not None:
            encoded = head.encode(rows.labels)
            return Adjustment(calibrator=fit_calibrator(self.calibrate, model_outputs, encoded, rows.weights))
        assert self.intervals is not None
        predictions = head.answers(model_outputs)["predictions"]
        labels = numeric_labels(rows.labels, rows.label, head.outputs)
        return Adjustment(intervals=fit_intervals(self.intervals, predictions, labels))


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
