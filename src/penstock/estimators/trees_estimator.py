"""Estimators whose body is an ensemble of trees: setup, checkpoints and LightGBM's training put together."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, PreconditionError, TrainingError
from penstock.estimators.adjustment import AdjustmentOptions
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder
from penstock.estimators.estimator import Estimator, InputFn, Visit
from penstock.estimators.examples import Examples
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.preparation import (
    FitHead,
    class_factors,
    encode_rows,
    fit_columns,
    notice,
    training_examples,
)
from penstock.estimators.progress import make_progress
from penstock.estimators.regression_head import RegressionHead
from penstock.estimators.ring import join_ring
from penstock.estimators.row_split import split_rows
from penstock.estimators.run_config import RunConfig
from penstock.estimators.setup import Setup, check_same, load_setup, pick_samples, save_setup
from penstock.estimators.tree_growth import Growing, Looks, tree_text
from penstock.estimators.tree_ring import CONNECTION, ring_parameters, share_of, wait_for_port
from penstock.estimators.trees_body import TreesBody, tree_features, tree_matrix
from penstock.features.column import FeatureColumn
from penstock.settings import load_settings, load_task_variables

__all__ = ["TreeOptions", "TreesEstimator"]

_OPEN_ENDED_TREES = 3000
_VALIDATION_SHARE = 0.1
_MOST_VALIDATION_ROWS = 50_000


@dataclass(frozen=True, kw_only=True)
class TreeOptions:
    """How trees are grown, in LightGBM's meaning. n_trees: None stops early on held-out rows."""

    n_trees: int | None
    max_depth: int
    num_leaves: int
    learning_rate: float
    l1: float
    l2: float
    tree_complexity: float
    min_node_weight: float
    min_rows_per_leaf: int
    feature_fraction: float
    early_stopping: bool | None
    class_weight: Mapping[str, float] | str | None
    adjustments: AdjustmentOptions

    def __post_init__(self) -> None:
        for name, least in (("n_trees", 1), ("num_leaves", 2), ("min_rows_per_leaf", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}")
        for name in ("l1", "l2", "tree_complexity", "min_node_weight"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected a number of at least 0")
        if not 0.0 < self.learning_rate <= 1.0:
            raise ConfigError(f"learning_rate is {self.learning_rate}; expected a number above 0 and at most 1")
        if not 0.0 < self.feature_fraction <= 1.0:
            raise ConfigError(f"feature_fraction is {self.feature_fraction}; expected a share above 0")


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
            "n_trees": options.n_trees,
            "max_depth": options.max_depth,
            "num_leaves": options.num_leaves,
            "learning_rate": options.learning_rate,
            "l1_regularization": options.l1,
            "l2_regularization": options.l2,
            "tree_complexity": options.tree_complexity,
            "min_node_weight": options.min_node_weight,
            "min_rows_per_leaf": options.min_rows_per_leaf,
            "feature_fraction": options.feature_fraction,
            "early_stopping": options.early_stopping,
            "class_weight": options.class_weight,
            **options.adjustments.params,
            "seed": self._config.seed,
        }
        keep = self._config.keep_checkpoint_max
        self._checkpoints = CheckpointFolder(self._folder, keep=keep, saved=self._place.bring_back)
        self._model: FittedModel | None = None

    @property
    def is_worker(self) -> bool:
        return self._ring.is_worker

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

        # Rows are binned before the processes are connected: while they are, each would bin them for all.
        everything = None if held_out is None or self._ring.is_alone else self._all_rows(setup, examples)
        booster = self._grow(
            examples, kept, held_out, setup, checkpoint, looks, total or _OPEN_ENDED_TREES, every, show
        )
        if held_out is not None:
            self._grow_again(everything or self._all_rows(setup, examples), setup, looks)
        if not self._ring.is_alone:
            booster.free_network()
            self._ring.wait_for_all()
        if every:
            show(self.fitted_model(), True)

    def _fit_setup(self, examples: Examples) -> Setup:
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

    def _grow(
        self,
        examples: Examples,
        kept: NDArray[Any],
        held_out: NDArray[Any] | None,
        setup: Setup,
        checkpoint: Checkpoint | None,
        looks: Looks,
        total: int,
        every: int,
        visit: Visit,
    ) -> Any:
        """Returns LightGBM's booster, which holds the connection with the other processes."""
        from penstock.estimators.summaries import SummaryWriter

        parameters = self._parameters(setup)
        rows = self._own_rows(setup, examples, kept, parameters)
        validation = []
        if held_out is not None:
            validation.append(self._dataset(setup, examples, held_out, parameters, reference=rows))
        done = 0 if checkpoint is None else checkpoint.step
        before = None if checkpoint is None else lightgbm.Booster(model_str=_text_of(checkpoint, "model"))
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
                step = env.model.current_iteration()
                if np.isfinite(loss) and step % self._config.save_summary_steps == 0:
                    writer.scalars({"held_out_loss": loss * setup.head.loss_scale}, step)
                progress.update(step, loss)
                growing.after_tree(env.model, step, loss)

            booster = lightgbm.train(
                parameters,
                rows,
                num_boost_round=total - done,
                valid_sets=validation,
                init_model=before,
                callbacks=[after_tree],
            )
        self.keep(setup, booster, booster.current_iteration(), looks)
        return booster

    def _grow_again(self, rows: Any, setup: Setup, looks: Looks) -> None:
        """The number of trees that did best on held-out rows, grown anew on all rows, over the same connection."""
        parameters = {key: value for key, value in self._parameters(setup).items() if key not in CONNECTION}
        booster = lightgbm.train(parameters, rows, num_boost_round=looks.best_step)
        newest = self._checkpoints.latest(notice=notice)
        assert newest is not None
        best = tree_text(booster, looks.best_step)
        arrays = {"model": newest.arrays["model"], "best": np.frombuffer(best.encode(), np.uint8)}
        self._checkpoints.save(Checkpoint(newest.step, arrays, newest.facts))
        self._model = self._model_of(setup, best, newest.step)

    def keep(self, setup: Setup, booster: Any, step: int, looks: Looks) -> FittedModel:
        """Saves a checkpoint and returns its model: the trees that did best on held-out rows, or all."""
        best = tree_text(booster, looks.best_step or step)
        arrays = {
            "model": np.frombuffer(tree_text(booster, step).encode(), np.uint8),
            "best": np.frombuffer(best.encode(), np.uint8),
        }
        self._checkpoints.save(Checkpoint(step, arrays, looks.facts()))
        self._model = self._model_of(setup, best, step)
        return self._model

    def _own_rows(self, setup: Setup, examples: Examples, index: NDArray[Any], parameters: Mapping[str, Any]) -> Any:
        """The rows that this process grows on, in the bins of all."""
        rows = self._dataset(setup, examples, index, parameters)
        if self._ring.is_alone:
            return rows
        # Now: later it would be binned together with the others, each knowing its own rows only.
        rows.construct()
        own = self._dataset(setup, examples, share_of(self._ring, index), parameters, reference=rows)
        wait_for_port(parameters)
        self._ring.wait_for_all()  # whoever comes first would else wait for a connection no longer than LightGBM does
        return own

    def _all_rows(self, setup: Setup, examples: Examples) -> Any:
        return self._own_rows(setup, examples, np.arange(examples.features.rows), self._parameters(setup))

    def _dataset(
        self,
        setup: Setup,
        examples: Examples,
        index: NDArray[Any],
        parameters: Mapping[str, Any],
        reference: Any = None,
    ) -> Any:
        """Some of the training rows, as LightGBM takes them."""
        assert examples.labels is not None
        features = tree_features(setup.features)
        blocks = features.blocks
        _refuse_what_cannot_fit(len(index), sum(block.width for block in blocks))
        labels = setup.head.encode(examples.labels[index])
        factors = class_factors(setup.head, labels, self._options.class_weight)
        weights = None if examples.weights is None else examples.weights[index]
        if factors is not None:
            weights = factors if weights is None else weights * factors
        categorical, place = [], 0
        for block in blocks:
            if block.kind == "ids":
                categorical.append(place)
            place += block.width
        return lightgbm.Dataset(
            tree_matrix(blocks, encode_rows(features, examples, index)),
            labels.reshape(len(labels)),
            weight=weights,
            categorical_feature=categorical,
            reference=reference,
            params=dict(parameters),
            free_raw_data=False,
        )

    def _parameters(self, setup: Setup) -> dict[str, Any]:
        options = self._options
        objective = dict(self._objective)
        if setup.head.classes:
            count = len(setup.head.classes)
            objective = {"objective": "binary"} if count == 2 else {"objective": "multiclass", "num_class": count}
        return {
            **objective,
            "num_leaves": options.num_leaves,
            "max_depth": options.max_depth,
            "learning_rate": options.learning_rate,
            "lambda_l1": options.l1,
            "lambda_l2": options.l2,
            "min_gain_to_split": options.tree_complexity,
            "min_sum_hessian_in_leaf": options.min_node_weight,
            "min_data_in_leaf": options.min_rows_per_leaf,
            "feature_fraction": options.feature_fraction,
            "seed": self._config.seed,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
            **ring_parameters(self._ring, load_task_variables().addresses, threads=load_settings().threads),
        }

    def _model_of(self, setup: Setup, model: str, step: int) -> FittedModel:
        features = tree_features(setup.features)
        return self.adjusted(FittedModel(features, TreesBody(features.blocks, model), setup.head, step, self._folder))


def _text_of(checkpoint: Checkpoint, name: str) -> str:
    return bytes(checkpoint.arrays[name]).decode()


def _refuse_what_cannot_fit(rows: int, features: int) -> None:
    """LightGBM holds the values it bins and a byte a bin."""
    needed = rows * features * 5
    try:
        available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return
    if needed > available:
        raise TrainingError(
            f"growing trees on {rows:,} rows of {features} features needs {needed / 1e9:.1f} GB of memory and "
            f"{available / 1e9:.1f} GB are free; use a network, which reads in batches, or fewer rows"
        )
