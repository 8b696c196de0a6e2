"""A `TreeEnsemble` node (ai.onnx.ml 5) as TensorFlow operations: all trees walked down together, a level a step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from penstock.errors import ExportError

__all__ = ["tree_scores"]

_LEQ, _MEMBER = 0, 6


def tree_scores(rows: Any, attributes: Mapping[str, Any]) -> Any:
    """Sums of leaves, `[N, targets]`, of rows `[N, features]`, in the rows' type.

    A leaf becomes a node that leads to itself, so that every row takes as many steps as the deepest tree has levels.
    """
    import tensorflow as tf

    splits = _array(attributes["nodes_splits"])
    count = len(splits)
    leaves = _array(attributes["leaf_weights"])
    true_next = _next(attributes["nodes_truenodeids"], attributes["nodes_trueleafs"], count, len(leaves))
    false_next = _next(attributes["nodes_falsenodeids"], attributes["nodes_falseleafs"], count, len(leaves))
    features = np.concatenate([np.asarray(attributes["nodes_featureids"], np.int32), np.zeros(len(leaves), np.int32)])
    missing = np.concatenate(
        [np.asarray(attributes["nodes_missing_value_tracks_true"], bool), np.zeros(len(leaves), bool)]
    )
    thresholds = np.concatenate([splits, np.zeros(len(leaves))]).astype(rows.dtype.as_numpy_dtype)
    modes = np.asarray(_array(attributes["nodes_modes"]))
    is_set, table = _sets(modes, attributes, len(leaves))
    weights = np.zeros((count + len(leaves), int(attributes["n_targets"])))
    weights[count + np.arange(len(leaves)), np.asarray(attributes["leaf_targetids"])] = leaves

    roots = tf.constant(np.asarray(attributes["tree_roots"], np.int32))
    size = tf.shape(rows)[0]
    place = tf.tile(roots[None, :], [size, 1])
    for _ in range(_depth(np.asarray(attributes["tree_roots"]), true_next, false_next, count)):
        values = tf.gather(rows, tf.gather(tf.constant(features), place), axis=1, batch_dims=1)
        goes = tf.less_equal(values, tf.gather(tf.constant(thresholds), place))
        if (is_set >= 0).any():
            width = table.shape[1]
            known = tf.logical_and(values >= 0, values < width)
            # Casting NaN or a huge number is undefined.
            number = tf.cast(tf.where(known, values, tf.zeros_like(values)), tf.int32)
            flat = tf.gather(
                tf.constant(table.ravel()), tf.gather(tf.constant(np.maximum(is_set, 0)), place) * width + number
            )
            goes = tf.where(tf.gather(tf.constant(is_set >= 0), place), tf.logical_and(known, flat), goes)
        goes = tf.where(tf.math.is_nan(values), tf.gather(tf.constant(missing), place), goes)
        place = tf.where(goes, tf.gather(tf.constant(true_next), place), tf.gather(tf.constant(false_next), place))
    return tf.reduce_sum(tf.gather(tf.constant(weights.astype(rows.dtype.as_numpy_dtype)), place), axis=1)


def _array(tensor: Any) -> NDArray[Any]:
    return np.asarray(numpy_helper.to_array(tensor))


def _next(ids: Any, is_leaf: Any, count: int, leaves: int) -> NDArray[np.int32]:
    following = np.asarray(ids, np.int32) + np.where(np.asarray(is_leaf, bool), count, 0)
    return np.concatenate([following, count + np.arange(leaves)]).astype(np.int32)


def _sets(
    modes: NDArray[Any], attributes: Mapping[str, Any], leaves: int
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """For each node the row of its set in a table of members, -1 for a threshold; and the table."""
    if not np.isin(modes, (_LEQ, _MEMBER)).all():
        raise ExportError("the trees have splits of a kind that there is no translation of")
    rows = np.full(len(modes) + leaves, -1, np.int32)
    rows[: len(modes)][modes == _MEMBER] = np.arange(int((modes == _MEMBER).sum()))
    if not (modes == _MEMBER).any():
        return rows, np.zeros((1, 1), bool)
    members = _array(attributes["membership_values"])
    groups = np.split(members, np.flatnonzero(np.isnan(members)))
    sets = [group[~np.isnan(group)].astype(int) for group in groups][: int(rows.max()) + 1]
    table = np.zeros((len(sets), max(int(group.max(initial=0)) for group in sets) + 1), bool)
    for number, group in enumerate(sets):
        table[number, group[group >= 0]] = True
    return rows, table


def _depth(roots: NDArray[Any], true_next: NDArray[Any], false_next: NDArray[Any], count: int) -> int:
    level, depth = set(roots.tolist()), 0
    while level:
        following = {int(after[node]) for node in level for after in (true_next, false_next)}
        level = {node for node in following if node < count}
        depth += 1
    return depth
