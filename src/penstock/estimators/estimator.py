"""The estimator: train, evaluate, predict, export, with the call shapes of `tf.estimator.Estimator`."""

import re
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bundle.manifest import Label
from penstock.data.recipe.serving_input import ServingInputReceiver
from penstock.data.recipe.travel import TravellingRecipe
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import DataError, ExportError, NotFoundError, PreconditionError, UsageError, did_you_mean
from penstock.estimators.adjustment import AdjustmentOptions, hold_back, load_adjustment, save_adjustment
from penstock.estimators.example_stream import ExampleStream, held_in_memory, open_examples
from penstock.estimators.examples import Examples
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.metric_sums import MetricSums
from penstock.estimators.model_folder import ModelFolder
from penstock.estimators.run_config import RunConfig
from penstock.estimators.serving_side import serving_side
from penstock.estimators.setup import Setup, load_samples, load_setup
from penstock.estimators.training_profile import profile_of_rows, some_rows
from penstock.export.write import BundleFacts, write_bundle
from penstock.features.column import FeatureColumn
from penstock.store.blobs import replace_file

__all__ = ["Estimator", "InputFn", "Visit", "free_timestamp", "refuse_hooks", "rows_of"]

InputFn = Callable[[], Any]

Visit = Callable[[FittedModel, bool], None]

_EVALUATION = "evaluation.json"
_CHECKPOINT_PATH = re.compile(r"(?:.*[/\\])?checkpoint-(\d+)(?:\.npz|\.json)?")


class _Evaluation(msgspec.Struct):
    step: int
    metrics: dict[str, float]


