"""Trains an experiment: table, features, estimator, evaluation, bundle, and on request a version in the registry."""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from penstock.bundle.folder import read_manifest, verify
from penstock.bundle.manifest import Manifest, Task
from penstock.data.options import ReadOptions
from penstock.data.profile import TableProfile
from penstock.data.profiler import profile_table
from penstock.data.schema import Schema
from penstock.data.table import Table, open_table
from penstock.errors import BundleError, ConfigError, NotFoundError, did_you_mean
from penstock.estimators.checkpoints import replace_file
from penstock.estimators.estimator import Estimator
from penstock.estimators.run_config import RunConfig
from penstock.estimators.table_input import TableInput, table_input_fns
from penstock.features.automatic import automatic_columns
from penstock.features.column import FeatureColumn
from penstock.features.statistics import gather_statistics
from penstock.settings import Settings
from penstock.training.catalog import estimator_class
from penstock.training.experiment import Experiment
from penstock.training.task import check_label, infer_task
from penstock.training.treatments import AUTO, Treatment, explicit_column, parse_treatments
from penstock.version import __version__

__all__ = ["Trained", "train_experiment"]

_FINISHED = "finished.json"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training left behind. uri: of the bundle. model_dir: checkpoints and summaries."""

    uri: str
    model_dir: str
    manifest: Manifest
    rows: int


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
    with ExitStack() as tables:
        table = tables.enter_context(closing(_open(experiment.data.source, experiment, settings)))
        evaluation: float | Table = experiment.split.evaluation
        if experiment.data.evaluation is not None:
            evaluation = tables.enter_context(closing(_open(experiment.data.evaluation, experiment, settings)))
        check_label(table.schema, experiment.label.name, source=str(experiment.data.source))
        key = _key(experiment, [table, *([evaluation] if isinstance(evaluation, Table) else [])])
        folder = model_dir or str(settings.home / "projects" / settings.project / "experiments" / key)
        finished = _finished(folder, key)
        if finished is not None:
            note(f"this experiment is trained already, on the same data; delete {folder} to train it anew")
            return finished
        profile = profile_table(table)
        estimator, uri = _train(experiment, table, evaluation, profile=profile, folder=folder, note=note)
    trained = Trained(uri=uri, model_dir=estimator.model_dir, manifest=read_manifest(uri), rows=profile.rows)
    replace_file(Path(folder) / _FINISHED, msgspec.json.encode(_Finish(key=key, uri=uri, rows=profile.rows)))
    return trained


class _Finish(msgspec.Struct, frozen=True):
    """Left in the folder of an experiment that ran to its end: a run that was killed later finds its result."""

    key: str
    uri: str
    rows: int


def _finished(folder: str, key: str) -> Trained | None:
    """What an earlier run of the same experiment on the same data made, if its bundle is whole."""
    try:
        finish = msgspec.json.decode((Path(folder) / _FINISHED).read_bytes(), type=_Finish)
        if finish.key != key:
            return None
        return Trained(uri=finish.uri, model_dir=folder, manifest=verify(finish.uri), rows=finish.rows)
    except (OSError, msgspec.MsgspecError, NotFoundError, BundleError):
        return None


def _train(
    experiment: Experiment,
    table: Table,
    evaluation: float | Table,
    *,
    profile: TableProfile,
    folder: str,
    note: Callable[[str], None],
) -> tuple[Estimator, str]:
    """The trained estimator, and where its bundle is."""
    label = experiment.label.name
    chosen = _estimator_class(experiment, _task(experiment, profile))
    treatments = _treatments(experiment, table.schema)
    train_fn, evaluate_fn = table_input_fns(
        table,
        label=label,
        evaluation=evaluation,
        seed=experiment.split.seed,
        features=[treatment.column for treatment in treatments],
        batch_size=experiment.training.batch_size,
        weight=experiment.training.weight,
    )
    estimator = _make(
        chosen,
        experiment,
        feature_columns=_feature_columns(treatments, train_fn, label, note),
        model_dir=folder,
        config=RunConfig(tf_random_seed=experiment.training.seed),
    )
    estimator.train(train_fn, max_steps=experiment.training.max_steps)
    estimator.evaluate(evaluate_fn)
    uri = estimator.export_saved_model(
        f"{folder}/export",
        serving=experiment.serving,
        profile=profile.to_json(),
        label_unit=experiment.label.unit,
    )
    return estimator, uri


def _open(source: str | list[str], experiment: Experiment, settings: Settings) -> Table:
    return open_table(source, settings=settings, options=_read_options(experiment.data.read))


def _read_options(section: Mapping[str, Any]) -> ReadOptions:
    known = ReadOptions.__dataclass_fields__
    for name in section:
        if name not in known:
            close = did_you_mean(name, known)
            raise ConfigError(f"data.read has no option {name!r}; it has {', '.join(known)}{close}")
    try:
        return msgspec.convert(dict(section), ReadOptions)
    except msgspec.ValidationError as error:
        raise ConfigError(f"data.read: {error}") from None


def _task(experiment: Experiment, profile: TableProfile) -> Task:
    label = profile[experiment.label.name]
    inferred = infer_task(label).task
    if experiment.task == "auto":
        return inferred
    task = Task(experiment.task)
    if task is Task.BINARY_CLASSIFICATION and label.distinct != 2:
        raise ConfigError(f"task is {task}, but the label {label.name!r} has {label.distinct} different values")
    return task


def _estimator_class(experiment: Experiment, task: Task) -> type[Estimator]:
    name = experiment.estimator.type
    chosen = estimator_class(name)
    is_classifier = name.endswith("Classifier")
    if is_classifier != (task is not Task.REGRESSION):
        counterpart = (
            name.replace("Classifier", "Regressor") if is_classifier else name.replace("Regressor", "Classifier")
        )
        raise ConfigError(
            f"estimator {name} does not do {task}; use {counterpart}, or say the task that you mean: "
            f"task: {'multiclass_classification' if is_classifier else 'regression'}"
        )
    return chosen


def _treatments(experiment: Experiment, schema: Schema) -> list[Treatment]:
    """How each column that is to be used is treated."""
    label = experiment.label.name
    if experiment.features == "auto":
        others = {label, experiment.training.weight}
        return [Treatment(name, AUTO, {}) for name in schema.names if name not in others]
    if label in experiment.features:
        raise ConfigError(f"features names the label {label!r}; a model may not see what it is to predict")
    return parse_treatments(experiment.features, schema)


def _feature_columns(
    treatments: list[Treatment], train_fn: Callable[[], TableInput], label: str, note: Callable[[str], None]
) -> tuple[FeatureColumn, ...] | None:
    """Feature columns for the training rows; None, where every column is automatic, leaves them to the estimator."""
    if all(treatment.kind == AUTO for treatment in treatments):
        return None
    features = train_fn().examples(None).features
    explicit = [explicit_column(one, features.schema) for one in treatments if one.kind != AUTO]
    rest = features.select(tuple(one.column for one in treatments if one.kind == AUTO))
    if not rest.arrays:
        return tuple(explicit)
    chosen = automatic_columns(gather_statistics([rest]), label=label)
    for message in chosen.notices:
        note(message)
    return (*explicit, *chosen.columns)


def _make(chosen: type[Estimator], experiment: Experiment, **arguments: Any) -> Estimator:
    try:
        return chosen(**arguments, **experiment.estimator.parameters)
    except TypeError as error:
        message = str(error).partition("__init__() ")[2] or str(error)
        raise ConfigError(f"estimator {experiment.estimator.type}: {message}") from None


def _key(experiment: Experiment, tables: list[Table]) -> str:
    """The same for the same experiment on the same data, so that a stopped training is found again."""
    content = json.dumps([__version__, msgspec.to_builtins(experiment), [table.digest() for table in tables]])
    label = "".join(c if c.isalnum() and c.isascii() else "_" for c in experiment.label.name)[:40]
    return f"{label}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
