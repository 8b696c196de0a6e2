"""Estimators whose body is an ensemble of trees: setup, checkpoints and LightGBM's training put together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from penstock.errors import PreconditionError
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder
from penstock.estimators.estimator import Estimator, InputFn, Visit
from penstock.estimators.examples import Examples
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.preparation import FitHead, fit_columns, notice, training_examples
from penstock.estimators.progress import make_progress
from penstock.estimators.regression_head import RegressionHead
from penstock.estimators.ring import join_ring
from penstock.estimators.row_split import split_rows
from penstock.estimators.run_config import RunConfig
from penstock.estimators.setup import Setup, check_same, load_setup, pick_samples, save_setup
from penstock.estimators.tree_growth import Growing, Looks, tree_text
from penstock.estimators.tree_options import TreeOptions
from penstock.estimators.tree_ring import CONNECTION, ring_parameters
from penstock.estimators.tree_rows import TreeRows
from penstock.estimators.trees_body import TreesBody, tree_features
from penstock.estimators.warm_start import warm_checkpoint, warm_setup
from penstock.features.column import FeatureColumn
from penstock.settings import load_settings, load_task_variables

__all__ = ["OPEN_ENDED_TREES", "TreesEstimator"]

OPEN_ENDED_TREES = 3000
_VALIDATION_SHARE = 0.1
_MOST_VALIDATION_ROWS = 50_000


class TreesEstimator(Estimator):
    """Boosted trees behind feature columns. A step is a tree (for several classes, a tree each).

    fit_head: the head for raw labels and the label's name. objective: LightGBM's parameters of a regression; a
    classifier has them from its classes. params: arguments of the subclass.
    """

    def __init__(
        self,
        *,
        feature_columns: Sequence[FeatureColumn] | None,
        model_dir: str | Path | None,
        config: RunConfig | None,
        weight_column: Any,
        fit_head: FitHead,
        objective: Mapping[str, Any],
        options: TreeOptions,
        params: Mapping[str, Any],
    ) -> None:
        self._ring = join_ring()
        super().__init__(
            feature_columns=feature_columns,
            model_dir=self._ring.own_folder() or model_dir,
            config=config,
            weight_column=weight_column,
            adjustments=options.adjustments,
        )
        self._fit_head = fit_head
        self._objective = dict(objective)
        self._options = options
        self._params = {
            **params,
            "feature_columns": None if feature_columns is None else [column.name for column in feature_columns],
            "weight_column": self._weight_column,
            **options.params,
            "seed": self._config.seed,
        }
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

    def latest_checkpoint(self) -> str | None:
        steps = self._checkpoints.steps()
        return str(self._folder / f"checkpoint-{steps[-1]}") if steps else None

    def feature_importances(self) -> dict[str, float]:
        """Share of the total gain of the splits on each feature, by feature, largest first."""
        body = self.fitted_model().body
        assert isinstance(body, TreesBody)
        return dict(sorted(body.importances().items(), key=lambda item: -item[1]))

    def shap_values(self, input_fn: InputFn) -> dict[str, NDArray[np.float64]]:
        """What each feature adds to each row's score, and `expected_value`, the score without any: they add up to it.

        By feature `[rows]`, of more than two classes `[rows, classes]`. In the label's unit for a regression (with the
        Poisson loss, in its logarithm), else in log-odds, before any calibration. Exact for trees: Lundberg et al.,
        "From Local Explanations to Global Understanding" (2020), as LightGBM computes it.
        """
        model = self.fitted_model()
        body, head = model.body, model.head
        assert isinstance(body, TreesBody)
        examples = self._read(input_fn, with_labels=False)
        encoded = model.features.encode(examples.features.select(model.features.raw_schema.names))
        values = body.contributions(encoded)
        if isinstance(head, RegressionHead):
            is_log = head.loss_name == "poisson"
            unit, start = (1.0, np.log(head.scale[0])) if is_log else (head.scale[0], head.center[0])
            values = {name: array * unit for name, array in values.items()}
            values["expected_value"] = values["expected_value"] + start
        return values

    def fitted_model(self, step: int | None = None) -> FittedModel:
        if self._model is not None and step in (None, self._model.step):
            return self._model
        setup = self._setup()
        check_same(self._folder, setup, estimator=type(self).__name__, parameters=self._params)
        checkpoint = self._checkpoints.latest(notice=notice) if step is None else self._checkpoints.load(step)
        if checkpoint is None:
            raise PreconditionError(f"nothing is trained in {self.model_dir!r} yet; call train first")
        self._model = self._model_of(setup, _text_of(checkpoint, "best"), checkpoint.step)
        return self._model

    def train_with_visits(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        every: int = 0,
        visit: Visit = lambda _model, _is_last: None,
    ) -> None:
        setup = load_setup(self._folder)
        if setup is not None:
            check_same(self._folder, setup, estimator=type(self).__name__, parameters=self._params)
        checkpoint = self._ring.chiefs_checkpoint(
            lambda: None if setup is None else self._checkpoints.latest(notice=notice)
        )
        done = 0 if checkpoint is None else checkpoint.step
        wanted = [limit for limit in (self._options.n_trees, max_steps, steps and done + steps) if limit]
        total = min(wanted) if wanted else None
        if checkpoint is not None and total is not None and done >= total:
            notice(f"{self.model_dir} has {done} trees already, of {total}; nothing is left to do")
            if every and not self.is_worker:
                visit(self.fitted_model(), True)
            return
        examples = self.hold_back(training_examples(self, input_fn, setup))
        if setup is None:
            setup = self._fit_setup(examples)
        held_out = None
        kept: NDArray[Any] = np.arange(examples.features.rows)
        open_ended = total is None and examples.features.rows > 1
        if open_ended if self._options.early_stopping is None else self._options.early_stopping:
            share = min(_VALIDATION_SHARE, _MOST_VALIDATION_ROWS / examples.features.rows)
            kept, held_out = split_rows(examples.features.rows, share, seed=self._config.seed)
        looks = Looks(checkpoint)

        def show(model: FittedModel, is_last: bool) -> None:
            if not self.is_worker:
                visit(model, is_last)
            self._ring.wait_for_all()

        rows = self._rows(setup, examples)
        # Rows are binned before the processes are connected: while they are, each would bin them for all.
        everything = None if held_out is None or self._ring.is_alone else rows.all()
        warm = self._warm_trees(checkpoint, looks)
        booster = self._grow(
            rows, kept, held_out, setup, checkpoint, warm, looks, total or OPEN_ENDED_TREES, every, show
        )
        if held_out is not None:
            self._grow_again(everything or rows.all(), setup, warm, looks)
        body = self.fitted_model().body
        if isinstance(body, TreesBody) and not body.has_splits:
            least = self._options.rows_per_leaf(setup.rows)
            notice(
                f"no tree has a split, so every row gets the same answer; a leaf takes min_rows_per_leaf={least} rows, "
                f"and {len(kept):,} were grown on"
            )
        if not self._ring.is_alone:
            booster.free_network()
            self._ring.wait_for_all()
        if every:
            show(self.fitted_model(), True)

    def _fit_setup(self, examples: Examples) -> Setup:
        if self._options.warm_start_from is not None:
            setup = warm_setup(
                self._options.warm_start_from,
                estimator=type(self).__name__,
                parameters=self._params,
                rows=examples.features.rows,
                digest=examples.data_digest,
            )
            save_setup(
                self._folder, setup, pick_samples(examples.features, setup.features.raw_schema, seed=self._config.seed)
            )
            return setup
        assert examples.labels is not None
        counted = slice(None) if examples.weights is None else examples.weights > 0
        head = self._fit_head(examples.labels[counted], examples.label)
        features = fit_columns(self._columns, examples, head)
        setup = Setup(
            estimator=type(self).__name__,
            parameters=self._params,
            features=features,
            head=head,
            weight_column=self._weight_column,
            ignored=tuple(
                name
                for name in (*examples.features.schema.names, *examples.unread)
                if name not in features.raw_schema.names
            ),
            rows=examples.features.rows,
            data_digest=examples.data_digest,
        )
        samples = pick_samples(examples.features, features.raw_schema, seed=self._config.seed)
        save_setup(self._folder, setup, samples)
        return setup

    def _warm_trees(self, checkpoint: Checkpoint | None, looks: Looks) -> Any:
        """The booster that the new trees correct; None without a warm start."""
        source = self._options.warm_start_from
        if source is None:
            return None
        if checkpoint is not None:
            return lightgbm.Booster(model_str=_first_trees(_text_of(checkpoint, "model"), looks.warm_trees))
        booster = lightgbm.Booster(model_str=_text_of(warm_checkpoint(source), "best"))
        looks.warm_trees = booster.current_iteration()
        return booster

    def _grow(
        self,
        rows: TreeRows,
        kept: NDArray[Any],
        held_out: NDArray[Any] | None,
        setup: Setup,
        checkpoint: Checkpoint | None,
        warm: Any,
        looks: Looks,
        total: int,
        every: int,
        visit: Visit,
    ) -> Any:
        """Returns LightGBM's booster, which holds the connection with the other processes."""
        from penstock.estimators.summaries import SummaryWriter

        own = rows.own(kept)
        validation = [] if held_out is None else [rows.held_out(held_out, own)]
        done = 0 if checkpoint is None else checkpoint.step
        before = warm if checkpoint is None else lightgbm.Booster(model_str=_text_of(checkpoint, "model"))
        growing = Growing(self, setup, total=total, every=every, visit=visit, looks=looks)
        title = f"growing {type(self).__name__}"
        with (
            SummaryWriter(self._folder, first_step=done) as writer,
            make_progress(title, show=self._config.show_progress, first=done, total=total) as progress,
        ):
            if done == 0:
                writer.hyperparameters({"estimator": type(self).__name__, **self._params})

            def after_tree(env: Any) -> None:
                loss = env.evaluation_result_list[0][2] if env.evaluation_result_list else float("nan")
                step = env.model.current_iteration() - looks.warm_trees
                if np.isfinite(loss) and step % self._config.save_summary_steps == 0:
                    writer.scalars({"held_out_loss": loss * setup.head.loss_scale}, step)
                progress.update(step, loss)
                growing.after_tree(env.model, step, loss)

            booster = lightgbm.train(
                self._parameters(setup),
                own,
                num_boost_round=total - done,
                valid_sets=validation,
                init_model=before,
                callbacks=[after_tree],
            )
        self.keep(setup, booster, booster.current_iteration() - looks.warm_trees, looks)
        return booster

    def _grow_again(self, rows: Any, setup: Setup, warm: Any, looks: Looks) -> None:
        """The number of trees that did best on held-out rows, grown anew on all rows, over the same connection."""
        parameters = {key: value for key, value in self._parameters(setup).items() if key not in CONNECTION}
        booster = lightgbm.train(parameters, rows, num_boost_round=looks.best_step, init_model=warm)
        newest = self._checkpoints.latest(notice=notice)
        assert newest is not None
        best = tree_text(booster, looks.warm_trees + looks.best_step)
        arrays = {"model": newest.arrays["model"], "best": np.frombuffer(best.encode(), np.uint8)}
        self._checkpoints.save(Checkpoint(newest.step, arrays, newest.facts))
        self._model = self._model_of(setup, best, newest.step)

    def keep(self, setup: Setup, booster: Any, step: int, looks: Looks) -> FittedModel:
        """Saves a checkpoint and returns its model: the trees that did best on held-out rows, or all."""
        best = tree_text(booster, looks.warm_trees + (looks.best_step or step))
        arrays = {
            "model": np.frombuffer(tree_text(booster, looks.warm_trees + step).encode(), np.uint8),
            "best": np.frombuffer(best.encode(), np.uint8),
        }
        self._checkpoints.save(Checkpoint(step, arrays, looks.facts()))
        self._model = self._model_of(setup, best, step)
        return self._model

    def _rows(self, setup: Setup, examples: Examples) -> TreeRows:
        return TreeRows(
            setup=setup,
            examples=examples,
            class_weight=self._options.class_weight,
            parameters=self._parameters(setup),
            ring=self._ring,
        )

    def _parameters(self, setup: Setup) -> dict[str, Any]:
        objective = dict(self._objective)
        if setup.head.classes:
            count = len(setup.head.classes)
            objective = {"objective": "binary"} if count == 2 else {"objective": "multiclass", "num_class": count}
        return {
            **objective,
            **self._options.of_lightgbm(rows=setup.rows, seed=self._config.seed),
            **ring_parameters(
                self._ring, load_task_variables().addresses, threads=load_settings().threads, rows=setup.rows
            ),
        }

    def _model_of(self, setup: Setup, model: str, step: int) -> FittedModel:
        features = tree_features(setup)
        return self.adjusted(FittedModel(features, TreesBody(features.blocks, model), setup.head, step, self._folder))


def _text_of(checkpoint: Checkpoint, name: str) -> str:
    return bytes(checkpoint.arrays[name]).decode()


def _first_trees(model: str, count: int) -> str:
    return tree_text(lightgbm.Booster(model_str=model), count)
