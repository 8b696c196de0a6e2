"""Settings of trees next to those that did best so far: a search by random steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["mutated"]

_LADDERS: Mapping[str, Sequence[float]] = {
    "num_leaves": (4, 8, 15, 31, 63, 127, 255),
    "learning_rate": (0.015, 0.02, 0.03, 0.04, 0.06, 0.1),
    "feature_fraction": (0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0),
    "bagging_fraction": (0.5, 0.65, 0.8, 1.0),
    "min_data_in_leaf": (2, 5, 10, 20, 40, 80),
    "lambda_l2": (0.0, 1.0, 3.0, 10.0, 30.0),
}
_LADDERS_OF_WORDS: Mapping[str, Sequence[float]] = {
    "cat_smooth": (1.0, 10.0, 50.0),
    "max_cat_to_onehot": (4, 16, 64),
}
_AS_LIGHTGBM_HAS_IT = {"feature_fraction": 1.0, "bagging_fraction": 1.0, "lambda_l2": 0.0, "max_cat_to_onehot": 4}
_STEPS = (1, 2, 3)
_SWITCHED = 0.1


def mutated(settings: Mapping[str, Any], rng: np.random.Generator, *, words: bool) -> dict[str, Any]:
    """One to three settings a rung up or down, and now and then trees that split at random. words: whether there are
    categories, which have settings of their own.
    """
    ladders = {**_LADDERS, **(_LADDERS_OF_WORDS if words else {})}
    made = dict(settings)
    for name in rng.choice(list(ladders), size=rng.choice(_STEPS), replace=False).tolist():
        rungs = ladders[name]
        place = int(np.argmin(np.abs(np.array(rungs) - made.get(name, _AS_LIGHTGBM_HAS_IT.get(name, rungs[0])))))
        place += 1 if place == 0 else -1 if place == len(rungs) - 1 else int(rng.choice((-1, 1)))
        made[name] = rungs[place]
    if rng.random() < _SWITCHED:
        made["extra_trees"] = not made.get("extra_trees", False)
    if made.get("bagging_fraction", 1.0) < 1.0:
        made["bagging_freq"] = 1
    return made
