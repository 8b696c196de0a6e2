"""Checks that every estimator passes, Penstock's own and yours: `check_estimator(make)`."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import PenstockError, UsageError
from penstock.estimators.estimator import Estimator
from penstock.estimators.run_config import RunConfig
from penstock.runtime.model import load_model

__all__ = ["EstimatorCheckError", "check_estimator"]

MakeEstimator = Callable[[str, RunConfig], Estimator]
"""A fresh estimator for a model folder and a configuration; it chooses its columns by the data."""

Table = dict[str, NDArray[Any]]

_STEPS, _FEW_STEPS = 300, 20
_TIME_TO_SPARE_S = 86_400.0
_TOLERANCE = 1e-4


class EstimatorCheckError(AssertionError):
    """An estimator does not do what every estimator does; the message names the check and what was found."""


def check_estimator(make: MakeEstimator, *, steps: int = _STEPS, few_steps: int = _FEW_STEPS) -> tuple[str, ...]:
    """Runs every check and returns their names. Raises EstimatorCheckError at the first that fails.

    make: called with a folder and a RunConfig. steps: enough for it to learn a smooth function of two numbers and a
    word. few_steps: of trainings whose results are only compared, from 2 on.

    What the clock decides cannot be repeated. An estimator with a `time_budget_s` is therefore checked where steps end
    its trainings, and UsageError is raised where it has less than a day; what it does out of time is not checked.
    """
    if few_steps < 2:
        raise UsageError(f"few_steps is {few_steps}; expected at least 2, for a checkpoint in the middle")
    with tempfile.TemporaryDirectory(prefix="penstock-check-") as folder:
        estimator = make(str(Path(folder) / "kind"), RunConfig())
        if estimator.time_budget_s is not None and estimator.time_budget_s < _TIME_TO_SPARE_S:
            raise UsageError(
                f"time_budget_s of the estimator is {estimator.time_budget_s:g}; expected at least "
                f"{_TIME_TO_SPARE_S:g}, so that steps end its trainings and not the clock: equal seeds give equal "
                "answers then alone"
            )
        is_classifier = _is_classifier(estimator)
        table, labels = _table(is_classifier)
        for number, check in enumerate(_CHECKS):
            check(_Trial(make, Path(folder) / str(number), table, labels, is_classifier, steps, few_steps))
    return tuple(check.__name__.removeprefix("_check_") for check in _CHECKS)


class _Trial:
    """One check's estimators, rows and folder."""

    def __init__(
        self,
        make: MakeEstimator,
        folder: Path,
        table: Table,
        labels: NDArray[Any],
        is_classifier: bool,
        steps: int,
        few_steps: int,
    ) -> None:
        self._make = make
        self.folder = folder
        self.table = table
        self.labels = labels
        self.is_classifier = is_classifier
        self.steps = steps
        self.few_steps = few_steps

    def estimator(self, name: str = "model", **config: Any) -> Estimator:
        return self._make(str(self.folder / name), RunConfig(**config))

    def trained(self, name: str = "model", *, steps: int | None = None, **config: Any) -> Estimator:
        return self.estimator(name, **config).train(lambda: (self.table, self.labels), max_steps=steps or self.steps)

    def answers(self, estimator: Estimator, table: Mapping[str, Any]) -> NDArray[Any]:
        """Predictions, or probabilities, of all rows."""
        answered = next(iter(estimator.predict(lambda: dict(table), yield_single_examples=False)))
        return np.asarray(answered["probabilities" if self.is_classifier else "predictions"])


def _check_learns_a_known_function(trial: _Trial) -> None:
    metrics = trial.trained().evaluate(lambda: (trial.table, trial.labels))
    if trial.is_classifier:
        learned = metrics["accuracy"] > metrics["accuracy_baseline"] + 0.5 * (1.0 - metrics["accuracy_baseline"])
    else:
        learned = metrics["rmse"] < 0.6 * float(np.std(trial.labels))
    _require(learned, "learns a known function", f"its metrics are {metrics}")


def _check_same_seed_same_answers(trial: _Trial) -> None:
    first, second = (
        trial.answers(trial.trained(name, steps=trial.few_steps), trial.table) for name in ("first", "second")
    )
    _require(np.array_equal(first, second), "answers alike for equal seeds", f"they differ by {_gap(first, second)}")


