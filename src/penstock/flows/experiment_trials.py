"""An experiment's trials in this process: they share compiled steps and encoded rows, and report what they measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from penstock.errors import ConfigError, PenstockError, did_you_mean
from penstock.estimators.defaults import recipe_for
from penstock.estimators.estimator import Estimator
from penstock.estimators.examples import Examples, InputSource
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.memory import TrialMemory
from penstock.estimators.run_config import RunConfig
from penstock.training.experiment import Experiment, TrainingSection
from penstock.training.opening import OpenExperiment
from penstock.tuning.built_in import split_assignment
from penstock.tuning.parameter import Value
from penstock.tuning.section import Tuning
from penstock.tuning.specification import Goal
from penstock.tuning.trial import Trial

__all__ = ["TrialRunner", "TrialStopped", "changed_section", "evaluation_interval", "objective_of"]

_MORE_IS_BETTER = {"accuracy", "auc", "auc_precision_recall", "precision", "recall", "r2", "f1", "top_5_accuracy"}


class TrialStopped(Exception):  # noqa: N818
    """A trial is to go no further."""


class _SameRows(InputSource):
    """Rows that every trial is given as they are."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def examples(self, schema: object) -> Examples:
        return self._examples


@dataclass(frozen=True)
class _Fold:
    """Rows to train on and rows to measure on, and what trials on them have in common."""

    training: Examples
    held_out: Examples
    memory: TrialMemory


class TrialRunner:
    """Runs one trial after another, from several threads."""

    def __init__(self, opened: OpenExperiment, *, folds: int | None, every: int, metric: str, folder: Path) -> None:
        self._opened = opened
        self._every = every
        self._metric = metric
        self._folder = folder
        self._is_crossed = folds is not None
        training = opened.training_input().examples(None)
        if folds is None:
            schema = training.features.schema
            held_out = opened.evaluation_input().examples(schema)
            self._folds = [_Fold(training, held_out, TrialMemory())]
        else:
            self._folds = _crossed(training, folds, seed=opened.experiment.split.seed)

    def run(self, trial: Trial, report: Callable[[int, float], None]) -> str:
        """Trains and reports. "done", "stopped", or why the trial failed."""
        try:
            if self._is_crossed:
                self._cross_validate(trial, report)
            else:
                self._train(trial, self._folds[0], report)
        except TrialStopped:
            return "stopped"
        except ConfigError:
            raise  # of every trial alike
        except PenstockError as error:
            return str(error)
        return "done"

    def _cross_validate(self, trial: Trial, report: Callable[[int, float], None]) -> None:
        """After each fold the mean of those so far is reported, with the number of the fold as the step."""
        values: list[float] = []
        for number, fold in enumerate(self._folds, 1):
            last: list[float] = []
            self._train(trial, fold, partial(_keep, last), only_last=True)
            values.append(last[-1])
            report(number, float(np.mean(values)))

    def _train(
        self, trial: Trial, fold: _Fold, report: Callable[[int, float], None], *, only_last: bool = False
    ) -> None:
        arguments, changed = split_assignment(trial.parameters)
        section = changed_section(self._opened.experiment, changed)
        estimator = self._opened.make(
            model_dir=str(self._folder / f"trial-{trial.number}"),
            config=RunConfig(tf_random_seed=section.seed, memory=fold.memory, show_progress=False),
            parameters=arguments,
        )
        training = fold.training
        if "batch_size" in changed:
            training = replace(training, batching=replace(training.batching, size=changed["batch_size"]))

        def visit(model: FittedModel, is_last: bool) -> None:
            if is_last or not only_last:
                report(model.step, self._measure(estimator, model, fold))

        estimator.train_with_visits(
            lambda: _SameRows(training),
            max_steps=section.max_steps,
            every=10**9 if only_last else self._every,
            visit=visit,
        )

    def _measure(self, estimator: Estimator, model: FittedModel, fold: _Fold) -> float:
        held_out = fold.held_out
        assert held_out.labels is not None
        features = model.features
        encoded = fold.memory.recall(
            ("encoded", id(features)), lambda: features.encode(held_out.features.select(features.raw_schema.names))
        )
        metrics = model.head.evaluate(model.body.outputs(encoded), held_out.labels, held_out.weights)
        if self._metric not in metrics:
            known = ", ".join(metrics)
            raise ConfigError(
                f"tuning.metric is {self._metric!r}; {type(estimator).__name__} measures {known}"
                f"{did_you_mean(self._metric, metrics)}"
            )
        return metrics[self._metric]


def _keep(values: list[float], _step: int, value: float) -> None:
    values.append(value)


def _crossed(examples: Examples, folds: int, *, seed: int) -> list[_Fold]:
    """Each row is held out in one fold. Raises ConfigError for more folds than rows."""
    rows = examples.features.rows
    if rows < 2 * folds:
        raise ConfigError(f"tuning.folds is {folds}, and there are {rows} rows to train on; give fewer folds")
    order = np.random.default_rng(seed).permutation(rows)
    parts = [np.sort(order[number::folds]) for number in range(folds)]
    return [
        _Fold(examples.take(np.setdiff1d(np.arange(rows), part)), examples.take(part), TrialMemory()) for part in parts
    ]


def objective_of(tuning: Tuning) -> tuple[str, Goal]:
    metric = tuning.section.metric or "loss"
    if tuning.section.goal is not None:
        return metric, "MAXIMIZE" if tuning.section.goal == "maximize" else "MINIMIZE"
    return metric, "MAXIMIZE" if metric in _MORE_IS_BETTER else "MINIMIZE"


def evaluation_interval(opened: OpenExperiment, tuning: Tuning) -> int:
    """Steps between a trial's measurements; folds of a cross-validation."""
    if tuning.section.folds:
        return 1
    steps = opened.experiment.training.max_steps or _usual_steps(opened)
    return max(1, steps // tuning.section.evaluations)


def changed_section(experiment: Experiment, changed: Mapping[str, Value]) -> TrainingSection:
    try:
        return msgspec.convert({**msgspec.to_builtins(experiment.training), **changed}, TrainingSection)
    except msgspec.ValidationError as error:
        raise ConfigError(f"tuning.parameters: training.{error}") from None


def _usual_steps(opened: OpenExperiment) -> int:
    """Steps of a training that is given no number of them."""
    examples = opened.training_input().examples(None)
    rows = examples.features.rows
    return recipe_for(rows, examples.batching.rows_per_step(rows)).steps