class Estimator(ABC):
    """A model with its training, kept in a folder.

    feature_columns: what the model reads; None chooses by the training data. model_dir: folder or URI of checkpoints,
    summaries and exports; None takes the one of `config`, or a temporary one. weight_column: a column of row weights.
    adjustments: what is fitted to the trained model on rows held back from its training.
    """

    def __init__(
        self,
        *,
        feature_columns: Sequence[FeatureColumn] | None,
        model_dir: str | Path | None,
        config: RunConfig | None,
        weight_column: Any = None,
        adjustments: AdjustmentOptions | None = None,
    ) -> None:
        self._adjustments = adjustments or AdjustmentOptions()
        self._held_back: Examples | None = None
        self._seen: Examples | ExampleStream | None = None
        self._config = config or RunConfig()
        chosen = model_dir or self._config.model_dir or tempfile.mkdtemp(prefix="penstock-")
        self._place = ModelFolder(chosen)
        self._folder = self._place.path
        self._event_files: dict[Path, Path] = {}
        self._columns = None if feature_columns is None else tuple(feature_columns)
        self._weight_column = None if weight_column is None else str(getattr(weight_column, "key", weight_column))

    @property
    def model_dir(self) -> str:
        return self._place.place

    @property
    def config(self) -> RunConfig:
        return self._config

    @property
    def is_worker(self) -> bool:
        """Whether another process, the chief, keeps what this training makes."""
        return False

    def chiefs_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """What the chief measured, in every process of a training; `metrics` are its own."""
        return metrics

    @property
    def weight_column(self) -> str | None:
        """The column of row weights."""
        return self._weight_column

    @property
    def time_budget_s(self) -> float | None:
        """Seconds after which a training ends, whatever its steps; None where steps alone end it.

        Equal seeds give equal models where steps end the training.
        """
        return None

    @property
    @abstractmethod
    def params(self) -> dict[str, Any]:
        """The arguments that make the model what it is, as JSON values."""

    def train(
        self,
        input_fn: InputFn,
        hooks: Sequence[Any] | None = None,
        steps: int | None = None,
        max_steps: int | None = None,
        saving_listeners: Sequence[Any] | None = None,
    ) -> Self:
        """Trains, going on from the newest checkpoint in `model_dir`. Returns the estimator.

        steps: so many more. max_steps: until `global_step` is that. With neither, a number chosen by the rows, a
        tenth of which is held out: the weights that do best on them are kept, and training stops once they get no
        better. Raises DataError for rows nothing can be learned from, TrainingError when the loss is not a number any
        more, PreconditionError while another process trains in `model_dir`.
        """
        refuse_hooks(hooks, saving_listeners)
        if steps is not None and max_steps is not None:
            raise UsageError("train takes steps or max_steps, not both")
        for name, value in (("steps", steps), ("max_steps", max_steps)):
            if value is not None and value < 1:
                raise UsageError(f"train: {name} is {value}; expected at least 1")
        with self.holding_folder():
            self.train_with_visits(input_fn, steps=steps, max_steps=max_steps)
        return self

    def holding_folder(self) -> AbstractContextManager[None]:
        """Keeps other processes from training in `model_dir`. Raises PreconditionError naming the one that does."""
        return self._place.held()

    @abstractmethod
    def train_with_visits(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        every: int = 0,
        visit: Visit = lambda _model, _is_last: None,
    ) -> None:
        """`train`, showing the model to `visit` after every so many steps (0: never) and after the last.

        visit: takes the model, and whether the training is over.
        """

    @abstractmethod
    def fitted_model(self, step: int | None = None) -> FittedModel:
        """The model at a checkpoint, by default the newest. Raises PreconditionError where nothing is trained."""

    @abstractmethod
    def latest_checkpoint(self) -> str | None:
        """Path of the newest checkpoint, without its ending; None where there is none."""

    def evaluate(
        self,
        input_fn: InputFn,
        steps: int | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | None = None,
        name: str | None = None,
    ) -> dict[str, float]:
        """Metrics on labelled rows, `global_step` among them.

        steps: batches of the input to look at; None for all. name: of this evaluation among several, in TensorBoard.
        """
        refuse_hooks(hooks)
        model = self.fitted_model(_step_of(checkpoint_path))
        examples = self.open_examples(input_fn, steps)
        metrics = self.evaluate_examples(model, examples)
        self.write_evaluation(metrics, name=name)
        return metrics

    def predict(
        self,
        input_fn: InputFn,
        predict_keys: Sequence[str] | str | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | None = None,
        yield_single_examples: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Answers by output name, one dictionary a row (or, with yield_single_examples=False, one for all rows)."""
        refuse_hooks(hooks)
        model = self.fitted_model(_step_of(checkpoint_path))
        examples = self._open(input_fn, with_labels=False)
        batches = iter([examples] if isinstance(examples, Examples) else examples.batches())
        names = model.features.raw_schema.names
        first = model.predict(next(batches).features.select(names))
        keys = [predict_keys] if isinstance(predict_keys, str) else list(predict_keys or first)
        for key in keys:
            if key not in first:
                close = did_you_mean(key, first)
                raise UsageError(f"predict_keys names {key!r}; this model answers {', '.join(first)}{close}")
        answers = chain([first], (model.predict(batch.features.select(names)) for batch in batches))
        return chain.from_iterable(
            rows_of({key: one[key] for key in keys}, single=yield_single_examples) for one in answers
        )

    def export_saved_model(
        self,
        export_dir_base: str | Path,
        serving_input_receiver_fn: Callable[[], ServingInputReceiver] | None = None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
        *,
        serving: Any = None,
        recipe: TravellingRecipe | None = None,
        profile: bytes | None = None,
        label_unit: str | None = None,
    ) -> str:
        """Writes a bundle under `export_dir_base/TIMESTAMP` and returns its path.

        The bundle is Penstock's (ONNX and `bundle.json`), not TensorFlow's SavedModel. Before it appears, its answers
        on real rows are compared with the trainer's; ParityError is raised where they differ.
        serving_input_receiver_fn: what callers send where that is not the training columns; `serving` is the same as
        the `serving:` section of an experiment. recipe: that prepared the training's rows; callers then send rows as
        they were before it. assets_extra: files kept in the bundle's `trainer/` folder, by name.
        profile: of the training's rows; becomes the bundle's `profile.json`. Without it one is made of the rows, or of
        100,000 of them, that this process trained on. label_unit: for people ("dollars").
        """
        if as_text:
            raise UsageError("as_text=True writes no bundle; bundles are binary ONNX, and bundle.json is text already")
        model = self.fitted_model(_step_of(checkpoint_path))
        setup = self._setup()
        profile = profile or profile_of_rows(self._folder, self._seen)
        samples = load_samples(self._folder, model.features.raw_schema)
        side = serving_side(
            model.features.raw_schema,
            samples,
            function=serving_input_receiver_fn,
            section=serving,
            recipe=recipe,
        )
        # Of several processes that train one model, the chief exports it; a worker's export is for its own eyes.
        base = f"{self.model_dir}/export" if self.is_worker else str(export_dir_base)
        uri = free_timestamp(base)
        files: dict[str, bytes | Path] = dict(model.body.trainer_files())
        for name, path in (assets_extra or {}).items():
            files[name] = Path(path)
        label = setup.head.label
        write_bundle(
            model,
            uri=uri,
            facts=BundleFacts(
                task=setup.head.task,
                estimator=setup.estimator,
                label=Label(name=label, unit=label_unit),
                classes=setup.head.classes,
                parameters={**setup.parameters, **self.findings()},
                metrics=self._metrics_at(model.step),
                ignored=tuple(dict.fromkeys((label, *(setup.ignored if side.unused is None else side.unused)))),
                data_digest=setup.data_digest,
                global_step=model.step,
            ),
            samples=samples,
            recipe=side.program,
            sent=side.sent,
            profile=None if profile is None else side.profile(profile),
            trainer_files=files,
        )
        return uri

    def findings(self) -> dict[str, Any]:
        """What the training found out besides the model, as JSON values: kept among the bundle's parameters."""
        return {}

    # The name of `tf.estimator` before 1.13.
    export_savedmodel = export_saved_model

    def read_examples(self, input_fn: InputFn, steps: int | None = None) -> Examples:
        """Labelled rows for evaluation: those of the first `steps` batches, or all."""
        examples = self.open_examples(lambda: held_in_memory(input_fn), steps)
        assert isinstance(examples, Examples)
        return examples

    def open_examples(self, input_fn: InputFn, steps: int | None = None) -> Examples | ExampleStream:
        """As `read_examples`, but of rows that do not fit in memory a stream."""
        examples = self._open(input_fn, with_labels=True, most_batches=steps)
        if steps is None:
            return examples
        if isinstance(examples, ExampleStream):
            return examples.first(steps * examples.batching.rows_per_step(examples.rows))
        return examples.take(slice(0, steps * examples.batching.rows_per_step(examples.features.rows)))

    def evaluate_examples(self, model: FittedModel, examples: Examples | ExampleStream) -> dict[str, float]:
        """Metrics of a model on rows, in memory or streamed."""
        if isinstance(examples, ExampleStream):
            sums = MetricSums(model.head, model.adjustment)
            for batch in examples.batches():
                assert batch.labels is not None
                outputs = model.outputs(batch.features.select(model.features.raw_schema.names))
                sums.add(outputs, batch.labels, batch.weights)
            return {**sums.metrics(), "global_step": model.step}
        assert examples.labels is not None
        outputs = model.outputs(examples.features.select(model.features.raw_schema.names))
        metrics = model.head.evaluate(outputs, examples.labels, examples.weights)
        metrics |= model.adjustment.metrics(outputs, model.head, examples.labels, examples.weights)
        return {**metrics, "global_step": model.step}

    def permutation_importance(
        self, input_fn: InputFn, *, repeats: int = 5, most_rows: int = 10_000, checkpoint_path: str | None = None
    ) -> dict[str, float]:
        """How much worse the model gets where a column is shuffled, by raw column, the most important first.

        input_fn: labelled rows that the training did not see; a sample of `most_rows` is taken. The rise is that of the
        root mean squared error, or of a classifier's log loss; the mean of `repeats` shuffles.
        """
        from penstock.estimators.importance import permutation_importance

        if repeats < 1 or most_rows < 2:
            raise UsageError(f"repeats is {repeats} and most_rows {most_rows}; expected at least 1 and at least 2")
        model = self.fitted_model(_step_of(checkpoint_path))
        examples = self.read_examples(input_fn)
        if examples.features.rows > most_rows:
            picked = np.random.default_rng(self._config.seed).choice(examples.features.rows, most_rows, replace=False)
            examples = examples.take(np.sort(picked))
        return permutation_importance(model, examples, repeats=repeats, seed=self._config.seed)

    def remember(self, examples: Examples | ExampleStream) -> None:
        """Keeps some of the rows of a training for the profile of what is exported."""
        self._seen = some_rows(examples, seed=self._config.seed)

    def hold_back(self, examples: Examples) -> Examples:
        """The rows to train on: all but those held back where the trained model is to be adjusted on them."""
        if not self._adjustments.params:
            return examples
        kept, self._held_back = hold_back(examples, self._adjustments, seed=self._config.seed)
        return kept

    def adjusted(self, model: FittedModel) -> FittedModel:
        """The model with what is fitted to it on the rows held back; after training, with what was kept then."""
        if not self._adjustments.params:
            return model
        held = self._held_back
        if held is None:
            kept = load_adjustment(self._folder, model.step)
            if kept is None:
                raise PreconditionError(
                    f"checkpoint {model.step} in {self.model_dir!r} has not been adjusted on rows held back; train on, "
                    "or delete the folder"
                )
            return replace(model, adjustment=kept)
        outputs = model.outputs(held.features.select(model.features.raw_schema.names))
        adjustment = self._adjustments.fit(outputs, model.head, held)
        if self._config.memory is None:
            save_adjustment(self._folder, model.step, adjustment)
        return replace(model, adjustment=adjustment)

    def write_evaluation(self, metrics: Mapping[str, float], *, name: str | None = None) -> None:
        """Keeps metrics for TensorBoard (folder `eval`, or `eval_NAME`) and, unnamed, for the next export."""
        from penstock.estimators.summaries import SummaryWriter

        step = int(metrics["global_step"])
        scalars = {key: value for key, value in metrics.items() if key != "global_step"}
        folder = self._folder / (f"eval_{name}" if name else "eval")
        with SummaryWriter(folder, first_step=step, append_to=self._event_files.get(folder)) as writer:
            writer.scalars(scalars, step)
            self._event_files[folder] = writer.path
        if name is None:
            finite = {key: value for key, value in scalars.items() if np.isfinite(value)}
            replace_file(self._folder / _EVALUATION, msgspec.json.encode(_Evaluation(step, finite)))
        self._place.bring_back()

    def _metrics_at(self, step: int) -> dict[str, float]:
        try:
            kept = msgspec.json.decode((self._folder / _EVALUATION).read_bytes(), type=_Evaluation)
        except (OSError, msgspec.MsgspecError):
            return {}
        return kept.metrics if kept.step == step else {}

    def _setup(self) -> Setup:
        setup = load_setup(self._folder)
        if setup is None:
            raise PreconditionError(f"nothing is trained in {self.model_dir!r} yet; call train first")
        return setup

    def _read(self, input_fn: InputFn, *, with_labels: bool) -> Examples:
        examples = self._open(lambda: held_in_memory(input_fn), with_labels=with_labels)
        assert isinstance(examples, Examples)
        return examples

    def _open(
        self, input_fn: InputFn, *, with_labels: bool, most_batches: int | None = None
    ) -> Examples | ExampleStream:
        """Rows with the columns that the trained model reads."""
        setup = self._setup()
        schema = setup.features.raw_schema
        if with_labels and setup.weight_column and setup.weight_column not in schema:
            weight = Column(name=setup.weight_column, type=DataType.FLOAT)
            schema = Schema((*schema.columns, weight))
        examples = open_examples(input_fn, schema=schema, most_batches=most_batches)
        if isinstance(examples, ExampleStream):
            return examples.weighted_by(setup.weight_column if with_labels else None)
        if with_labels and examples.labels is None:
            raise DataError("the input has no labels; evaluation needs a pair (features, labels)")
        if examples.features.rows == 0:
            raise DataError("the input has no rows; expected at least one")
        return examples.weighted_by(setup.weight_column if with_labels else None)


def refuse_hooks(hooks: Sequence[Any] | None, saving_listeners: Sequence[Any] | None = None) -> None:
    """Session hooks belong to TensorFlow's sessions; there are none here."""
    if hooks:
        raise UsageError(
            f"hooks are TensorFlow session hooks ({type(hooks[0]).__name__}); Penstock runs no session. Early stopping "
            "is an argument of the estimator (early_stopping=True), summaries and checkpoints are written anyway"
        )
    if saving_listeners:
        raise UsageError(
            "saving_listeners belong to TensorFlow's checkpoints; evaluate after train, or use train_and_evaluate"
        )


def rows_of(answers: Mapping[str, NDArray[Any]], *, single: bool) -> Iterator[dict[str, Any]]:
    if not single:
        yield dict(answers)
        return
    for row in range(len(next(iter(answers.values())))):
        yield {key: array[row] for key, array in answers.items()}


def _step_of(checkpoint_path: str | None) -> int | None:
    if checkpoint_path is None:
        return None
    match = _CHECKPOINT_PATH.fullmatch(str(checkpoint_path))
    if not match:
        raise NotFoundError(f"checkpoint_path is {checkpoint_path!r}; expected one ending in checkpoint-STEP")
    return int(match[1])


def free_timestamp(base: str) -> str:
    """`base/TIMESTAMP` in seconds, as TensorFlow named exports; the next second where it is taken."""
    stamp = int(time.time())
    for _ in range(10):
        path = f"{base.rstrip('/')}/{stamp}"
        if "://" in base or not Path(path).exists():
            return path
        stamp += 1
    raise ExportError(f"the next ten seconds' export folders under {base!r} are all taken; remove some")
