"""Trains to the last step, evaluating at fixed steps on the way, and exports: the main call of a trainer."""

import time

from penstock.errors import UsageError
from penstock.estimators.estimator import Estimator
from penstock.estimators.example_stream import ExampleStream
from penstock.estimators.examples import Examples
from penstock.estimators.fitted_model import FittedModel
from penstock.training.specs import EvalSpec, TrainSpec

__all__ = ["train_and_evaluate"]

_EVALUATIONS = 10
_OPEN_ENDED_STEPS = 1000


def train_and_evaluate(
    estimator: Estimator, train_spec: TrainSpec, eval_spec: EvalSpec
) -> tuple[dict[str, float], list[str | None]]:
    """Returns the metrics of the last evaluation, and what each exporter wrote last (None for nothing).

    Evaluates ten times on the way to `max_steps` (without one, every 1,000 steps) and after the last step, always on
    the same rows. A training that was stopped goes on from its newest checkpoint.
    """
    for value, kind in ((train_spec, TrainSpec), (eval_spec, EvalSpec)):
        if not isinstance(value, kind):
            raise UsageError(f"train_and_evaluate got a {type(value).__name__}; expected a {kind.__name__}")
    evaluation = _Evaluation(estimator, eval_spec)
    every = _OPEN_ENDED_STEPS if train_spec.max_steps is None else max(1, train_spec.max_steps // _EVALUATIONS)
    with estimator.holding_folder():
        estimator.train_with_visits(
            train_spec.input_fn, max_steps=train_spec.max_steps, every=every, visit=evaluation.visit
        )
    # Trainers print them, on a worker as on the chief that measured them.
    return estimator.chiefs_metrics(evaluation.metrics), evaluation.exports


class _Evaluation:
    """What happens at each visit. metrics, exports: of the last one."""

    def __init__(self, estimator: Estimator, spec: EvalSpec) -> None:
        self.metrics: dict[str, float] = {}
        self.exports: list[str | None] = [None] * len(spec.all_exporters)
        self._estimator = estimator
        self._spec = spec
        self._examples: Examples | ExampleStream | None = None
        self._exported_at = time.monotonic()

    def visit(self, model: FittedModel, is_last: bool) -> None:
        if self._examples is None:
            self._examples = self._estimator.open_examples(self._spec.input_fn, self._spec.steps)
        self.metrics = self._estimator.evaluate_examples(model, self._examples)
        self._estimator.write_evaluation(self.metrics, name=self._spec.name)
        if not is_last and time.monotonic() - self._exported_at < self._spec.throttle_secs:
            return
        for position, exporter in enumerate(self._spec.all_exporters):
            path = f"{self._estimator.model_dir}/export/{exporter.name}"
            written = exporter.export(self._estimator, path, self.metrics, is_last)
            self.exports[position] = written or self.exports[position]
        self._exported_at = time.monotonic()
