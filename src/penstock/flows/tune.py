"""Tunes an experiment: trials in this process that share compiled steps and encoded rows, then the winner, refitted."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from penstock.flows.experiment_trials import (
    TrialRunner,
    TrialStopped,
    changed_section,
    evaluation_interval,
    objective_of,
)
from penstock.flows.host_trials import host_trials, launch_of
from penstock.flows.run_trials import forget_others, run_trials
from penstock.flows.train import Trained, train_experiment
from penstock.flows.training_rows import with_prepared_rows
from penstock.jobs.trial_host import TrialHost
from penstock.settings import Settings
from penstock.training.experiment import Experiment
from penstock.training.opening import open_experiment, open_tables
from penstock.tuning.built_in import built_in_space, split_assignment
from penstock.tuning.parameter import Value
from penstock.tuning.section import parse_tuning
from penstock.tuning.specification import Specification
from penstock.tuning.study import Study, begin_study
from penstock.tuning.trial import Trial

__all__ = ["Tuned", "Watch", "tune_experiment"]

_TICK_S = 0.5

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


def tune_experiment(
    experiment: Experiment,
    *,
    settings: Settings,
    name: str,
    changes: Mapping[str, Any] | None = None,
    resume: bool = False,
    cluster: str | None = None,
    refit: bool = True,
    note: Callable[[str], None],
    watch: Watch = lambda _study: None,
) -> Tuned:
    """Searches the experiment's parameters, and trains the best on all its training rows.

    name: of the study. changes: fields of the tuning section, put over those of the experiment.
    resume: go on with the study of that name, or begin it. cluster: address of a Ray cluster to run the trials on.
    On Ctrl-C the trials that run are given up, and the result has the best so far, not refitted.
    Raises ConfigError for what the experiment or its tuning gets wrong, TrainingError where no trial came to anything,
    UsageError and ServiceError for a cluster that is none or does not answer.
    """
    section = {**(experiment.tuning or {}), **(changes or {})}
    tuning = parse_tuning(section)
    folder = settings.home / "projects" / settings.project / "studies" / name
    with (
        with_prepared_rows(experiment, settings=settings, note=note) as ready,
        open_tables(ready, settings=settings) as tables,
    ):
        opened = open_experiment(ready, tables, note=note)
        metric, goal = objective_of(tuning)
        space = tuning.parameters
        if space is None:
            space = built_in_space(experiment.estimator.type, experiment.estimator.parameters)
        every = evaluation_interval(opened, tuning)
        specification = tuning.specification(parameters=space, metric=metric, goal=goal, first_rung=every)
        host = None
        if cluster is not None:
            merged = msgspec.structs.replace(experiment, tuning=section)
            host = host_trials(merged, cluster=cluster, study=name, metric=metric, folder=folder, settings=settings)
        with begin_study(name, specification, settings=settings, resume=resume, anew=True, quick=host is None) as study:
            if host is not None:
                forget_others(study, folder)
                interrupted = _run_on(host, study, watch)
            else:
                runner = TrialRunner(opened, folds=tuning.section.folds, every=every, metric=metric, folder=folder)
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


def _run(study: Study, runner: TrialRunner, watch: Watch) -> bool:
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


def _run_on(host: TrialHost, study: Study, watch: Watch) -> bool:
    """Runs trials on a host until there are no more to be; whether Ctrl-C came in between."""
    try:
        run_trials(study, host, launch_of=launch_of, say=lambda _message: None, changed=lambda: watch(study))
    except KeyboardInterrupt:
        return True
    return False


def _reporter(
    study: Study, trial: Trial, lock: threading.RLock, is_over: threading.Event
) -> Callable[[int, float], None]:
    def report(step: int, value: float) -> None:
        with lock:
            stops = study.report(trial.number, step, value)
        if stops or is_over.is_set():
            raise TrialStopped

    return report


def _winner(experiment: Experiment, parameters: Mapping[str, Value]) -> Experiment:
    """The experiment with the best parameters in the place of what was searched."""
    arguments, changed = split_assignment(parameters)
    section = msgspec.structs.replace(experiment.estimator, parameters={**experiment.estimator.parameters, **arguments})
    return msgspec.structs.replace(
        experiment, estimator=section, training=changed_section(experiment, changed), tuning=None
    )
