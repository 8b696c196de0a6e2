"""`AutoRegressor` and `AutoClassifier`: the best ensemble that a time budget allows."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from penstock.errors import ConfigError, PreconditionError, TrainingError
from penstock.estimators.adjustment import AdjustmentOptions, save_adjustment
from penstock.estimators.auto.adjusting import adjust, refuse_few_rows
from penstock.estimators.auto.book import Book
from penstock.estimators.auto.candidate import Candidate, FoldFit
from penstock.estimators.auto.clock import Clock
from penstock.estimators.auto.labels import is_skewed
from penstock.estimators.auto.leaderboard import leaderboard_text
from penstock.estimators.auto.metric import choose_metric
from penstock.estimators.auto.mixture import Member, mix
from penstock.estimators.auto.portfolio import Portfolio, portfolio
from penstock.estimators.auto.rows import SearchRows, deal_rows, fold_count, most_rows
from penstock.estimators.auto.search import Chosen, Search
from penstock.estimators.auto.view import make_view
from penstock.estimators.calibration import Calibration
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder
from penstock.estimators.classification_heads import fit_classification_head
from penstock.estimators.estimator import Estimator, InputFn, Visit
from penstock.estimators.examples import Examples
from penstock.estimators.fitted_model import FittedModel
from penstock.estimators.interruption import interruption
from penstock.estimators.preparation import FitHead, class_factors, fit_columns, notice, training_examples
from penstock.estimators.regression_head import RegressionHead, fit_regression_head, numeric_labels
from penstock.estimators.run_config import RunConfig
from penstock.estimators.setup import SAMPLE_ROWS, Setup, check_same, load_setup, pick_samples, save_setup
from penstock.estimators.trees_body import tree_features
from penstock.export.model import assemble
from penstock.features.column import FeatureColumn

__all__ = ["AutoClassifier", "AutoRegressor"]

_BUDGET_S = 120.0


class _Auto(Estimator):
    """What both have in common. A step is the training of a candidate on all folds but one."""

    def __init__(
        self,
        *,
        feature_columns: Sequence[FeatureColumn] | None,
        model_dir: str | Path | None,
        config: RunConfig | None,
        weight_column: Any,
        time_budget_s: float,
        metric: str | None,
        fit_head: FitHead,
        class_weight: Mapping[str, float] | str | None,
        adjustments: AdjustmentOptions,
        params: Mapping[str, Any],
    ) -> None:
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            adjustments=adjustments,
        )
        if not time_budget_s > 0:
            raise ConfigError(f"time_budget_s is {time_budget_s}; expected seconds, such as 120")
        self._budget_s = float(time_budget_s)
        self._metric = metric
        self._fit_head = fit_head
        self._class_weight = class_weight
        # Not the budget: a search that is over goes on when it is given more time.
        self._params = {
            **params,
            "feature_columns": None if feature_columns is None else [column.name for column in feature_columns],
            "weight_column": self._weight_column,
            "metric": metric,
            "class_weight": class_weight,
            **adjustments.params,
            "seed": self._config.seed,
        }
        self._book = Book(self._folder)
        self._checkpoints = CheckpointFolder(
            self._folder, keep=self._config.keep_checkpoint_max, saved=self._place.bring_back
        )
        self._model: FittedModel | None = None

    @property
    def params(self) -> dict[str, Any]:
        return {**self._params, "time_budget_s": self._budget_s}

    @property
    def time_budget_s(self) -> float | None:
        return self._budget_s

    def latest_checkpoint(self) -> str | None:
        steps = self._checkpoints.steps()
        return str(self._folder / f"checkpoint-{steps[-1]}") if steps else None

    def leaderboard(self) -> list[dict[str, Any]]:
        """What was tried, best first: candidate, score, weight in the ensemble, folds, seconds, and what became of it.

        Raises PreconditionError where nothing is trained.
        """
        found: list[dict[str, Any]] = self._newest().facts["leaderboard"]
        return found

    def findings(self) -> dict[str, Any]:
        facts = self._newest().facts
        return {
            "time_budget_s": self._budget_s,
            "cross_validation": {name: facts[name] for name in ("metric", "score", "folds")},
            "leaderboard": facts["leaderboard"],
        }

    def train_with_visits(
        self,
        input_fn: InputFn,
        *,
        steps: int | None = None,
        max_steps: int | None = None,
        every: int = 0,
        visit: Visit = lambda _model, _is_last: None,
    ) -> None:
        began = time.monotonic()
        setup = load_setup(self._folder)
        checkpoint = None
        if setup is not None:
            check_same(self._folder, setup, estimator=type(self).__name__, parameters=self._params)
            checkpoint = self._checkpoints.latest(notice=notice)
        done = 0 if checkpoint is None else checkpoint.step
        most_fits = max_steps if steps is None else done + steps
        if checkpoint is not None and (
            (most_fits is not None and done >= most_fits) or _is_finished(checkpoint, self._budget_s)
        ):
            notice(f"{self.model_dir} holds a finished search of {done} trainings; more time_budget_s goes on with it")
        else:
            spent_s = 0.0 if checkpoint is None else float(checkpoint.facts["spent_s"])
            spent_s += time.monotonic() - began
            with interruption() as interrupted:
                clock = Clock(self._budget_s, spent_s=spent_s, interrupted=interrupted)
                self._search(input_fn, setup, clock, most_fits, checkpoint)
        if every:
            visit(self.fitted_model(), True)

    def fitted_model(self, step: int | None = None) -> FittedModel:
        if self._model is not None and step in (None, self._model.step):
            return self._model
        setup = self._setup()
        check_same(self._folder, setup, estimator=type(self).__name__, parameters=self._params)
        self._model = self._model_of(setup, self._newest() if step is None else self._checkpoints.load(step))
        return self._model

    def _newest(self) -> Checkpoint:
        checkpoint = self._checkpoints.latest(notice=notice)
        if checkpoint is None:
            raise PreconditionError(f"nothing is trained in {self.model_dir!r} yet; call train first")
        return checkpoint

    def _search(
        self, input_fn: InputFn, setup: Setup | None, clock: Clock, most_fits: int | None, saved: Checkpoint | None
    ) -> None:
        examples = self._bounded(training_examples(self, input_fn, setup))
        if setup is None:
            setup = self._fit_setup(examples)
        rows = self._rows(setup, examples)
        refuse_few_rows(self._adjustments, rows)
        skewed = _has_skewed_labels(rows)
        tried = self._portfolio(setup, is_skewed=skewed)
        with make_view(f"searching, {rows.fold_count} folds", clock, show=self._config.show_progress) as view:
            search = Search(
                rows,
                tried.candidates,
                book=self._book,
                clock=clock,
                view=view,
                changed=lambda chosen: self._keep(rows, search, chosen, clock, saved, is_finished=False),
                opening=tried.opening,
                before=[] if saved is None else tried.proposed(saved.facts["leaderboard"]),
                propose=tried.propose,
                rehearse=lambda candidate, fit: self._rehearse(setup, rows, candidate, fit),
                most_fits=most_fits,
            )
            search.run()
        if search.chosen is None:
            if clock.is_interrupted:
                raise KeyboardInterrupt
            raise TrainingError(
                f"{self._budget_s:g} s were over before a first model of {rows.count:,} rows was trained "
                f"({clock.spent_s:.0f} s went by); give more time_budget_s, or fewer rows"
            )
        cut_short = clock.is_interrupted or (most_fits is not None and search.fit_count >= most_fits)
        self._keep(rows, search, search.chosen, clock, saved, is_finished=not cut_short)
        self._model = None
        notice(leaderboard_text(search.leaderboard()))
        notice(_conclusion(search, search.chosen, rows, clock))

    def _portfolio(self, setup: Setup, *, is_skewed: bool) -> Portfolio:
        has_words = any(block.kind == "ids" for block in tree_features(setup).blocks)
        return portfolio(
            setup.head,
            rows=setup.rows,
            is_skewed=is_skewed,
            folder=self._folder,
            has_words=has_words,
            seed=self._config.seed,
        )

    def _rehearse(self, setup: Setup, rows: SearchRows, candidate: Candidate, fit: FoldFit) -> float:
        """Seconds that one model takes to become a graph that answers as it does."""
        began = time.monotonic()
        features, body = mix([candidate.member(setup, fit, weight=1.0)], setup.head, files={})
        model = FittedModel(features, body, setup.head, 1, self._folder)
        content = assemble(model)[0].build().SerializeToString()
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        model.predict(rows.examples.features.take(slice(0, SAMPLE_ROWS)).select(features.raw_schema.names))
        return time.monotonic() - began

    def _bounded(self, examples: Examples) -> Examples:
        """The rows, or a sample of them where they are too many for the memory that is free."""
        most = most_rows(len(examples.features.schema))
        if examples.features.rows <= most:
            return examples
        notice(f"{examples.features.rows:,} rows do not fit into memory; the search is on a sample of {most:,}")
        picked = np.random.default_rng(self._config.seed).choice(examples.features.rows, most, replace=False)
        return examples.take(np.sort(picked))

    def _fit_setup(self, examples: Examples) -> Setup:
        assert examples.labels is not None
        counted = slice(None) if examples.weights is None else examples.weights > 0
        head = self._fit_head(examples.labels[counted], examples.label)
        if examples.features.rows < 4:
            raise TrainingError(
                f"the data has {examples.features.rows} rows; a search compares models on rows held out and needs 4"
            )
        choose_metric(self._metric, head.task)
        features = fit_columns(self._columns, examples, head)
        used = features.raw_schema.names
        setup = Setup(
            estimator=type(self).__name__,
            parameters=self._params,
            features=features,
            head=head,
            weight_column=self._weight_column,
            ignored=tuple(name for name in (*examples.features.schema.names, *examples.unread) if name not in used),
            rows=examples.features.rows,
            data_digest=examples.data_digest,
        )
        samples = pick_samples(examples.features, features.raw_schema, seed=self._config.seed)
        save_setup(self._folder, setup, samples)
        return setup

    def _rows(self, setup: Setup, examples: Examples) -> SearchRows:
        assert examples.labels is not None
        head = setup.head
        targets = head.encode(examples.labels)
        factors = class_factors(head, targets, self._class_weight)
        weights = examples.weights
        if factors is not None:
            weights = factors if weights is None else weights * factors
        folds = fold_count(len(targets))
        dealt, column = deal_rows(
            targets, folds, features=examples.features, is_classification=bool(head.classes), seed=self._config.seed
        )
        if column is not None:
            notice(f"the rows stand in the order of {column!r}: folds are stretches of that time")
        scale = head.scale[0] if isinstance(head, RegressionHead) else 1.0
        return SearchRows(
            examples=examples,
            setup=setup,
            targets=targets,
            weights=weights,
            folds=dealt,
            fold_count=folds,
            metric=choose_metric(self._metric, head.task, scale=scale),
            seed=self._config.seed,
        )

    def _keep(
        self,
        rows: SearchRows,
        search: Search,
        chosen: Chosen,
        clock: Clock,
        saved: Checkpoint | None,
        *,
        is_finished: bool,
    ) -> None:
        """Saves the ensemble; `saved` instead, which a search before this one left, while that is better."""
        if saved is not None and _is_better(saved, chosen, rows):
            ended = {"spent_s": clock.spent_s, "is_finished": is_finished, "budget_s": self._budget_s}
            self._checkpoints.save(Checkpoint(saved.step, saved.arrays, {**saved.facts, **ended}))
            return
        step = search.fit_count if saved is None else max(search.fit_count, saved.step)
        facts = {
            "weights": dict(chosen.weights),
            "members": {name: sorted(search.fits_of(name)) for name in chosen.weights},
            "metric": rows.metric.name,
            "score": rows.metric.value(chosen.loss),
            "folds": chosen.folds,
            "spent_s": clock.spent_s,
            "is_finished": is_finished,
            "budget_s": self._budget_s,
            "leaderboard": msgspec.to_builtins(search.leaderboard()),
        }
        if self._adjustments.params:
            adjustment = adjust(self._adjustments, rows, search, chosen, is_last=is_finished)
            if adjustment is not None:
                save_adjustment(self._folder, step, adjustment)
        weights = np.array(list(chosen.weights.values()))
        self._checkpoints.save(Checkpoint(step, {"weights": weights}, facts))

    def _model_of(self, setup: Setup, checkpoint: Checkpoint) -> FittedModel:
        facts = checkpoint.facts
        known = self._portfolio(setup, is_skewed=True)
        candidates = {candidate.name: candidate for candidate in known.candidates}
        candidates |= {candidate.name: candidate for candidate in known.proposed(facts["leaderboard"])}
        members: list[Member] = []
        for name, weight in facts["weights"].items():
            folds = facts["members"][name]
            members.extend(
                candidates[name].member(setup, self._book.fit(name, fold), weight=weight / len(folds)) for fold in folds
            )
        files = {"leaderboard.json": msgspec.json.format(msgspec.json.encode(facts["leaderboard"]), indent=1)}
        features, body = mix(members, setup.head, files=files)
        return self.adjusted(FittedModel(features, body, setup.head, checkpoint.step, self._folder))


class AutoRegressor(_Auto):
    """Predicts numbers with the best ensemble that a time budget allows.

    time_budget_s: seconds that `train` may take, with reading, and the export behind it. metric: "rmse" (None) or
    "mae". intervals: the share of rows that `lower` and `upper` are to cover, measured on the folds. What is tried:
    boosted trees and networks of several kinds, on the label and, where it is skewed, on its logarithm.
    """

    def __init__(
        self,
        time_budget_s: float = _BUDGET_S,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        weight_column: Any = None,
        config: RunConfig | None = None,
        *,
        metric: str | None = None,
        intervals: float | None = None,
    ) -> None:
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            time_budget_s=time_budget_s,
            metric=metric,
            fit_head=lambda labels, label: fit_regression_head(labels, label=label),
            class_weight=None,
            adjustments=AdjustmentOptions(intervals=intervals),
            params={},
        )


class AutoClassifier(_Auto):
    """Predicts classes with the best ensemble that a time budget allows.

    metric: "auc" (None), "log_loss" or "accuracy"; for more than two classes "log_loss" (None) or "accuracy".
    calibrate, prediction_sets: fitted to answers for rows of other folds. Other arguments as in `AutoRegressor` and
    `DNNClassifier`.
    """

    def __init__(
        self,
        time_budget_s: float = _BUDGET_S,
        feature_columns: Sequence[FeatureColumn] | None = None,
        model_dir: str | Path | None = None,
        n_classes: int | None = None,
        weight_column: Any = None,
        label_vocabulary: Sequence[str] | None = None,
        config: RunConfig | None = None,
        *,
        metric: str | None = None,
        class_weight: Mapping[str, float] | str | None = None,
        calibrate: Calibration | None = None,
        prediction_sets: float | None = None,
    ) -> None:
        super().__init__(
            feature_columns=feature_columns,
            model_dir=model_dir,
            config=config,
            weight_column=weight_column,
            time_budget_s=time_budget_s,
            metric=metric,
            fit_head=lambda labels, label: fit_classification_head(
                labels, label=label, n_classes=n_classes, label_vocabulary=label_vocabulary
            ),
            class_weight=class_weight,
            adjustments=AdjustmentOptions(calibrate=calibrate, prediction_sets=prediction_sets),
            params={
                "n_classes": n_classes,
                "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            },
        )


def _is_finished(checkpoint: Checkpoint, budget_s: float) -> bool:
    """Whether a search ended by itself, or has used its time; one with more time now goes on."""
    facts = checkpoint.facts
    return bool(facts["is_finished"]) and budget_s <= float(facts["budget_s"])


def _has_skewed_labels(rows: SearchRows) -> bool:
    head = rows.setup.head
    if not isinstance(head, RegressionHead):
        return False
    assert rows.examples.labels is not None
    return is_skewed(numeric_labels(rows.examples.labels, head.label, 1)[:, 0])


def _is_better(saved: Checkpoint, chosen: Chosen, rows: SearchRows) -> bool:
    """Whether the saved ensemble is of more folds, or of less loss on as many."""
    score = float(saved.facts["score"])
    saved_loss = 1.0 - score if rows.metric.more_is_better else score
    return (-int(saved.facts["folds"]), saved_loss) < (-chosen.folds, chosen.loss)


def _conclusion(search: Search, chosen: Chosen, rows: SearchRows, clock: Clock) -> str:
    ended = "stopped" if clock.is_interrupted else "done"
    models = sum(len(search.fits_of(name)) for name in chosen.weights)
    return (
        f"{ended} after {clock.spent_s:.0f} s: {rows.metric.name} {rows.metric.value(chosen.loss):,.6g} on "
        f"{chosen.folds} of {rows.fold_count} folds held out; the ensemble has {models} models of "
        f"{len(chosen.weights)} candidates"
    )
