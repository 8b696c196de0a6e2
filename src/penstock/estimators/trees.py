"""A LightGBM booster as arrays of nodes, and these as one `TreeEnsemble` node of a graph (ai.onnx.ml 5).

Thresholds and leaf values stay double and are summed in double, so the graph answers as LightGBM does. What LightGBM
does with a missing value is written per node (`missing_type`, `default_left`), categorical splits as set membership.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from penstock.errors import ExportError
from penstock.export.graph import GraphBuilder

__all__ = ["TreeNodes", "emit_trees", "nodes_of"]

_LEQ, _MEMBER = 0, 6
_SUM, _NO_TRANSFORM = 1, 0

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2


@dataclass(frozen=True)
class TreeNodes:
    """Trees in the layout of `TreeEnsemble`: attributes by name, and sums of trees that are single leaves."""

    targets: int
    constants: list[float]
    roots: list[int]
    features: NDArray[np.int64]
    modes: NDArray[np.uint8]
    splits: NDArray[np.float64]
    missing_true: NDArray[np.int64]
    true_ids: NDArray[np.int64]
    true_leafs: NDArray[np.int64]
    false_ids: NDArray[np.int64]
    false_leafs: NDArray[np.int64]
    leaf_targets: NDArray[np.int64]
    leaf_weights: NDArray[np.float64]
    members: NDArray[np.float64]


def nodes_of(model: str) -> TreeNodes:
    """The trees of LightGBM's text; tree `i` adds to target `i % targets`.

    Read from the text, many times as fast as `Booster.dump_model()` writes it out: an ensemble has a million nodes.
    """
    header, *trees = model.partition("\nend of trees")[0].split("\nTree=")
    targets = int(_fields(header)["num_tree_per_iteration"])
    constants = [0.0] * targets
    roots: list[int] = []
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in _PARTS}
    first_node = first_leaf = 0
    for position, text in enumerate(trees):
        tree = _fields(text)
        leaves = _numbers(tree["leaf_value"], np.float64)
        if len(leaves) == 1:
            constants[position % targets] += float(leaves[0])
            continue
        roots.append(first_node)
        for name, array in _tree_parts(tree, leaves, position % targets, first_node, first_leaf).items():
            parts[name].append(array)
        first_node += len(leaves) - 1
        first_leaf += len(leaves)
    joined = {
        name: np.concatenate(arrays).astype(_PARTS[name]) if arrays else np.empty(0, _PARTS[name])
        for name, arrays in parts.items()
    }
    return TreeNodes(targets, constants, roots, **joined)


def emit_trees(graph: GraphBuilder, nodes: TreeNodes, features: str) -> str:
    """Raw scores of float32 `[N, features]` rows: float32 `[N, targets]`."""
    doubled = graph.cast(features, int(TensorProto.DOUBLE))
    constants = graph.constant(np.array([nodes.constants]), np.float64, hint="trees_constant")
    if not nodes.roots:
        column = graph.node("ReduceSum", [doubled, graph.constant([1], np.int64)], keepdims=1)
        nothing = graph.node("And", [graph.node("IsNaN", [column]), graph.constant(False, np.bool_)])
        return graph.cast(graph.node("Add", [graph.cast(nothing, int(TensorProto.DOUBLE)), constants]), _FLOAT)
    attributes: dict[str, Any] = {
        "aggregate_function": _SUM,
        "post_transform": _NO_TRANSFORM,
        "n_targets": nodes.targets,
        "tree_roots": nodes.roots,
        "nodes_featureids": nodes.features.tolist(),
        "nodes_modes": _tensor("modes", TensorProto.UINT8, nodes.modes),
        "nodes_splits": _tensor("splits", TensorProto.DOUBLE, nodes.splits),
        "nodes_missing_value_tracks_true": nodes.missing_true.tolist(),
        "nodes_truenodeids": nodes.true_ids.tolist(),
        "nodes_trueleafs": nodes.true_leafs.tolist(),
        "nodes_falsenodeids": nodes.false_ids.tolist(),
        "nodes_falseleafs": nodes.false_leafs.tolist(),
        "leaf_targetids": nodes.leaf_targets.tolist(),
        "leaf_weights": _tensor("leaf_weights", TensorProto.DOUBLE, nodes.leaf_weights),
    }
    if len(nodes.members):
        attributes["membership_values"] = _tensor("members", TensorProto.DOUBLE, nodes.members)
    scores = graph.ml_node("TreeEnsemble", [doubled], hint="trees", **attributes)
    return graph.cast(graph.node("Add", [scores, constants]), _FLOAT)


_FLOAT = int(TensorProto.FLOAT)

_PARTS: dict[str, Any] = {
    "features": np.int64,
    "modes": np.uint8,
    "splits": np.float64,
    "missing_true": np.int64,
    "true_ids": np.int64,
    "true_leafs": np.int64,
    "false_ids": np.int64,
    "false_leafs": np.int64,
    "leaf_targets": np.int64,
    "leaf_weights": np.float64,
    "members": np.float64,
}


def _tree_parts(
    tree: Mapping[str, str], leaves: NDArray[np.float64], target: int, first_node: int, first_leaf: int
) -> dict[str, NDArray[Any]]:
    """The arrays of one tree with splits. A child below 0 is the leaf of that complement."""
    decisions = _numbers(tree["decision_type"], np.int64)
    is_categorical = (decisions & _CATEGORICAL) != 0
    missing = (decisions >> 2) & 3
    if (missing == _MISSING_ZERO).any():
        raise ExportError("trees trained with zero_as_missing cannot be exported; train without it")
    thresholds = _numbers(tree["threshold"], np.float64)
    # Without missing values in training LightGBM reads a missing one as 0.
    goes_left = np.where(missing == _MISSING_NAN, (decisions & _DEFAULT_LEFT) != 0, thresholds >= 0.0)
    left, right = _numbers(tree["left_child"], np.int64), _numbers(tree["right_child"], np.int64)
    return {
        "features": _numbers(tree["split_feature"], np.int64),
        "modes": np.where(is_categorical, _MEMBER, _LEQ),
        "splits": np.where(is_categorical, 0.0, thresholds),
        "missing_true": goes_left & ~is_categorical,
        "true_ids": np.where(left < 0, ~left + first_leaf, left + first_node),
        "true_leafs": left < 0,
        "false_ids": np.where(right < 0, ~right + first_leaf, right + first_node),
        "false_leafs": right < 0,
        "leaf_targets": np.full(len(leaves), target),
        "leaf_weights": leaves,
        "members": _members(tree, thresholds[is_categorical].astype(np.int64)),
    }


def _members(tree: Mapping[str, str], sets: NDArray[np.int64]) -> NDArray[np.float64]:
    """The categories that go left at each categorical split, each list ended by NaN. Sets are bits of 32-bit words."""
    if not len(sets):
        return np.empty(0)
    bounds = _numbers(tree["cat_boundaries"], np.int64)
    words = _numbers(tree["cat_threshold"], np.int64)
    lists = []
    for number in sets:
        chosen = words[bounds[number] : bounds[number + 1]]
        bits = (chosen[:, None] >> np.arange(32)) & 1
        lists.append(np.append(np.flatnonzero(bits.reshape(-1)), np.nan))
    return np.concatenate(lists)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)


def _numbers(text: str, dtype: Any) -> NDArray[Any]:
    return np.array(text.split(), dtype=np.float64 if dtype is np.float64 else None).astype(dtype)


def _tensor(name: str, element_type: int, values: NDArray[Any]) -> Any:
    return helper.make_tensor(name, element_type, [len(values)], values)
