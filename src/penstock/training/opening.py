"""An experiment opened: its table, profile, task, rows to train and to evaluate on, and its estimator made to order."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any

from penstock.bundle.manifest import Task
from penstock.data.profile import TableProfile
from penstock.data.profiler import profile_table
from penstock.data.recipe.document import read_options
from penstock.data.recipe.prepared import with_noted_types
from penstock.data.recipe.serving_input import serving_section
from penstock.data.recipe.travel import TravellingRecipe, travelling_recipe
from penstock.data.schema import Schema
from penstock.data.table import Table, open_table
from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.estimator import Estimator
from penstock.estimators.example_stream import ExampleStream, open_examples
from penstock.estimators.run_config import RunConfig
from penstock.estimators.table_input import TableInput, table_input_fns
from penstock.features.automatic import automatic_columns
from penstock.features.column import FeatureColumn
from penstock.features.statistics import gather_statistics
from penstock.settings import Settings
from penstock.training.catalog import check_arguments, estimator_class
from penstock.training.experiment import Experiment
from penstock.training.task import check_label, check_label_values, infer_task
from penstock.training.treatments import AUTO, Treatment, explicit_column, parse_treatments

__all__ = ["OpenExperiment", "OpenTables", "open_experiment", "open_tables"]


AUTO_ESTIMATOR = "Auto"
"""Is `AutoRegressor` or `AutoClassifier`, as the task is."""


@dataclass(frozen=True, kw_only=True)
class OpenTables:
    """The tables of an experiment: evaluation is None where a share of the other's rows is held out."""

    table: Table
    evaluation: Table | None

    @property
    def all(self) -> tuple[Table, ...]:
        return (self.table,) if self.evaluation is None else (self.table, self.evaluation)


@dataclass(frozen=True, kw_only=True)
class OpenExperiment:
    """training_input, evaluation_input: rows of the two sides of the split, or of the two tables.

    feature_columns: None leaves them to the estimator. recipe: that prepared the rows; None where none did.
    """

    experiment: Experiment
    profile: TableProfile
    task: Task
    estimator: type[Estimator]
    training_input: Callable[[], TableInput]
    evaluation_input: Callable[[], TableInput]
    feature_columns: tuple[FeatureColumn, ...] | None = None
    recipe: TravellingRecipe | None = None

    def make(self, *, model_dir: str, config: RunConfig, parameters: Mapping[str, Any] | None = None) -> Estimator:
        """The estimator. parameters: put over those of the experiment. Raises ConfigError for one it does not take."""
        arguments = {**self.experiment.estimator.parameters, **(parameters or {})}
        check_arguments(self.estimator, arguments)
        try:
            return self.estimator(feature_columns=self.feature_columns, model_dir=model_dir, config=config, **arguments)
        except TypeError as error:
            message = str(error).partition("__init__() ")[2] or str(error)
            raise ConfigError(f"estimator {self.experiment.estimator.type}: {message}") from None


@contextmanager
def open_tables(experiment: Experiment, *, settings: Settings) -> Iterator[OpenTables]:
    """Opens the tables. Raises DataError, also where the label is not in them, and ConfigError for data.read."""
    options = with_noted_types(read_options(experiment.data.read, place="data.read"), experiment.data.source)
    with ExitStack() as opened:
        table = opened.enter_context(closing(open_table(experiment.data.source, settings=settings, options=options)))
        evaluation = None
        if experiment.data.evaluation is not None:
            evaluation = opened.enter_context(
                closing(open_table(experiment.data.evaluation, settings=settings, options=options))
            )
        check_label(table.schema, experiment.label.name, source=str(experiment.data.source))
        if evaluation is not None:
            check_label(evaluation.schema, experiment.label.name, source=str(experiment.data.evaluation))
        yield OpenTables(table=table, evaluation=evaluation)


