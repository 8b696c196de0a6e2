"""The candidates of a search, in the order in which they are tried: chosen by the label and by the number of rows."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from penstock.estimators.auto.candidate import Candidate
from penstock.estimators.auto.labels import LearnedTarget
from penstock.estimators.auto.mutations import mutated
from penstock.estimators.auto.network_candidate import NetworkCandidate
from penstock.estimators.auto.tree_candidate import TreeCandidate
from penstock.estimators.run_config import RunConfig
from penstock.estimators.setup import AnyHead

if TYPE_CHECKING:
    from penstock.estimators.network_estimator import NetworkEstimator

__all__ = ["FAMILIES", "Portfolio", "portfolio"]

_HOMES = {
    "DNN": "penstock.estimators.dnn",
    "DNNLinearCombined": "penstock.estimators.wide_deep",
    "Linear": "penstock.estimators.linear",
    "RealMLP": "penstock.estimators.real_mlp",
    "TabM": "penstock.estimators.tabm",
}

FAMILIES = ("BoostedTrees", *_HOMES)
"""What a candidate may be."""

_FEW_ROWS = 3_000

_SAMPLED: dict[str, Any] = {"bagging_fraction": 0.8, "bagging_freq": 1}


_PARENTS = 3
_SMALL, _SMALLEST = [128, 128], [64, 64]
"""Layers of networks that come far in seconds on processor cores; those of the papers follow where there is time."""


class Portfolio:
    """candidates: with names of their own. opening: so many of them begin together.

    has_words: whether trees see categories.
    """

    def __init__(
        self, candidates: tuple[Candidate, ...], opening: int, trees: "_Trees", *, has_words: bool, seed: int
    ) -> None:
        self.candidates = candidates
        self.opening = opening
        self._trees = trees
        self._has_words = has_words
        self._rng = np.random.default_rng(seed)
        self._known = {candidate.name: candidate for candidate in candidates}

    def propose(self, losses: Mapping[str, float]) -> Candidate | None:
        """Trees with settings next to those of one of the best; None where there are none. losses: by candidate."""
        ranked = [known for name in sorted(losses, key=losses.__getitem__) if (known := self._tree(name)) is not None]
        if not ranked:
            return None
        parents = ranked[:_PARENTS]
        chance = 1.0 / np.arange(1, len(parents) + 1)
        parent = parents[int(self._rng.choice(len(parents), p=chance / chance.sum()))]
        settings = mutated(parent.settings, self._rng, words=self._has_words)
        return self._again(self._trees.name_of(settings, parent.target), settings, parent.target)

    def proposed(self, leaderboard: Sequence[Mapping[str, Any]]) -> list[Candidate]:
        """What was proposed to a search, made again of what its leaderboard says."""
        names = {candidate.name for candidate in self.candidates}
        made = []
        for entry in leaderboard:
            if entry["candidate"] not in names:
                settings = dict(entry["parameters"])
                made.append(self._again(entry["candidate"], settings, settings.pop("target", "plain")))
        return made

    def _again(self, name: str, settings: Mapping[str, Any], target: LearnedTarget) -> Candidate:
        return self._known.setdefault(name, self._trees.exactly(name, settings, target))

    def _tree(self, name: str) -> TreeCandidate | None:
        known = self._known.get(name)
        return known if isinstance(known, TreeCandidate) else None


def portfolio(head: AnyHead, *, rows: int, is_skewed: bool, folder: Path, has_words: bool, seed: int) -> Portfolio:
    """All candidates. is_skewed: whether logarithms of the label are tried as well. has_words: whether trees see
    categories.

    folder: for estimators that want one; nothing is written there.
    """
    trees, networks = _Trees(rows), _Networks(head, folder)
    sampled = trees("trees-sampled", num_leaves=63, learning_rate=0.04, feature_fraction=0.5, lambda_l2=1.0, **_SAMPLED)
    random = trees("trees-random", num_leaves=63, learning_rate=0.06, extra_trees=True)
    shallow = trees("trees-shallow", num_leaves=8, learning_rate=0.1, feature_fraction=0.7, **_SAMPLED)
    linear = networks("linear", "Linear")
    opening: list[Candidate] = [
        sampled,
        trees("trees", num_leaves=31, learning_rate=0.05),
        networks("real-mlp", "RealMLP", share=1.5, hidden_units=_SMALL),
    ]
    later: list[Candidate] = [
        networks("network", "DNN"),
        trees("trees-large", num_leaves=127, learning_rate=0.03, feature_fraction=0.7, min_data_in_leaf=5, **_SAMPLED),
        networks("tabm", "TabM", share=1.5, hidden_units=_SMALLEST, members=8),
        trees("trees-few-features", num_leaves=31, learning_rate=0.04, feature_fraction=0.3, **_SAMPLED),
        networks("real-mlp-large", "RealMLP", share=2.0),
        trees("trees-random-deep", num_leaves=127, learning_rate=0.05, extra_trees=True, feature_fraction=0.8),
        networks("tabm-large", "TabM", share=2.0),
        trees("trees-of-stumps", num_leaves=4, learning_rate=0.15, **_SAMPLED),
        networks("wide-deep", "DNNLinearCombined"),
        trees("trees-regular", num_leaves=31, learning_rate=0.03, feature_fraction=0.6, lambda_l2=10.0, **_SAMPLED),
        networks("network-deep", "DNN", hidden_units=[128, 128, 64], activation_fn="silu"),
    ]
    # On few rows they are as good as any, and cost nothing; on many they seldom are.
    if rows < _FEW_ROWS:
        opening[2:2] = [random, shallow]
        opening.append(linear)
    else:
        later[2:2] = [shallow, random]
        later.append(linear)
    if is_skewed:
        opening.append(trees("trees-of-logarithms", target="log", **sampled.settings))
        later[1:1] = [
            networks("real-mlp-of-logarithms", "RealMLP", target="log", share=1.5, hidden_units=_SMALL),
            trees("trees-of-rates", target="poisson", **sampled.settings),
        ]
    return Portfolio((*opening, *later), len(opening), trees, has_words=has_words, seed=seed)


class _Trees:
    """Makes tree candidates that share their binned rows."""

    def __init__(self, rows: int) -> None:
        self._few = rows < _FEW_ROWS
        self._rows = rows
        self._shared: dict[int, Any] = {}

    def __call__(self, name: str, *, target: LearnedTarget = "plain", **settings: Any) -> TreeCandidate:
        least = max(2, min(20, self._rows // 60)) if self._few else 10 if settings.get("bagging_freq") else 20
        chosen = {
            "min_data_in_leaf": least,
            "min_data_per_group": max(2, min(100, self._rows // 100)),
            "cat_smooth": 10.0,
            **settings,
        }
        if self._few:
            chosen["num_leaves"] = min(chosen["num_leaves"], 31)
        return self.exactly(name, chosen, target)

    def exactly(self, name: str, settings: Mapping[str, Any], target: LearnedTarget) -> TreeCandidate:
        return TreeCandidate(name=name, settings=settings, target=target, shared=self._shared)

    def name_of(self, settings: Mapping[str, Any], target: LearnedTarget) -> str:
        """The same for the same settings, so that what is kept of them is found again."""
        text = msgspec.json.encode([settings, target], order="sorted")
        return f"trees-{hashlib.sha256(text).hexdigest()[:8]}"


class _Networks:
    """Makes network candidates that share their packed rows."""

    def __init__(self, head: AnyHead, folder: Path) -> None:
        self._kind = "Classifier" if head.classes else "Regressor"
        self._folder = folder
        self._shared: dict[Any, Any] = {}

    def __call__(
        self, name: str, family: str, *, target: LearnedTarget = "plain", share: float = 1.0, **arguments: Any
    ) -> Candidate:
        return NetworkCandidate(
            name=name,
            family=family,
            make=self._maker_of(family, arguments),
            parameters={**arguments, **({} if target == "plain" else {"target": target})},
            target=target,
            share=share,
            shared=self._shared,
        )

    def _maker_of(self, family: str, arguments: Mapping[str, Any]) -> "Callable[[int], NetworkEstimator]":
        def make(seed: int) -> "NetworkEstimator":
            made: Any = getattr(import_module(_HOMES[family]), f"{family}{self._kind}")
            config = RunConfig(tf_random_seed=seed)
            estimator: NetworkEstimator = made(model_dir=str(self._folder), config=config, **arguments)
            return estimator

        return make
