"""Runs a few seconds of an experiment's own training here, and says what it would take on each scale tier."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from penstock.errors import PreconditionError
from penstock.estimators.defaults import recipe_for
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.run_config import RunConfig
from penstock.estimators.trees_estimator import OPEN_ENDED_TREES, TreesEstimator
from penstock.flows.training_rows import with_prepared_rows
from penstock.jobs.pricing import Advice, Speed, advise, load_prices
from penstock.settings import Settings
from penstock.training.experiment import Experiment
from penstock.training.opening import OpenExperiment, open_experiment, open_tables

__all__ = ["advise_job"]

_FIRST_STEPS = 20
_INTERVAL_S = 1.0
"""Time between looks: long enough for the checkpoint that comes with a look to cost nothing."""

_LOOKS = 4


def advise_job(experiment: Experiment, *, settings: Settings, note: Callable[[str], None]) -> Advice:
    """Estimates by tier and a recommendation. Prices are those of `prices.yaml` in the home folder, where there is one.

    Raises ConfigError for the experiment or the price table, DataError for the table, PreconditionError for a training
    that is over before its speed can be told.
    """
    prices = load_prices(settings.home / "prices.yaml")
    with (
        with_prepared_rows(experiment, settings=settings, note=note) as ready,
        open_tables(ready, settings=settings) as tables,
    ):
        opened = open_experiment(ready, tables, note=note)
        rough, _ = _measure(opened, every=_FIRST_STEPS, looks=2)
        every = max(_FIRST_STEPS, int(_INTERVAL_S / rough))
        step_s, parameters = _measure(opened, every=every, looks=_LOOKS)
        steps = _planned_steps(opened)
    return advise(Speed(steps=steps, step_s=step_s, parameters=parameters), prices)


class _Enough(Exception):  # noqa: N818
    pass


def _measure(opened: OpenExperiment, *, every: int, looks: int) -> tuple[float, int]:
    """Seconds of a step, compilation left out, and how many numbers the model learns."""
    seen: list[tuple[int, float]] = []

    def look(model: FittedModel, is_last: bool) -> None:
        seen.append((model.step, time.perf_counter()))
        if len(seen) > looks or is_last:
            raise _Enough

    with tempfile.TemporaryDirectory(prefix="penstock-advise-") as folder:
        config = RunConfig(tf_random_seed=opened.experiment.training.seed, show_progress=False)
        enough = {"n_trees": every * (looks + 2)} if _grows_trees(opened) else {}
        estimator = opened.make(model_dir=folder, config=config, parameters=enough)
        with suppress(_Enough):
            estimator.train_with_visits(opened.training_input, max_steps=every * (looks + 2), every=every, visit=look)
        parameters = _learned_numbers(Path(folder))
    (first, began), (last, ended) = seen[0], seen[-1]
    if last == first:
        raise PreconditionError(f"the training is over after {last} steps; that is no training to take elsewhere")
    return (ended - began) / (last - first), parameters


def _learned_numbers(folder: Path) -> int:
    newest = max(folder.glob("checkpoint-*.npz"), key=lambda path: path.stat().st_mtime_ns)
    with np.load(newest, allow_pickle=False) as arrays:
        return sum(int(arrays[name].size) for name in arrays.files if name.startswith("trainable/"))


def _planned_steps(opened: OpenExperiment) -> int:
    """Steps, or trees, of the training: as many as are named, or as its estimator plans before it stops early."""
    named = [opened.experiment.training.max_steps, opened.experiment.estimator.parameters.get("n_trees")]
    if limits := [limit for limit in named if limit]:
        return min(limits)
    if _grows_trees(opened):
        return OPEN_ENDED_TREES
    examples = opened.training_input().examples(None)
    rows = examples.features.rows
    return recipe_for(rows, examples.batching.rows_per_step(rows)).steps


def _grows_trees(opened: OpenExperiment) -> bool:
    return issubclass(opened.estimator, TreesEstimator)
