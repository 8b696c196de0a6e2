"""Intervals, sets and calibration of an ensemble, fitted to its answers for rows that its members did not see."""

import numpy as np

from penstock.errors import TrainingError
from penstock.estimators.adjustment import Adjustment, AdjustmentOptions
from penstock.estimators.auto.link import logits_of
from penstock.estimators.auto.rows import SearchRows
from penstock.estimators.auto.search import Chosen, Search
from penstock.estimators.intervals import least_rows

__all__ = ["adjust", "refuse_few_rows"]

_MOST_ROWS = 10_000


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
    picked = np.random.default_rng(rows.seed).permutation(len(index))[:_MOST_ROWS]
    head = rows.setup.head
    try:
        return options.fit(logits_of(scores[picked], head), head, rows.examples.take(index[picked]))
    except TrainingError:
        if is_last:
            raise
        return None


def refuse_few_rows(options: AdjustmentOptions, rows: SearchRows) -> None:
    """Raises TrainingError where intervals or sets want more rows than there are, before the time goes by."""
    if options.coverage is None:
        return
    name, share = options.coverage
    wanted = least_rows(share) * (2 if options.calibrate else 1)
    if rows.count < wanted:
        raise TrainingError(
            f"{name} of {share:g} are measured on at least {wanted} rows, and the data has {rows.count}; train on more "
            "rows, or ask for less coverage"
        )
