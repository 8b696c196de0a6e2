"""Trains an experiment: table, features, estimator, evaluation, bundle, and on request a version in the registry."""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from penstock.bundle.folder import read_manifest, verify
from penstock.bundle.manifest import Manifest
from penstock.data.recipe.travel import travelling_recipe
from penstock.errors import BundleError, NotFoundError, StoreError
from penstock.estimators.estimator import Estimator
from penstock.estimators.run_config import RunConfig
from penstock.flows.training_rows import with_prepared_rows
from penstock.runtime.model import read_file
from penstock.settings import Settings
from penstock.store import blobs
from penstock.training.experiment import PHOTO_ESTIMATOR, Experiment
from penstock.training.opening import OpenExperiment, OpenTables, open_experiment, open_tables
from penstock.training.opening_photos import open_photos
from penstock.tuning.section import parse_tuning
from penstock.version import __version__

__all__ = ["Trained", "train_experiment"]

_FINISHED = "finished.json"
_IMPORTANCE = "importance.json"
_IMPORTANCE_PREDICTIONS = 200_000
_IMPORTANCE_REPEATS = 3
_MOST_IMPORTANCE_ROWS = 2_000
_LEAST_IMPORTANCE_ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training left behind. uri: of the bundle. model_dir: checkpoints and summaries.

    importance: rise of the error where a column is shuffled among the evaluation rows, by column, largest first.
    """

    uri: str
    model_dir: str
    manifest: Manifest
    rows: int
    importance: dict[str, float] = field(default_factory=dict)


def train_experiment(
    experiment: Experiment,
    *,
    settings: Settings,
    model_dir: str | None = None,
    note: Callable[[str], None],
) -> Trained:
    """Trains, evaluates on rows held out, and exports a bundle.

    model_dir: folder of checkpoints, summaries and exports; a training that was stopped goes on there. By default a
        folder of the project named by what the experiment says, so that the same experiment finds itself again.
    note: told of what was detected and left out.
    Raises ConfigError for what the experiment gets wrong, DataError for the table, TrainingError for the training.
    """
    parse_tuning(experiment.tuning)  # what is wrong there is told now, not when the tuning is asked for
    if experiment.estimator.type == PHOTO_ESTIMATOR:
        return _train_photos(experiment, settings=settings, model_dir=model_dir, note=note)
    with (
        with_prepared_rows(experiment, settings=settings, note=note) as ready,
        open_tables(ready, settings=settings) as tables,
    ):
        key = _key(experiment, ready, tables)
        folder = model_dir or str(settings.home / "projects" / settings.project / "experiments" / key)
        finished = _finished(folder, key)
        if finished is not None:
            note(f"this experiment is trained already, on the same data; delete {folder} to train it anew")
            return finished
        opened = open_experiment(ready, tables, note=note)
        uri = _train(opened, folder=folder)
    rows = opened.profile.rows
    trained = Trained(uri=uri, model_dir=folder, manifest=read_manifest(uri), rows=rows, importance=_importance_of(uri))
    blobs.write_bytes(folder, _FINISHED, msgspec.json.encode(_Finish(key=key, uri=uri, rows=rows)))
    return trained


class _Finish(msgspec.Struct, frozen=True):
    """Left in the folder of an experiment that ran to its end: a run that was killed later finds its result."""

    key: str
    uri: str
    rows: int


def _finished(folder: str, key: str) -> Trained | None:
    """What an earlier run of the same experiment on the same data made, if its bundle is whole."""
    try:
        finish = msgspec.json.decode(blobs.read_bytes(folder, _FINISHED), type=_Finish)
        if finish.key != key:
            return None
        return Trained(
            uri=finish.uri,
            model_dir=folder,
            manifest=verify(finish.uri),
            rows=finish.rows,
            importance=_importance_of(finish.uri),
        )
    except (msgspec.MsgspecError, NotFoundError, StoreError, BundleError):
        return None


def _train(opened: OpenExperiment, *, folder: str) -> str:
    """Trains, evaluates and exports; returns where the bundle is."""
    experiment = opened.experiment
    estimator = opened.make(model_dir=folder, config=RunConfig(tf_random_seed=experiment.training.seed))
    with estimator.holding_folder():
        estimator.train(opened.training_input, max_steps=experiment.training.max_steps)
        if estimator.is_worker:
            raise SystemExit(0)  # the chief evaluates, exports and registers
        estimator.evaluate(opened.evaluation_input)
        with tempfile.TemporaryDirectory() as made:
            importance = Path(made) / _IMPORTANCE
            importance.write_bytes(msgspec.json.encode(_importance(estimator, opened)))
            return estimator.export_saved_model(
                f"{folder}/export",
                assets_extra={_IMPORTANCE: str(importance)},
                serving=experiment.serving,
                recipe=opened.recipe,
                profile=opened.profile.to_json(),
                label_unit=experiment.label.unit,
            )


def _importance(estimator: Estimator, opened: OpenExperiment) -> dict[str, float]:
    """Of the columns, on as many evaluation rows as take a moment; empty where a single column is all there is."""
    columns = len(estimator.fitted_model().features.raw_schema)
    rows = _IMPORTANCE_PREDICTIONS // (columns * _IMPORTANCE_REPEATS)
    if columns < 2 or rows < _LEAST_IMPORTANCE_ROWS:
        return {}
    return estimator.permutation_importance(
        opened.evaluation_input, repeats=_IMPORTANCE_REPEATS, most_rows=min(rows, _MOST_IMPORTANCE_ROWS)
    )


def _importance_of(uri: str) -> dict[str, float]:
    """What a bundle says of its columns' importance."""
    manifest, name = read_manifest(uri), f"trainer/{_IMPORTANCE}"
    if name not in manifest.files:
        return {}
    return msgspec.json.decode(read_file(uri, manifest, name), type=dict[str, float])


