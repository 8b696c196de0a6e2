"""A LightGBM booster as arrays of nodes, and these as one `TreeEnsemble` node of a graph (ai.onnx.ml 5).

Thresholds and leaf values stay double and are summed in double, so the graph answers as LightGBM does. What LightGBM
does with a missing value is written per node (`missing_type`, `default_left`), categorical splits as set membership.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from penstock.errors import ExportError
from penstock.export.graph import GraphBuilder

__all__ = ["TreeNodes", "emit_trees", "nodes_of"]

_LEQ, _MEMBER = 0, 6
_SUM, _NO_TRANSFORM = 1, 0


@dataclass
class TreeNodes:
    """Trees in the layout of `TreeEnsemble`: attributes by name, and sums of trees that are single leaves."""

    targets: int
    constants: list[float]
    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    modes: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing_true: list[int] = field(default_factory=list)
    true_ids: list[int] = field(default_factory=list)
    true_leafs: list[int] = field(default_factory=list)
    false_ids: list[int] = field(default_factory=list)
    false_leafs: list[int] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)
    members: list[float] = field(default_factory=list)


def nodes_of(dump: Mapping[str, Any]) -> TreeNodes:
    """The trees of `Booster.dump_model()`; tree `i` adds to target `i % targets`."""
    targets = int(dump["num_tree_per_iteration"])
    nodes = TreeNodes(targets, [0.0] * targets)
    for position, tree in enumerate(dump["tree_info"]):
        root = tree["tree_structure"]
        target = position % targets
        if "split_index" not in root:
            nodes.constants[target] += float(root["leaf_value"])
            continue
        nodes.roots.append(len(nodes.features))
        _add(nodes, root, target)
    return nodes


def emit_trees(graph: GraphBuilder, nodes: TreeNodes, features: str) -> str:
    """Raw scores of float32 `[N, features]` rows: float32 `[N, targets]`."""
    doubled = graph.cast(features, int(TensorProto.DOUBLE))
    constants = graph.constant(np.array([nodes.constants]), np.float64, hint="trees_constant")
    if not nodes.roots:
        column = graph.node("ReduceSum", [doubled, graph.constant([1], np.int64)], keepdims=1)
        nothing = graph.node("Mul", [graph.node("IsNaN", [column]), graph.constant(False, np.bool_)])
        return graph.cast(graph.node("Add", [graph.cast(nothing, int(TensorProto.DOUBLE)), constants]), _FLOAT)
    attributes: dict[str, Any] = {
        "aggregate_function": _SUM,
        "post_transform": _NO_TRANSFORM,
        "n_targets": nodes.targets,
        "tree_roots": nodes.roots,
        "nodes_featureids": nodes.features,
        "nodes_modes": _tensor("modes", TensorProto.UINT8, nodes.modes),
        "nodes_splits": _tensor("splits", TensorProto.DOUBLE, nodes.splits),
        "nodes_missing_value_tracks_true": nodes.missing_true,
        "nodes_truenodeids": nodes.true_ids,
        "nodes_trueleafs": nodes.true_leafs,
        "nodes_falsenodeids": nodes.false_ids,
        "nodes_falseleafs": nodes.false_leafs,
        "leaf_targetids": nodes.leaf_targets,
        "leaf_weights": _tensor("leaf_weights", TensorProto.DOUBLE, nodes.leaf_weights),
    }
    if nodes.members:
        attributes["membership_values"] = _tensor("members", TensorProto.DOUBLE, nodes.members)
    scores = graph.ml_node("TreeEnsemble", [doubled], hint="trees", **attributes)
    return graph.cast(graph.node("Add", [scores, constants]), _FLOAT)


_FLOAT = int(TensorProto.FLOAT)


def _add(nodes: TreeNodes, node: Mapping[str, Any], target: int) -> int:
    """Appends a split with everything below it; returns its position. Iterative: chains of splits can be deep."""
    first = len(nodes.features)
    pending = [(node, -1, True)]
    while pending:
        split, parent, is_true = pending.pop()
        place = len(nodes.features)
        if parent >= 0:
            (nodes.true_ids if is_true else nodes.false_ids)[parent] = place
        _add_split(nodes, split)
        for child, goes_true in ((split["right_child"], False), (split["left_child"], True)):
            ids, leafs = (nodes.true_ids, nodes.true_leafs) if goes_true else (nodes.false_ids, nodes.false_leafs)
            if "leaf_value" in child:
                ids[place], leafs[place] = len(nodes.leaf_weights), 1
                nodes.leaf_targets.append(target)
                nodes.leaf_weights.append(float(child["leaf_value"]))
            else:
                pending.append((child, place, goes_true))
    return first


def _add_split(nodes: TreeNodes, split: Mapping[str, Any]) -> None:
    nodes.features.append(int(split["split_feature"]))
    for ids in (nodes.true_ids, nodes.true_leafs, nodes.false_ids, nodes.false_leafs):
        ids.append(0)
    match split["decision_type"]:
        case "<=":
            threshold = float(split["threshold"])
            nodes.modes.append(_LEQ)
            nodes.splits.append(threshold)
            # Without missing values in training LightGBM reads a missing one as 0.
            follows_default = split["missing_type"] == "NaN"
            nodes.missing_true.append(int(split["default_left"] if follows_default else threshold >= 0.0))
        case "==":
            nodes.modes.append(_MEMBER)
            nodes.splits.append(0.0)
            nodes.missing_true.append(0)
            nodes.members.extend([*map(float, str(split["threshold"]).split("||")), np.nan])
        case other:
            raise ExportError(f"LightGBM's split by {other!r} is not known to the exporter")
    if split["missing_type"] == "Zero":
        raise ExportError("trees trained with zero_as_missing cannot be exported; train without it")


def _tensor(name: str, element_type: int, values: Sequence[float]) -> Any:
    return helper.make_tensor(name, element_type, [len(values)], values)