def _check_resumed_equals_uninterrupted(trial: _Trial) -> None:
    steps, every = trial.few_steps, trial.few_steps // 2
    whole = trial.answers(trial.trained("whole", steps=steps), trial.table)
    trial.trained("killed", steps=steps, save_checkpoints_steps=every)
    newest = trial.estimator("killed").latest_checkpoint()
    _require(newest is not None, "saves checkpoints", "there is none after training")
    for path in (trial.folder / "killed").glob(f"{Path(str(newest)).name}.*"):
        path.unlink()
    resumed = trial.trained("killed", steps=steps, save_checkpoints_steps=every)
    gap = _gap(whole, trial.answers(resumed, trial.table))
    _require(gap == 0.0, "ends alike when resumed", f"the answers differ by {gap}")


def _check_bundle_answers_alike(trial: _Trial) -> None:
    estimator = trial.trained(steps=trial.few_steps)
    model = load_model(estimator.export_saved_model(trial.folder / "export"))
    rows = [{name: _plain(values[i]) for name, values in trial.table.items()} for i in range(50)]
    served = model.predict(model.decode(rows))["probabilities" if trial.is_classifier else "predictions"]
    ours = trial.answers(estimator, trial.table)[:50]
    scale = max(1.0, float(np.abs(ours).max()))
    _require(_gap(served, ours) <= _TOLERANCE * scale, "is served as trained", f"they differ by {_gap(served, ours)}")


def _check_odd_values_are_answered(trial: _Trial) -> None:
    estimator = trial.trained(steps=trial.few_steps)
    odd = {
        "number": np.array([np.nan, 1e300, -1e300, 0.0]),
        "skewed": np.array([1.0, 1e30, 1.0, 1.0]),
        "constant": np.full(4, 7.0),
        "word": np.array([None, "never seen", "", "🏔️ Ålesund"], dtype=object),
    }
    answers = trial.answers(estimator, odd)
    _require(bool(np.isfinite(answers).all()), "answers missing, unseen and huge values", f"it answers {answers}")


def _check_refuses_what_cannot_be_learned(trial: _Trial) -> None:
    rows = len(trial.labels)
    constant: Any = np.full(rows, "same", dtype=object) if trial.is_classifier else np.full(rows, 3.0)
    missing: Any = trial.labels.copy()
    missing[3] = None if trial.is_classifier else np.nan
    for name, labels in (("constant", constant), ("missing", missing)):
        try:
            trial.estimator(name).train(lambda labels=labels: (trial.table, labels), max_steps=1)  # type: ignore[misc]
        except PenstockError as error:
            _require("label" in str(error), f"names the label that is {name}", f"it says {error}")
        else:
            _require(False, f"refuses a {name} label", "it trained")


_CHECKS = (
    _check_learns_a_known_function,
    _check_same_seed_same_answers,
    _check_resumed_equals_uninterrupted,
    _check_bundle_answers_alike,
    _check_odd_values_are_answered,
    _check_refuses_what_cannot_be_learned,
)


def _table(is_classifier: bool) -> tuple[Table, NDArray[Any]]:
    """400 rows with missing values, a constant column, skew, and words that are not ASCII."""
    rng = np.random.default_rng(0)
    number, skewed = rng.normal(0, 1, 400), rng.lognormal(0, 1, 400)
    word = rng.choice(["Ålesund", "Brno", "日本"], 400).astype(object)
    score = 2.0 * number - np.log(skewed) + (word == "Brno") * 1.5 + rng.normal(0, 0.1, 400)
    table: Table = {
        "number": np.where(rng.uniform(size=400) < 0.05, np.nan, number),
        "skewed": skewed,
        "constant": np.full(400, 7.0),
        "word": word,
    }
    word[rng.uniform(size=400) < 0.05] = None
    labels = np.where(score > 0.3, "über", "unter").astype(object) if is_classifier else 1000.0 * score
    return table, labels


def _is_classifier(estimator: Estimator) -> bool:
    return type(estimator).__name__.endswith("Classifier")


def _plain(value: Any) -> Any:
    return None if value is None or value != value else value


def _gap(first: NDArray[Any], second: NDArray[Any]) -> float:
    return float(np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64)).max())


def _require(holds: bool, claim: str, found: str) -> None:
    if not holds:
        raise EstimatorCheckError(f"an estimator {claim}; this one does not: {found}")
