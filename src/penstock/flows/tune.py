"""Tunes an experiment: trials in this process that share compiled steps and encoded rows, then the winner, refitted."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.errors import ConfigError, PenstockError, did_you_mean
from penstock.estimators.defaults import recipe_for
from penstock.estimators.estimator import Estimator
from penstock.estimators.examples import Examples, InputSource
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.memory import TrialMemory
from penstock.estimators.run_config import RunConfig
from penstock.flows.train import Trained, train_experiment
from penstock.flows.training_rows import with_prepared_rows
from penstock.settings import Settings
from penstock.training.experiment import Experiment, TrainingSection
from penstock.training.opening import OpenExperiment, open_experiment, open_tables
from penstock.tuning.built_in import built_in_space, split_assignment
from penstock.tuning.parameter import Value
from penstock.tuning.section import Tuning, parse_tuning
from penstock.tuning.specification import Goal, Specification
from penstock.tuning.study import Study, begin_study
from penstock.tuning.trial import Trial

__all__ = ["Tuned", "Watch", "tune_experiment"]

_TICK_S = 0.5
_MORE_IS_BETTER = {"accuracy", "auc", "auc_precision_recall", "precision", "recall", "r2", "f1", "top_5_accuracy"}

Watch = Callable[[Study], None]
"""Told after every change of the study: for tables that live."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What a tuning left behind. trained: the winner, refitted; None where the tuning was interrupted."""

    study: str
    specification: Specification
    trials: Sequence[Trial]
    best: Trial
    experiment: Experiment
    trained: Trained | None
    folder: Path


class _Stopped(Exception):  # noqa: N818
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


def tune_experiment(
    experiment: Experiment,
    *,
    settings: Settings,
    name: str,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
    refit: bool = True,
    note: Callable[[str], None],
    watch: Watch = lambda _study: None,
) -> Tuned:
    """Searches the experiment's parameters, and trains the best on all its training rows.

    name: of the study. changes: fields of the tuning section, put over those of the experiment.
    resume: go on with the study of that name, or begin it.
    On Ctrl-C the trials that run are given up, and the result has the best so far, not refitted.
    Raises ConfigError for what the experiment or its tuning gets wrong, TrainingError where no trial came to anything.
    """
    tuning = parse_tuning({**(experiment.tuning or {}), **(changes or {})})
    folder = settings.home / "projects" / settings.project / "studies" / name
    with (
        with_prepared_rows(experiment, settings=settings, note=note) as ready,
        open_tables(ready, settings=settings) as tables,
    ):
        opened = open_experiment(ready, tables, note=note)
        metric, goal = _objective(tuning)
        space = tuning.parameters
        if space is None:
            space = built_in_space(experiment.estimator.type, experiment.estimator.parameters)
        steps = experiment.training.max_steps
        every = 1 if tuning.section.folds else max(1, (steps or _usual_steps(opened)) // tuning.section.evaluations)
        specification = tuning.specification(parameters=space, metric=metric, goal=goal, first_rung=every)
        runner = _Runner(opened, folds=tuning.section.folds, every=every, metric=metric, folder=folder)
        with begin_study(name, specification, settings=settings, resume=resume, anew=True, quick=True) as study:
            interrupted = _run(study, runner, watch)
            best = study.result()
            trials = study.trials
    winner = _winner(experiment, best.parameters)
    trained = None
    if refit and not interrupted:
        trained = train_experiment(winner, settings=settings, model_dir=str(folder / f"trial-{best.number}"), note=note)
    return Tuned(
        study=name,
        specification=specification,
        trials=trials,
        best=best,
        experiment=winner,
        trained=trained,
        folder=folder,
    )


def _run(study: Study, runner: "_Runner", watch: Watch) -> bool:
    """Runs trials until there are no more to be; whether Ctrl-C came in between."""
    lock = threading.RLock()
    is_over = threading.Event()
    running: dict[Future[str], Trial] = {}
    asked_all = False
    with ThreadPoolExecutor(study.specification.parallel, thread_name_prefix="trial") as pool:
        try:
            while True:
                while not asked_all and len(running) < study.specification.parallel:
                    with lock:
                        trial = study.ask()
                    if trial is None:
                        asked_all = True
                        break
                    running[pool.submit(runner.run, trial, _reporter(study, trial, lock, is_over))] = trial
                if not running:
                    return False
                done, _ = wait(running, timeout=_TICK_S, return_when=FIRST_COMPLETED)
                with lock:
                    for future in done:
                        ending = future.result()
                        study.tell(
                            running.pop(future).number,
                            stopped=ending == "stopped",
                            failure="" if ending in ("done", "stopped") else ending,
                        )
                    study.renew()
                    watch(study)
        except KeyboardInterrupt:
            is_over.set()
            return True
        except BaseException:
            is_over.set()
            raise


def _reporter(
    study: Study, trial: Trial, lock: threading.RLock, is_over: threading.Event
) -> Callable[[int, float], None]:
    def report(step: int, value: float) -> None:
        with lock:
            stops = study.report(trial.number, step, value)
        if stops or is_over.is_set():
            raise _Stopped

    return report


class _Runner:
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
        except _Stopped:
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
        section = _changed_section(self._opened.experiment, changed)
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


def _objective(tuning: Tuning) -> tuple[str, Goal]:
    metric = tuning.section.metric or "loss"
    if tuning.section.goal is not None:
        return metric, "MAXIMIZE" if tuning.section.goal == "maximize" else "MINIMIZE"
    return metric, "MAXIMIZE" if metric in _MORE_IS_BETTER else "MINIMIZE"


def _usual_steps(opened: OpenExperiment) -> int:
    """Steps of a training that is given no number of them."""
    examples = opened.training_input().examples(None)
    rows = examples.features.rows
    return recipe_for(rows, examples.batching.rows_per_step(rows)).steps


def _changed_section(experiment: Experiment, changed: Mapping[str, Value]) -> TrainingSection:
    try:
        return msgspec.convert({**msgspec.to_builtins(experiment.training), **changed}, TrainingSection)
    except msgspec.ValidationError as error:
        raise ConfigError(f"tuning.parameters: training.{error}") from None


def _winner(experiment: Experiment, parameters: Mapping[str, Value]) -> Experiment:
    """The experiment with the best parameters in the place of what was searched."""
    arguments, changed = split_assignment(parameters)
    section = msgspec.structs.replace(experiment.estimator, parameters={**experiment.estimator.parameters, **arguments})
    return msgspec.structs.replace(
        experiment, estimator=section, training=_changed_section(experiment, changed), tuning=None
    )
