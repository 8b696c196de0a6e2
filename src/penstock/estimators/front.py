"""The front of a network: encoded blocks to one row of numbers, as `DenseFeatures` made of feature columns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import UsageError
from penstock.estimators.backend import keras
from penstock.estimators.layers import OneHot, Pick
from penstock.estimators.normalization import QuantileNormalizer, fit_quantiles
from penstock.export.graph import GraphBuilder
from penstock.features.block import Block

__all__ = ["Front", "fit_front"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True)
class Front:
    """How blocks reach a network: all dense ones side by side in one array, all ids in another.

    blocks: in the order of the columns. normalizer: of the dense values; None leaves them as they are.
    """

    blocks: tuple[Block, ...]
    normalizer: QuantileNormalizer | None = None

    @cached_property
    def dense(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.kind == "dense")

    @cached_property
    def ids(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.kind == "ids")

    @property
    def dense_width(self) -> int:
        return sum(block.width for block in self.dense)

    def pack(self, encoded: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Encoded blocks as the network's inputs: float32 `[rows, dense_width]` and int32 `[rows, ids]`,
        each if any.
        """
        inputs: list[NDArray[Any]] = []
        if self.dense:
            values = _side_by_side([encoded[block.name] for block in self.dense])
            inputs.append(self.normalizer.apply(values) if self.normalizer else values)
        if self.ids:
            inputs.append(_side_by_side([encoded[block.name] for block in self.ids]))
        return tuple(inputs)

    def inputs(self) -> list[Any]:
        """Keras inputs of that shape."""
        result = []
        if self.dense:
            result.append(keras.Input((self.dense_width,), dtype="float32", name="dense"))
        if self.ids:
            result.append(keras.Input((len(self.ids),), dtype="int32", name="ids"))
        return result

    def parts(self, inputs: Sequence[Any], *, seed: int) -> list[Any]:
        """Keras tensors, side by side the row that a network reads; `emit_parts` writes the same in the same order."""
        parts = []
        if self.dense:
            parts.append(inputs[0])
        for position, block in enumerate(self.ids):
            name = self.layer_name(block)
            one = Pick(position, position + 1, name=f"{name}_id")(inputs[-1])
            if block.representation == "embedding":
                spread = keras.initializers.RandomNormal(stddev=(block.dimension or 1) ** -0.5, seed=seed + position)
                table = keras.layers.Embedding(
                    block.num_buckets, block.dimension, embeddings_initializer=spread, name=f"{name}_table"
                )
                parts.append(keras.layers.Flatten(name=f"{name}_vector")(table(one)))
            else:
                parts.append(OneHot(block.num_buckets or 0, name=f"{name}_onehot")(one))
        return parts

    def emit_dense(self, graph: GraphBuilder, tensors: Mapping[str, str]) -> str:
        """The dense blocks side by side, normalized: float32 `[N, dense_width]`."""
        names = [tensors[block.name] for block in self.dense]
        values = names[0] if len(names) == 1 else graph.node("Concat", names, axis=1, hint="dense")
        return self.normalizer.emit(graph, values) if self.normalizer else values

    def emit_parts(
        self, graph: GraphBuilder, tensors: Mapping[str, str], weights: Mapping[str, NDArray[Any]]
    ) -> list[str]:
        """The same parts as nodes of a graph, each float32 `[N, width]`."""
        parts = [self.emit_dense(graph, tensors)] if self.dense else []
        for block in self.ids:
            if block.representation == "embedding":
                values = weights[f"{self.layer_name(block)}_table/embeddings"]
            else:
                assert block.num_buckets is not None
                values = np.eye(block.num_buckets, dtype=np.float32)
            table = graph.constant(values, hint=f"{block.name}_table")
            flat = graph.node("Reshape", [tensors[block.name], graph.constant([-1], np.int64)])
            parts.append(graph.node("Gather", [table, flat], axis=0, hint=f"{block.name}_vector"))
        return parts

    def layer_name(self, block: Block) -> str:
        """What the block's Keras layers are called: unique, and of characters that every backend allows."""
        return f"column_{self.blocks.index(block)}_{_UNSAFE.sub('_', block.name)}"

    def widths(self) -> list[tuple[Block | None, int]]:
        """Each part's block (None for all dense values together) and width."""
        result: list[tuple[Block | None, int]] = [(None, self.dense_width)] if self.dense else []
        for block in self.ids:
            width = block.dimension if block.representation == "embedding" else block.num_buckets
            assert width is not None
            result.append((block, width))
        return result


def fit_front(blocks: Sequence[Block], encoded: Mapping[str, NDArray[Any]], *, normalize: bool, seed: int) -> Front:
    """The front of these blocks; with `normalize`, its maps fitted to the encoded training rows."""
    for block in blocks:
        if block.kind == "dense" and block.representation == "embedding":
            raise UsageError(
                f"feature column {block.name!r} is embedded many values a row, which this estimator cannot"
            )
    front = Front(tuple(blocks))
    if not (normalize and front.dense):
        return front
    values = _side_by_side([encoded[block.name] for block in front.dense])
    return Front(front.blocks, fit_quantiles(values, seed=seed))


def _side_by_side(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1))
