"""The front of a network: encoded blocks to one row of numbers, as `DenseFeatures` made of feature columns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.backend import keras
from penstock.estimators.initializers import Normal
from penstock.estimators.layers import OneHot, Pick
from penstock.estimators.normalization import Normalization, Normalizer, fit_normalizer
from penstock.export.graph import GraphBuilder
from penstock.features.block import Block

__all__ = ["Front", "Part", "fit_front"]

_UNSAFE = re.compile(r"[^A-Za-z0-9_]")


@dataclass(frozen=True)
class Part:
    """What a network reads of one block, or of all scaled dense ones together (block None).

    kind: "dense", values as they are; "projected", dense values times a trained matrix; "onehot" and "embedded", of an
    id. start: of its values among the dense ones, or the position of its id. width: of what the network reads.
    """

    kind: Literal["dense", "projected", "onehot", "embedded"]
    block: Block | None
    start: int
    width: int


@dataclass(frozen=True)
class Front:
    """How blocks reach a network: all dense ones side by side in one array, all ids in another.

    blocks: in the order of the columns. normalizer: of the dense values that have a scale of their own; None leaves
    them as they are.
    """

    blocks: tuple[Block, ...]
    normalizer: Normalizer | None = None

    @cached_property
    def scaled(self) -> tuple[Block, ...]:
        """Dense blocks whose values a network may rescale."""
        return tuple(block for block in self.blocks if block.kind == "dense" and block.representation is None)

    @cached_property
    def dense(self) -> tuple[Block, ...]:
        """All dense blocks in the order of their values: scaled ones, presences and counts, projected ones."""
        rest = [block for block in self.blocks if block.kind == "dense" and block.representation is not None]
        projected = [block for block in rest if block.representation == "embedding"]
        return (*self.scaled, *[block for block in rest if block not in projected], *projected)

    @cached_property
    def ids(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.kind == "ids")

    @property
    def dense_width(self) -> int:
        return sum(block.width for block in self.dense)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """In the order in which a network reads them, side by side."""
        start = sum(block.width for block in self.scaled)
        parts = [Part("dense", None, 0, start)] if start else []
        for block in self.dense[len(self.scaled) :]:
            if block.representation == "embedding":
                parts.append(Part("projected", block, start, block.dimension or 0))
            else:
                parts.append(Part("dense", block, start, block.width))
            start += block.width
        for position, block in enumerate(self.ids):
            if block.representation == "embedding":
                parts.append(Part("embedded", block, position, block.dimension or 0))
            else:
                parts.append(Part("onehot", block, position, block.num_buckets or 0))
        return tuple(parts)

    @property
    def split(self) -> tuple[Part | None, tuple[Part, ...]]:
        """The numbers on a scale of their own, which a network may embed, and everything else."""
        if self.parts and self.parts[0].block is None:
            return self.parts[0], self.parts[1:]
        return None, self.parts

    def pack(self, encoded: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """Encoded blocks as the network's inputs: float32 `[rows, dense_width]` and int32 `[rows, ids]`, if any."""
        inputs: list[NDArray[Any]] = []
        if self.dense:
            values = _side_by_side([encoded[block.name] for block in self.dense])
            if self.normalizer:
                width = sum(block.width for block in self.scaled)
                values = np.concatenate([self.normalizer.apply(values[:, :width]), values[:, width:]], axis=1)
            inputs.append(values)
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

    def read(self, inputs: Sequence[Any], parts: Iterable[Part], *, seed: int) -> Any:
        """A Keras tensor of these parts side by side."""
        tensors = [self._read_part(inputs, part, seed) for part in parts]
        return tensors[0] if len(tensors) == 1 else keras.layers.Concatenate(name="features")(tensors)

    def dense_parts(self, names: Iterable[str]) -> list[Part]:
        """The dense blocks of these names as parts, projected ones as their plain values."""
        if {block.name for block in self.dense} <= set(names):
            return [Part("dense", None, 0, self.dense_width)] if self.dense else []
        parts, start = [], 0
        for block in self.dense:
            if block.name in names:
                parts.append(Part("dense", block, start, block.width))
            start += block.width
        return parts

    def pick_id(self, inputs: Sequence[Any], block: Block) -> Any:
        """A Keras tensor `[rows, 1]` of one block's ids."""
        position = self.ids.index(block)
        return Pick(position, position + 1)(inputs[-1])

    def emit_dense(self, graph: GraphBuilder, tensors: Mapping[str, str]) -> str:
        """All dense blocks side by side, normalized: float32 `[N, dense_width]`."""
        rest = [tensors[block.name] for block in self.dense[len(self.scaled) :]]
        scaled = [tensors[block.name] for block in self.scaled]
        if self.normalizer and scaled:
            scaled = [self.normalizer.emit(graph, _concat(graph, scaled, hint="numbers"))]
        return _concat(graph, [*scaled, *rest], hint="dense")

    def emit_part(
        self, graph: GraphBuilder, part: Part, dense: str | None, tensors: Mapping[str, str], weights: Mapping[str, Any]
    ) -> str:
        """One part as nodes of a graph, float32 `[N, width]`. dense: what `emit_dense` returned."""
        if part.kind == "dense":
            assert dense is not None
            whole = part.width == self.dense_width
            return dense if whole else emit_slice(graph, dense, part.start, part.start + part.width)
        assert part.block is not None
        name = self.layer_name(part.block)
        match part.kind:
            case "projected":
                assert dense is not None
                values = emit_slice(graph, dense, part.start, part.start + part.block.width)
                matrix = graph.constant(np.asarray(weights[f"{name}_table/kernel"], np.float32), hint=f"{name}_table")
                return graph.node("MatMul", [values, matrix], hint=f"{part.block.name}_vector")
            case "embedded":
                rows = weights[f"{name}_table/embeddings"]
            case _:
                rows = np.eye(part.width, dtype=np.float32)
        return emit_lookup(graph, tensors[part.block.name], rows, hint=f"{part.block.name}_vector")

    def layer_name(self, block: Block) -> str:
        """What the block's Keras layers are called: unique, and of characters that every backend allows."""
        return f"column_{self.blocks.index(block)}_{_UNSAFE.sub('_', block.name)}"

    def _read_part(self, inputs: Sequence[Any], part: Part, seed: int) -> Any:
        if part.kind == "dense":
            whole = part.width == self.dense_width
            return inputs[0] if whole else Pick(part.start, part.start + part.width)(inputs[0])
        block = part.block
        assert block is not None
        name = self.layer_name(block)
        spread = Normal(part.width**-0.5, seed + part.start)
        match part.kind:
            case "projected":
                values = Pick(part.start, part.start + block.width)(inputs[0])
                return keras.layers.Dense(part.width, use_bias=False, kernel_initializer=spread, name=f"{name}_table")(
                    values
                )
            case "embedded":
                table = keras.layers.Embedding(
                    block.num_buckets, part.width, embeddings_initializer=spread, name=f"{name}_table"
                )
                return keras.layers.Flatten(name=f"{name}_vector")(table(self.pick_id(inputs, block)))
            case _:
                return OneHot(part.width, name=f"{name}_onehot")(self.pick_id(inputs, block))


