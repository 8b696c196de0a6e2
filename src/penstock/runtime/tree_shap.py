"""Exact Shapley values of boosted trees from LightGBM's model text, in NumPy: LightGBM itself is not needed.

Path-dependent TreeSHAP (Lundberg, Erion, Lee: Consistent Individualized Feature Attribution for Tree Ensembles, 2018),
leaf by leaf as in GPUTreeShap (Mitchell, Frank, Holmes, 2020), over all rows and all leaves with as many different
features on their paths at once. Agrees with LightGBM's `pred_contrib`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from penstock.errors import BundleError

__all__ = ["TreeShap"]

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2
_ZERO = 1e-35
_CELLS_AT_ONCE = 4_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Tree:
    """Arrays by split and by leaf, as the text has them; a child below 0 is the leaf `~child`."""

    features: NDArray[np.int64]
    thresholds: Floats
    decisions: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    values: Floats
    leaf_counts: Floats
    counts: Floats
    category_bounds: NDArray[np.int64]
    category_bits: NDArray[np.int64]


@dataclass(frozen=True)
class _Paths:
    """Leaves with the same number of different features on their paths, `[leaves]` or `[leaves, features]`.

    splits: for each leaf and feature, splits on the path as columns of the decision matrix, with the side that leads to
        the leaf; -1 fills up. zeros: share of the training rows that goes the leaf's way at all those splits.
    """

    targets: NDArray[np.int64]
    values: Floats
    features: NDArray[np.int64]
    zeros: Floats
    splits: NDArray[np.int64]
    sides: NDArray[np.bool_]


class TreeShap:
    """The trees of one model. features: how many columns its matrix has. targets: scores a row."""

    def __init__(self, text: str) -> None:
        """text: LightGBM's own, as `Booster.model_to_string` writes it. Raises BundleError for another."""
        try:
            head, *bodies = text.partition("end of trees")[0].split("\nTree=")
            facts = _facts(head)
            self.features = int(facts["max_feature_idx"]) + 1
            self.targets = int(facts.get("num_tree_per_iteration", "1"))
            trees = [_tree(_facts(body)) for body in bodies]
        except (KeyError, ValueError, IndexError) as error:
            raise BundleError(f"the trees' text is not LightGBM's: {error}") from error
        self._trees = [(tree, index % self.targets) for index, tree in enumerate(trees)]
        self.baseline: Floats = np.zeros(self.targets)
        for tree, target in self._trees:
            total = tree.leaf_counts.sum()
            self.baseline[target] += (
                float(tree.values @ tree.leaf_counts) / total if total and len(tree.values) > 1 else tree.values[0]
            )
        starts = np.cumsum([0, *(len(tree.features) for tree, _ in self._trees)])
        self._starts = [int(start) for start in starts]
        self._groups = self._grouped()

    def values(self, matrix: NDArray[np.floating]) -> Floats:
        """`[rows, features, targets]` of rows `[rows, features]`; with `baseline` they add up to the raw scores."""
        found = np.zeros((len(matrix), self.features, self.targets))
        widest = max((len(group.values) * (group.features.shape[1] + 2) for group in self._groups), default=1)
        step = max(1, _CELLS_AT_ONCE // max(widest, 1))
        for start in range(0, len(matrix), step):
            rows = np.asarray(matrix[start : start + step], np.float64)
            goes_left = self._decide(rows)
            for group in self._groups:
                self._add(group, goes_left, found[start : start + step])
        return found

    def _decide(self, rows: Floats) -> NDArray[np.bool_]:
        """Whether each row goes left at each split of all trees, `[rows, splits]`."""
        return np.concatenate([_goes_left(tree, rows) for tree, _ in self._trees], axis=1)

    def _grouped(self) -> list[_Paths]:
        by_depth: dict[int, list[tuple[int, float, list[tuple[int, float, list[tuple[int, bool]]]]]]] = {}
        for (tree, target), start in zip(self._trees, self._starts, strict=False):
            for leaf, path in _paths(tree):
                merged: dict[int, tuple[float, list[tuple[int, bool]]]] = {}
                for split, is_left, share in path:
                    zero, splits = merged.get(int(tree.features[split]), (1.0, []))
                    merged[int(tree.features[split])] = (zero * share, [*splits, (start + split, is_left)])
                entries = [(feature, zero, splits) for feature, (zero, splits) in merged.items()]
                by_depth.setdefault(len(entries), []).append((target, float(tree.values[leaf]), entries))
        return [_packed(depth, leaves) for depth, leaves in sorted(by_depth.items()) if depth]

    def _add(self, group: _Paths, goes_left: NDArray[np.bool_], found: Floats) -> None:
        """Adds the contributions of these leaves."""
        depth = group.features.shape[1]
        ones = np.ones((len(goes_left), *group.features.shape), bool)
        for place in range(group.splits.shape[2]):
            splits = group.splits[:, :, place]
            ones &= (goes_left[:, splits] == group.sides[:, :, place]) | (splits < 0)
        weights = np.zeros((len(goes_left), len(group.values), depth + 1))
        weights[:, :, 0] = 1.0
        for taken in range(depth):  # EXTEND of Algorithm 2
            one, zero = ones[:, :, taken], group.zeros[:, taken]
            length = taken + 1
            for k in range(taken, -1, -1):
                weights[:, :, k + 1] += one * weights[:, :, k] * ((k + 1) / (length + 1))
                weights[:, :, k] *= zero * ((length - k) / (length + 1))
        for place in range(depth):  # the sum of UNWIND
            one, zero = ones[:, :, place], group.zeros[:, place]
            total = np.zeros(one.shape)
            without = np.zeros(one.shape)
            following = weights[:, :, depth].copy()
            for k in range(depth - 1, -1, -1):
                part = following * ((depth + 1) / (k + 1))
                total += part
                following = weights[:, :, k] - part * (zero * ((depth - k) / (depth + 1)))
                without += weights[:, :, k] * ((depth + 1) / (depth - k))
            total = np.where(one, total, without / zero)
            contribution = total * (one - zero) * group.values
            for target in range(self.targets):
                chosen = group.targets == target
                np.add.at(found[:, :, target].T, group.features[chosen, place], contribution[:, chosen].T)


def _facts(text: str) -> Mapping[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _tree(facts: Mapping[str, str]) -> _Tree:
    if int(facts.get("is_linear", "0")):
        raise ValueError("its trees are linear in their leaves")

    def numbers(name: str) -> Floats:
        return np.array(facts.get(name, "").split(), dtype=np.float64)

    def whole(name: str) -> NDArray[np.int64]:
        return np.array(facts.get(name, "").split(), dtype=np.int64)

    values = numbers("leaf_value")
    return _Tree(
        features=whole("split_feature"),
        thresholds=numbers("threshold"),
        decisions=whole("decision_type"),
        left=whole("left_child"),
        right=whole("right_child"),
        values=values,
        leaf_counts=numbers("leaf_count") if facts.get("leaf_count", "").strip() else np.ones(len(values)),
        counts=numbers("internal_count"),
        category_bounds=whole("cat_boundaries"),
        category_bits=whole("cat_threshold"),
    )


def _goes_left(tree: _Tree, rows: Floats) -> NDArray[np.bool_]:
    """As LightGBM's NumericalDecision and CategoricalDecision, `[rows, splits]`."""
    if not len(tree.features):
        return np.zeros((len(rows), 0), bool)
    values = rows[:, tree.features]
    missing = tree.decisions >> 2 & 3
    is_nan = np.isnan(values)
    numbers = np.where(is_nan & (missing != _MISSING_NAN), 0.0, values)
    is_missing = ((missing == _MISSING_ZERO) & (np.abs(numbers) <= _ZERO)) | ((missing == _MISSING_NAN) & is_nan)
    with np.errstate(invalid="ignore"):
        left = np.where(is_missing, (tree.decisions & _DEFAULT_LEFT) > 0, numbers <= tree.thresholds)
    for split in np.flatnonzero(tree.decisions & _CATEGORICAL):
        index = int(tree.thresholds[split])
        bits = tree.category_bits[tree.category_bounds[index] : tree.category_bounds[index + 1]]
        column = values[:, split]
        fits = ~is_nan[:, split] & (column >= 0) & (column < 32 * len(bits))
        codes = np.where(fits, column, 0).astype(np.int64)
        left[:, split] = fits & ((bits[codes // 32] >> (codes % 32) & 1) == 1)
    return np.asarray(left, bool)


def _paths(tree: _Tree) -> Iterator[tuple[int, list[tuple[int, bool, float]]]]:
    """Every leaf with its splits: which, whether left, and the share of the split's rows that goes that way."""
    if not len(tree.features):
        return
    pending: list[tuple[int, list[tuple[int, bool, float]]]] = [(0, [])]
    while pending:
        split, path = pending.pop()
        for child, is_left in ((int(tree.left[split]), True), (int(tree.right[split]), False)):
            count = tree.leaf_counts[~child] if child < 0 else tree.counts[child]
            step = [*path, (split, is_left, float(count / tree.counts[split]))]
            if child < 0:
                yield ~child, step
            else:
                pending.append((child, step))


def _packed(depth: int, leaves: list[tuple[int, float, list[tuple[int, float, list[tuple[int, bool]]]]]]) -> _Paths:
    longest = max(len(splits) for _, _, entries in leaves for _, _, splits in entries)
    splits = np.full((len(leaves), depth, longest), -1, np.int64)
    sides = np.zeros((len(leaves), depth, longest), bool)
    for row, (_, _, entries) in enumerate(leaves):
        for column, (_, _, steps) in enumerate(entries):
            for place, (split, is_left) in enumerate(steps):
                splits[row, column, place], sides[row, column, place] = split, is_left
    return _Paths(
        targets=np.array([target for target, _, _ in leaves]),
        values=np.array([value for _, value, _ in leaves]),
        features=np.array([[feature for feature, _, _ in entries] for _, _, entries in leaves]),
        zeros=np.array([[zero for _, zero, _ in entries] for _, _, entries in leaves]),
        splits=splits,
        sides=sides,
    )
