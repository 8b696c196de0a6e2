"""Estimators whose body is a network: setup, checkpoints and the training loop put together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, PreconditionError
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder
from penstock.estimators.defaults import Recipe
from penstock.estimators.early_stopping import EarlyStopping
from penstock.estimators.estimator import Estimator, InputFn, Visit
from penstock.estimators.examples import Batching, Examples
from penstock.estimators.feed import Feed
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.fitting import Fitted, Plan, Watchers, fit
from penstock.estimators.loop import TrainState
from penstock.estimators.network_design import NetworkDesign, checkpoint_of, state_of
from penstock.estimators.network_options import OF_STEPS, NetworkOptions
from penstock.estimators.networks import Network
from penstock.estimators.normalization import Normalization
from penstock.estimators.preparation import FitHead, notice, open_training_examples
from penstock.estimators.programs import CompiledProgram
from penstock.estimators.progress import make_progress
from penstock.estimators.regimen import Regimen
from penstock.estimators.ring import join_ring
from penstock.estimators.run_config import RunConfig
from penstock.estimators.setup import Setup, check_same, load_setup, save_setup
from penstock.estimators.streamed_training import StreamedTraining
from penstock.estimators.training_rows import HeldTraining, TrainingRows
from penstock.estimators.warm_start import warm_setup
from penstock.features.column import FeatureColumn
from penstock.features.fitted import FittedFeatures
from penstock.settings import load_settings

__all__ = ["NetworkEstimator"]

Made = TypeVar("Made")

_VALIDATION_SHARE = 0.1
_MOST_VALIDATION_ROWS = 20_000


class NetworkEstimator(Estimator):
    """A canned network, or a Keras model of the user's, behind feature columns.

    network: the architecture, or what makes it of the fitted features. fit_head: the head for raw labels and the
    label's name. params: arguments of the subclass. normalization: of dense values in front of the network; None for
    none. regimen: how it is trained where the user leaves it open.
    """

    def __init__(
        self,
        *,
        feature_columns: Sequence[FeatureColumn] | None,
        model_dir: str | Path | None,
        config: RunConfig | None,
        weight_column: Any,
        network: Network | Callable[[FittedFeatures], Network],
        fit_head: FitHead,
        options: NetworkOptions,
        params: Mapping[str, Any],
        normalization: Normalization | None = "quantile",
        regimen: Regimen | None = None,
    ) -> None:
        # Before anything else uses JAX: afterwards its processes could not meet any more.
        self._ring = join_ring()
        super().__init__(
            feature_columns=feature_columns,
            model_dir=self._ring.own_folder() or model_dir,
            config=config,
            weight_column=weight_column,
            adjustments=options.adjustments,
        )
        self._fit_head = fit_head
        self._normalization = normalization
        self._regimen = regimen or Regimen()
        self._options = options
        self._design = NetworkDesign(network=network, options=options, regimen=self._regimen, seed=self._config.seed)
        self._params = {
            **params,
            "feature_columns": None if feature_columns is None else [column.name for column in feature_columns],
            "weight_column": self._weight_column,
            **options.params,
            "seed": self._config.seed,
        }
        # A wrong optimizer is told here, not after the data was read.
        self._design.optimizer(1e-3)
        keep = self._config.keep_checkpoint_max
        self._checkpoints = CheckpointFolder(self._folder, keep=keep, saved=self._place.bring_back)
        self._model: FittedModel | None = None

    @property
    def is_worker(self) -> bool:
        return self._ring.is_worker

    def chiefs_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        return self._ring.chiefs_metrics(metrics)

    @property
    def params(self) -> dict[str, Any]:
        return dict(self._params)

    @property
    def design(self) -> NetworkDesign:
        """Architecture and options, for a training that is driven from elsewhere."""
        return self._design

    @property
    def normalization(self) -> Normalization | None:
        """Of dense values in front of the network."""
        return self._normalization

    def latest_checkpoint(self) -> str | None:
        steps = self._checkpoints.steps()
        return str(self._folder / f"checkpoint-{steps[-1]}") if steps else None

    def train_with_visits(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        every: int = 0,
        visit: Visit = lambda _model, _is_last: None,
    ) -> None:
        most = steps if max_steps is None else max_steps
        if (memory := self._config.memory) is not None:
            examples = self._training_rows(input_fn, None, most)
            self._leave_out(examples, steps, max_steps)
            key = ("setup", type(self).__name__, repr(self._preparation()))
            fitted = memory.recall(key, lambda: self._make_setup(examples))
            self._train(examples, fitted, None, steps=steps, max_steps=max_steps, every=every, visit=visit)
            return
        setup = load_setup(self._folder)
        checkpoint = None
        if setup is not None:
            check_same(self._folder, setup, estimator=type(self).__name__, parameters=self._params)
        checkpoint = self._ring.chiefs_checkpoint(
            lambda: None if setup is None else self._checkpoints.latest(notice=notice)
        )
        if checkpoint is not None and max_steps is not None and checkpoint.step >= max_steps:
            notice(f"{self.model_dir} is at step {checkpoint.step} already; max_steps={max_steps} leaves nothing to do")
            if every and not self.is_worker:
                visit(self.fitted_model(), True)
            return
        rows = self._training_rows(input_fn, setup, most)
        is_over = False
        try:
            self._leave_out(rows, steps, max_steps)
            if setup is None:
                setup = self._fit_setup(rows)
            self._train(rows, setup, checkpoint, steps=steps, max_steps=max_steps, every=every, visit=visit)
            is_over = True
        finally:
            rows.close(is_over=is_over)

    def fitted_model(self, step: int | None = None) -> FittedModel:
        if self._model is not None and step in (None, self._model.step):
            return self._model
        setup = self._setup()
        check_same(self._folder, setup, estimator=type(self).__name__, parameters=self._params)
        checkpoint = self._checkpoints.latest(notice=notice) if step is None else self._checkpoints.load(step)
        if checkpoint is None:
            raise PreconditionError(f"nothing is trained in {self.model_dir!r} yet; call train first")
        compiled = self._design.compiled(setup, 1e-3)
        stopping = EarlyStopping(lambda _state: 0.0, every=1, patience=1)
        stopping.restore(dict(checkpoint.arrays), dict(checkpoint.facts))
        self._model = self._model_of(setup, compiled, stopping.best(state_of(checkpoint, compiled.program)))
        return self._model

    def _preparation(self) -> dict[str, Any]:
        """The arguments that matter before the first step."""
        return {name: value for name, value in self._params.items() if name not in OF_STEPS}

    def _training_rows(self, input_fn: InputFn, setup: Setup | None, most_batches: int | None) -> TrainingRows:
        examples = open_training_examples(self, input_fn, setup, most_batches)
        if isinstance(examples, Examples):
            return HeldTraining(self.hold_back(examples))
        if self._adjustments.params:
            raise ConfigError(
                f"{', '.join(self._adjustments.params)}: fitted to rows held in memory, and {examples.table.name} does "
                "not fit there; leave it out, or raise PENSTOCK_TRAINING_MEMORY_MB"
            )
        return StreamedTraining(examples, folder=load_settings().home / "cache" / "rows")

    def _holds_out(self, rows: TrainingRows, steps: int | None, max_steps: int | None) -> bool:
        if self._options.early_stopping is not None:
            return self._options.early_stopping
        open_ended = steps is None and max_steps is None and rows.batching.epochs is None
        return open_ended and not rows.batching.given and rows.rows > 1

    def _leave_out(self, rows: TrainingRows, steps: int | None, max_steps: int | None) -> None:
        if self._holds_out(rows, steps, max_steps):
            rows.hold_out(min(_VALIDATION_SHARE, _MOST_VALIDATION_ROWS / rows.rows), seed=self._config.seed)

    def _fit_setup(self, rows: TrainingRows) -> Setup:
        setup = self._make_setup(rows)
        save_setup(self._folder, setup, rows.samples(setup.features, seed=self._config.seed))
        return setup

    def _make_setup(self, rows: TrainingRows) -> Setup:
        if self._options.warm_start_from is not None:
            return warm_setup(
                self._options.warm_start_from,
                estimator=type(self).__name__,
                parameters=self._params,
                rows=rows.rows,
                digest=rows.data_digest,
            )
        fitted = rows.fit(self._columns, self._fit_head, normalization=self._normalization, seed=self._config.seed)
        return Setup(
            estimator=type(self).__name__,
            parameters=self._params,
            features=fitted.features,
            head=fitted.head,
            normalizer=fitted.normalizer,
            weight_column=self._weight_column,
            ignored=fitted.ignored,
            rows=rows.rows,
            data_digest=rows.data_digest,
        )

    def _train(
        self,
        rows: TrainingRows,
        setup: Setup,
        checkpoint: Checkpoint | None,
        *,
        steps: int | None,
        max_steps: int | None,
        every: int,
        visit: Visit,
    ) -> None:
        batching, class_weight = self._batching(rows.batching), self._options.class_weight
        batch_size, last_step = batching.rows_per_step(rows.kept), batching.last_step(rows.kept)
        holds_out = self._holds_out(rows, steps, max_steps)
        recipe = self._regimen.recipe(rows.kept, batch_size)
        optimizer = self._design.optimizer(recipe.rate)
        compiled = self._design.compiled(setup, recipe.rate)
        state = self._recall(
            (
                "initial state",
                holds_out,
                setup,
                compiled,
                repr(self._params.get("dropout")),
                repr(self._params.get("dnn_dropout")),
            ),
            lambda: self._design.initial_state(
                setup, compiled, checkpoint, rows.some(setup, class_weight=class_weight, recall=self._recall)
            ),
        )
        # An input with an end begins anew with each call; one without goes on where the last call stopped.
        offset = 0 if last_step is None else state.step
        total = _last_step(state.step, steps, max_steps, last_step, recipe)
        feed = rows.feed(
            setup,
            batching,
            seed=self._config.seed,
            offset=offset,
            class_weight=class_weight,
            recall=self._recall,
        )
        stopping = None
        if holds_out:
            stopping = EarlyStopping(
                self._measure(setup, compiled, rows),
                every=max(1, total // self._regimen.looks),
                patience=self._regimen.patience,
            )
            if checkpoint is not None:
                stopping.restore(dict(checkpoint.arrays), dict(checkpoint.facts))
        config = self._config
        plan = Plan(
            total=total,
            rate=optimizer.rate or 1.0,
            schedule=optimizer.schedule,
            regularization=self._regimen.regularization,
            hyperparameters=self._design.hyperparameters(recipe),
            saves_every_steps=config.save_checkpoints_steps,
            saves_every_s=None if config.save_checkpoints_steps else config.save_checkpoints_secs,
            visits=every,
            stopping=stopping,
        )
        fitted = self._run(setup, compiled, state, feed, plan, visit)
        self._model = self._model_of(setup, compiled, fitted.state)
        if fitted.reason == "interrupted":
            notice(f"stopped at step {fitted.state.step}; the same call goes on from there")
            raise KeyboardInterrupt

    def _batching(self, batching: Batching) -> Batching:
        if batching.size == "auto" and self._regimen.batch_rows is not None:
            return replace(batching, size=self._regimen.batch_rows)
        return batching

    def _recall(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        memory = self._config.memory
        if memory is None:
            return make()
        # Objects stand for themselves: what was fitted once for all trials is the same object in each.
        identity = tuple(id(part) if isinstance(part, Setup | CompiledProgram) else part for part in key)
        return memory.recall((*identity, str(self._options.class_weight)), make)

    def _run(
        self,
        setup: Setup,
        compiled: CompiledProgram,
        state: TrainState,
        feed: Feed,
        plan: Plan,
        visit: Visit,
    ) -> Fitted:
        if self._config.memory is not None:

            def show_trial(current: TrainState, is_last: bool) -> None:
                visit(self._model_of(setup, compiled, current), is_last)

            return fit(compiled.loop, state, feed, plan=plan, watchers=Watchers(visit=show_trial))
        from penstock.estimators.summaries import SummaryWriter, graph_of_layers, graph_of_onnx
        from penstock.export.model import assemble

        scale, every = setup.head.loss_scale, self._config.save_summary_steps
        title = f"training {type(self).__name__}"
        with (
            SummaryWriter(self._folder, first_step=state.step) as writer,
            make_progress(title, show=self._config.show_progress, first=state.step, total=plan.total) as progress,
        ):
            if state.step == 0:
                if self._design.network_for(setup).writes_own_graph:
                    graph, _ = assemble(self._design.model_of(setup, compiled, state, self._folder))
                    writer.graph(graph_of_onnx(graph.build()))
                else:
                    columns = {block.name: block.columns for block in setup.features.blocks}
                    model = compiled.program.model.layers[-1]
                    layers = [(layer.name, type(layer).__name__) for layer in getattr(model, "layers", [model])]
                    writer.graph(graph_of_layers(columns, layers))
                writer.hyperparameters({"estimator": type(self).__name__, **self._params})

            def write_losses(first: int, losses: NDArray[np.float32]) -> None:
                for step in range((first // every + 1) * every, first + len(losses) + 1, every):
                    writer.scalars({"loss": float(losses[step - first - 1]) * scale}, step)
                if first + len(losses) == plan.total and plan.total % every:
                    writer.scalars({"loss": float(losses[-1]) * scale}, plan.total)
                writer.flush()

            def save(current: TrainState) -> None:
                self._checkpoints.save(checkpoint_of(current, plan.stopping))

            def show(current: TrainState, is_last: bool) -> None:
                # Exporters ask the estimator for its newest model.
                self._model = self._model_of(setup, compiled, current)
                if not self.is_worker:
                    visit(self._model, is_last)
                self._ring.wait_for_all()

            watchers = Watchers(
                save=save,
                visit=show,
                losses=write_losses,
                progress=progress,
            )
            return fit(compiled.loop, state, feed, plan=plan, watchers=watchers)

    def _measure(self, setup: Setup, compiled: CompiledProgram, rows: TrainingRows) -> Callable[[TrainState], float]:
        """The objective on held-out rows, less is better."""
        held_out, labels = rows.held_out(setup, class_weight=self._options.class_weight, recall=self._recall)
        name, more_is_better = setup.head.objective

        def measure(state: TrainState) -> float:
            value = setup.head.evaluate(compiled.loop.outputs(state, held_out), labels, held_out.weights)[name]
            return -value if more_is_better else value

        return measure

    def _model_of(self, setup: Setup, compiled: CompiledProgram, state: TrainState) -> FittedModel:
        return self.adjusted(self._design.model_of(setup, compiled, state, self._folder))


def _last_step(done: int, steps: int | None, max_steps: int | None, of_input: int | None, recipe: Recipe) -> int:
    limits = []
    if steps is not None:
        limits.append(done + steps)
    if max_steps is not None:
        limits.append(max_steps)
    if of_input is not None:
        limits.append(done + of_input)
    return min(limits) if limits else max(done, recipe.steps)
