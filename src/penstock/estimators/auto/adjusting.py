"""Intervals, sets and calibration of an ensemble, fitted to its answers for rows that its members did not see."""

import numpy as np

from penstock.errors import TrainingError
from penstock.estimators.adjustment import MOST_ROWS, Adjustment, AdjustmentOptions
from penstock.estimators.auto.link import logits_of
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.auto.search import Chosen, Search

__all__ = ["adjust", "refuse_few_rows"]


def adjust(
    options: AdjustmentOptions, rows: SearchRows, search: Search, chosen: Chosen, *, is_last: bool
) -> Adjustment | None:
    """What is asked for, fitted to the ensemble's answers; None where the first folds alone are too few rows for it.

    is_last: whether no fold will be added. Each row is answered by models that did not see it; the ensemble averages
    more of them, and errs less rather than more.
    """
    index = np.concatenate([rows.held_out(fold) for fold in range(chosen.folds)])
    scores = np.zeros(())
    for name, weight in chosen.weights.items():
        scores = scores + weight * search.scores_of(name, chosen.folds).astype(np.float64)
    picked = np.random.default_rng(rows.seed).permutation(len(index))[:MOST_ROWS]
    head = rows.setup.head
    try:
        return options.fit(logits_of(scores[picked], head), head, rows.examples.take(index[picked]))
    except TrainingError:
        if is_last:
            raise
        return None


def refuse_few_rows(options: AdjustmentOptions, rows: SearchRows) -> None:
    """Raises TrainingError where what is asked for wants more rows than there are, before the time goes by."""
    options.check_rows(min(rows.count, MOST_ROWS), there=f"the data has {rows.count}")