def _train_photos(
    experiment: Experiment, *, settings: Settings, model_dir: str | None, note: Callable[[str], None]
) -> Trained:
    """`train_experiment` of photos."""
    opened = open_photos(experiment)
    key = _named_key(msgspec.structs.replace(experiment, tuning=None), [opened.digest])
    folder = model_dir or str(settings.home / "projects" / settings.project / "experiments" / key)
    finished = _finished(folder, key)
    if finished is not None:
        note(f"this experiment is trained already, on the same photos; delete {folder} to train it anew")
        return finished
    estimator = opened.make(model_dir=folder, config=RunConfig(tf_random_seed=experiment.training.seed))
    note(f"{len(opened.training)} photos to train on, {len(opened.evaluation)} held out")
    estimator.train(lambda: opened.training)
    estimator.evaluate(lambda: opened.evaluation)
    uri = estimator.export_saved_model(f"{folder}/export")
    rows = len(opened.training) + len(opened.evaluation)
    trained = Trained(uri=uri, model_dir=folder, manifest=read_manifest(uri), rows=rows)
    blobs.write_bytes(folder, _FINISHED, msgspec.json.encode(_Finish(key=key, uri=uri, rows=rows)))
    return trained


def _key(experiment: Experiment, ready: Experiment, tables: OpenTables) -> str:
    """The same for the same experiment on the same data, so that a stopped training is found again.

    ready: the experiment on the rows that its recipe made.
    """
    trained = msgspec.structs.replace(experiment, tuning=None)  # how it is tuned changes nothing of one training
    recipe = travelling_recipe(ready.data.source)
    steps = None if recipe is None else recipe.note.serving_program.to_json().decode()
    return _named_key(trained, [steps, [table.digest() for table in tables.all]])


def _named_key(experiment: Experiment, more: list[object]) -> str:
    """The label, and a digest of what the experiment says and of what it reads."""
    content = json.dumps([__version__, msgspec.to_builtins(experiment), *more])
    label = "".join(c if c.isalnum() and c.isascii() else "_" for c in experiment.label.name)[:40]
    return f"{label}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