def fit_front(
    blocks: Sequence[Block], encoded: Mapping[str, NDArray[Any]], *, normalization: Normalization | None, seed: int
) -> Front:
    """The front of these blocks, its normalizer fitted to the encoded training rows."""
    front = Front(tuple(blocks))
    if normalization is None or not front.scaled:
        return front
    values = _side_by_side([encoded[block.name] for block in front.scaled])
    return Front(front.blocks, fit_normalizer(normalization, values, seed=seed))


def emit_lookup(graph: GraphBuilder, ids: str, rows: NDArray[Any], *, hint: str) -> str:
    """The row of a table for each id: int64 `[N, 1]` to float32 `[N, width]`."""
    table = graph.constant(np.ascontiguousarray(rows, np.float32), hint=f"{hint}_table")
    flat = graph.node("Reshape", [ids, graph.constant([-1], np.int64)])
    return graph.node("Gather", [table, flat], axis=0, hint=hint)


def emit_slice(graph: GraphBuilder, tensor: str, start: int, stop: int) -> str:
    """Columns `start` to `stop` of `[N, width]`."""
    bounds = [graph.constant([number], np.int64) for number in (start, stop, 1)]
    return graph.node("Slice", [tensor, *bounds])


def _concat(graph: GraphBuilder, names: Sequence[str], *, hint: str) -> str:
    return names[0] if len(names) == 1 else graph.node("Concat", names, axis=1, hint=hint)


def _side_by_side(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1))
