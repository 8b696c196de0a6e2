"""Permutation importance: how much worse a model gets where one column's values are shuffled among the rows.

Source: Breiman, "Random Forests" (2001), section 10; of any model, on rows that it has not seen.
"""

import numpy as np

from penstock.bundle.manifest import Task
from penstock.data.columns import ColumnBatch
from penstock.estimators.examples import Examples
from penstock.estimators.fitted_model import FittedModel

__all__ = ["importance_metric", "permutation_importance"]


def importance_metric(task: Task) -> str:
    """The metric whose rise is told: in the label's own unit for a regression."""
    return "rmse" if task is Task.REGRESSION else "average_loss"


def permutation_importance(model: FittedModel, examples: Examples, *, repeats: int, seed: int) -> dict[str, float]:
    """The mean rise of `importance_metric` by raw column, largest first; about 0 where the model does without it.

    examples: labelled rows with the model's columns, which the training did not see.
    """
    assert examples.labels is not None
    metric, labels = importance_metric(model.head.task), examples.labels
    schema = model.features.raw_schema
    features = examples.features.select(schema.names)

    def error(batch: ColumnBatch) -> float:
        return model.head.evaluate(model.outputs(batch), labels, examples.weights)[metric]

    usual = error(features)
    draw = np.random.default_rng(seed)
    orders = [draw.permutation(features.rows) for _ in range(repeats)]
    rises = {}
    for name in schema.names:
        shuffled = [
            error(ColumnBatch(features.schema, {**features.arrays, name: features[name][order]})) for order in orders
        ]
        rises[name] = float(np.mean(shuffled)) - usual
    return dict(sorted(rises.items(), key=lambda item: -item[1]))
