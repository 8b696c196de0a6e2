"""Linear models, and wide & deep ones: a weight a value and id, beside a deep network or alone.

Wide & deep after Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016): both parts' outputs are added and
trained together, each by its own optimizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.backend import keras
from penstock.estimators.front import Front, Part, emit_lookup
from penstock.estimators.layers import Bias
from penstock.estimators.networks import DNNNetwork, Network, Weights, neutralize
from penstock.export.graph import GraphBuilder
from penstock.features.block import Block

__all__ = ["LinearNetwork", "WideDeepNetwork"]

WIDE = "wide"


@dataclass(frozen=True)
class LinearNetwork:
    """A weighted sum: of dense values, and of a weight for each id."""

    @property
    def writes_own_graph(self) -> bool:
        return True

    @property
    def key(self) -> str:
        return "linear"

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        return keras.Model(inputs, _wide_answer(front, inputs, front.blocks, outputs), name="linear_model")

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        return _emit_wide(graph, front, front.blocks, tensors, weights)

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        return _finish_wide(front, front.blocks, weights)


@dataclass(frozen=True)
class WideDeepNetwork:
    """wide, deep: names of the blocks that each part reads. network: the deep part."""

    wide: tuple[str, ...]
    deep: tuple[str, ...]
    network: DNNNetwork

    @property
    def writes_own_graph(self) -> bool:
        return True

    @property
    def key(self) -> str:
        return f"wide {self.wide} deep {self.deep} {self.network.key}"

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        answers = []
        if self.wide:
            answers.append(_wide_answer(front, inputs, self._blocks(front, self.wide), outputs))
        if self.deep:
            answers.append(self.network.answer(front, inputs, self._parts(front), outputs, seed=seed))
        answer = answers[0] if len(answers) == 1 else keras.layers.Add(name="wide_and_deep")(answers)
        return keras.Model(inputs, answer, name="wide_deep_model")

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        answers = []
        if self.wide:
            answers.append(_emit_wide(graph, front, self._blocks(front, self.wide), tensors, weights))
        if self.deep:
            answers.append(self.network.emit_answer(graph, front, self._parts(front), tensors, weights))
        return answers[0] if len(answers) == 1 else graph.node("Add", answers, hint="wide_and_deep")

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        result = dict(weights)
        if self.wide:
            result = _finish_wide(front, self._blocks(front, self.wide), result)
        return neutralize(front, self._parts(front), result, "hidden_1") if self.deep else result

    @staticmethod
    def is_wide(path: str) -> bool:
        """Whether a variable belongs to the wide part."""
        return path.startswith(WIDE)

    def _blocks(self, front: Front, names: Sequence[str]) -> tuple[Block, ...]:
        return tuple(block for block in front.blocks if block.name in names)

    def _parts(self, front: Front) -> tuple[Part, ...]:
        """Those of the deep part. Scaled values are read block by block where some of them are wide only."""
        scaled = {block.name for block in front.scaled}
        if scaled <= set(self.deep):
            return tuple(part for part in front.parts if part.block is None or part.block.name in self.deep)
        rest = [part for part in front.parts if part.block is not None and part.block.name in self.deep]
        return (*front.dense_parts([name for name in self.deep if name in scaled]), *rest)


def _wide_answer(front: Front, inputs: Sequence[Any], blocks: Sequence[Block], outputs: int) -> Any:
    terms = []
    dense = front.dense_parts([block.name for block in blocks])
    if dense:
        layer = keras.layers.Dense(outputs, use_bias=False, kernel_initializer="zeros", name=WIDE)
        terms.append(layer(front.read(inputs, dense, seed=0)))
    for block in blocks:
        if block.kind == "ids":
            name = f"{WIDE}_{front.layer_name(block)}"
            table = keras.layers.Embedding(block.num_buckets, outputs, embeddings_initializer="zeros", name=name)
            terms.append(keras.layers.Flatten()(table(front.pick_id(inputs, block))))
    total = terms[0] if len(terms) == 1 else keras.layers.Add()(terms)
    return Bias(name=f"{WIDE}_bias")(total)


def _emit_wide(
    graph: GraphBuilder, front: Front, blocks: Sequence[Block], tensors: Mapping[str, str], weights: Weights
) -> str:
    terms = []
    parts = front.dense_parts([block.name for block in blocks])
    if parts:
        dense = front.emit_dense(graph, tensors)
        read = [front.emit_part(graph, part, dense, tensors, weights) for part in parts]
        joined = read[0] if len(read) == 1 else graph.node("Concat", read, axis=1)
        kernel = graph.constant(np.asarray(weights[f"{WIDE}/kernel"], np.float32), hint=f"{WIDE}_kernel")
        terms.append(graph.node("MatMul", [joined, kernel], hint=f"{WIDE}_matmul"))
    for block in blocks:
        if block.kind == "ids":
            rows = weights[f"{WIDE}_{front.layer_name(block)}/embeddings"]
            terms.append(emit_lookup(graph, tensors[block.name], rows, hint=f"{WIDE}_{block.name}"))
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", [total, term])
    bias = graph.constant(np.asarray(weights[f"{WIDE}_bias/bias"], np.float32), hint=f"{WIDE}_bias")
    return graph.node("Add", [total, bias], hint=WIDE)


def _finish_wide(front: Front, blocks: Sequence[Block], weights: Weights) -> dict[str, NDArray[Any]]:
    """An id that was never seen has the mean weight of those that were."""
    result = {key: np.array(value) for key, value in weights.items()}
    for block in blocks:
        if block.kind == "ids" and block.unseen and len(block.unseen) < (block.num_buckets or 0):
            table = result[f"{WIDE}_{front.layer_name(block)}/embeddings"]
            seen = np.setdiff1d(np.arange(block.num_buckets or 0), np.asarray(block.unseen))
            table[np.asarray(block.unseen)] = table[seen].mean(axis=0)
    return result


def _proves_protocol(linear: LinearNetwork, both: WideDeepNetwork) -> tuple[Network, Network]:
    return linear, both