def open_experiment(experiment: Experiment, tables: OpenTables, *, note: Callable[[str], None]) -> OpenExperiment:
    """Profiles the table, and decides what the experiment leaves open.

    note: told of what was detected and left out.
    Raises ConfigError for what the experiment gets wrong, DataError for the table.
    """
    if experiment.serving is not None:
        serving_section(experiment.serving)  # not after hours of training
    profile = profile_table(tables.table)
    check_label_values(profile[experiment.label.name], may_be_missing=experiment.label.missing == "drop", note=note)
    task = _task(experiment, profile)
    chosen = _estimator_class(experiment, task)
    recipe = _recipe(experiment, note)
    treatments = _treatments(experiment, tables.table.schema, recipe)
    training_input, evaluation_input = table_input_fns(
        tables.table,
        label=experiment.label.name,
        evaluation=experiment.split.evaluation if tables.evaluation is None else tables.evaluation,
        seed=experiment.split.seed,
        features=[treatment.column for treatment in treatments],
        batch_size=experiment.training.batch_size,
        weight=experiment.training.weight,
        memory_limit_mb=experiment.training.memory_limit_mb,
        missing_labels=experiment.label.missing,
    )
    return OpenExperiment(
        experiment=experiment,
        profile=profile,
        task=task,
        estimator=chosen,
        training_input=training_input,
        evaluation_input=evaluation_input,
        feature_columns=_feature_columns(treatments, training_input, experiment.label.name, note),
        recipe=recipe,
    )


def _recipe(experiment: Experiment, note: Callable[[str], None]) -> TravellingRecipe | None:
    """The recipe behind the rows."""
    recipe = travelling_recipe(experiment.data.source)
    evaluation = experiment.data.evaluation
    if recipe is not None and evaluation is not None and not recipe.agrees_with(evaluation):
        note(
            f"{evaluation} was not prepared as {experiment.data.source} was: its steps, or numbers measured for them, "
            "are others; prepare both in one go, with a split"
        )
    return recipe


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
    if name == AUTO_ESTIMATOR:
        name = "AutoRegressor" if task is Task.REGRESSION else "AutoClassifier"
    chosen = estimator_class(name)
    check_arguments(chosen, experiment.estimator.parameters)
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


def _treatments(experiment: Experiment, schema: Schema, recipe: TravellingRecipe | None) -> list[Treatment]:
    """How each column that is to be used is treated. A column that only tells parts of the rows apart never is."""
    label = experiment.label.name
    parts = () if recipe is None else recipe.part_columns
    weight = experiment.training.weight
    if weight is not None and weight not in schema:
        close = did_you_mean(weight, schema.names)
        raise ConfigError(f"training.weight names {weight!r}; the table has {', '.join(schema.names)}{close}")
    if experiment.features == "auto":
        others = {label, experiment.training.weight, *parts}
        return [Treatment(name, AUTO, {}) for name in schema.names if name not in others]
    for name in parts:
        if name in experiment.features:
            raise ConfigError(
                f"features names {name!r}, by which the recipe of {recipe.place if recipe else ''} parts rows for "
                "training; no row that is asked for has it, so leave it out"
            )
    if label in experiment.features:
        raise ConfigError(f"features names the label {label!r}; a model may not see what it is to predict")
    return parse_treatments(experiment.features, schema)


def _feature_columns(
    treatments: list[Treatment], train_fn: Callable[[], TableInput], label: str, note: Callable[[str], None]
) -> tuple[FeatureColumn, ...] | None:
    """Feature columns for the training rows; None, where every column is automatic, leaves them to the estimator."""
    if all(treatment.kind == AUTO for treatment in treatments):
        return None
    source = open_examples(train_fn)
    schema = source.schema if isinstance(source, ExampleStream) else source.features.schema
    explicit = [explicit_column(one, schema) for one in treatments if one.kind != AUTO]
    rest = tuple(one.column for one in treatments if one.kind == AUTO)
    if not rest:
        return tuple(explicit)
    batches = source.batches() if isinstance(source, ExampleStream) else [source]
    chosen = automatic_columns(gather_statistics(batch.features.select(rest) for batch in batches), label=label)
    for message in chosen.notices:
        note(message)
    return (*explicit, *chosen.columns)
