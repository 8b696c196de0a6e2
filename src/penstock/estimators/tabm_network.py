"""The network of TabM: an ensemble of perceptrons that share their kernels and are trained side by side.

Source: Gorishniy, Kotelnikov, Babenko, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient Ensembling"
(ICLR 2025), with piecewise-linear embeddings of numbers (TabM†).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError
from penstock.estimators.activations import emit_activation
from penstock.estimators.backend import keras
from penstock.estimators.front import Front
from penstock.estimators.layers import AdjustableDropout
from penstock.estimators.networks import Network, Weights, neutralize
from penstock.estimators.tabular_layers import (
    Combination,
    Combine,
    EnsembleDense,
    MemberDense,
    PiecewiseEmbedding,
    bin_edges,
)
from penstock.export.graph import GraphBuilder

__all__ = ["TabMNetwork"]


@dataclass(frozen=True)
class TabMNetwork:
    """members: of the ensemble. hidden_units: sizes of the hidden layers of each. combination: of their answers.

    bins, dimension: of the numbers' embedding.
    """

    members: int
    hidden_units: tuple[int, ...]
    dropout: float
    combination: Combination
    bins: int = 48
    dimension: int = 16

    def __post_init__(self) -> None:
        if not self.hidden_units or any(units < 1 for units in self.hidden_units):
            raise ConfigError(
                f"hidden_units is {list(self.hidden_units)}; expected sizes of at least 1, such as [256, 256]"
            )
        for name in ("members", "bins", "dimension"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}; expected a share of at least 0 and below 1")

    @property
    def writes_own_graph(self) -> bool:
        return True

    @property
    def key(self) -> str:
        drops = "dropout" if self.dropout else "no dropout"
        sizes = (self.members, self.hidden_units, self.bins, self.dimension)
        return f"tabm {sizes} {self.combination} {drops}"

    @staticmethod
    def decay_of(path: str) -> float:
        """A variable's factor of the weight decay: only kernels have one."""
        return 1.0 if path.endswith("/kernel") else 0.0

    def build(self, front: Front, outputs: int, *, seed: int) -> Any:
        inputs = front.inputs()
        read, sections = [], []
        numbers, rest = front.split
        if numbers is not None:
            embedding = PiecewiseEmbedding(bins=self.bins, dimension=self.dimension, seed=seed, name="numbers")
            read.append(embedding(front.read(inputs, [numbers], seed=seed)))
            sections += [self.dimension] * numbers.width
        if rest:
            read.append(front.read(inputs, rest, seed=seed))
            sections += [part.width for part in rest]
        hidden = read[0] if len(read) == 1 else keras.layers.Concatenate(name="embedded")(read)
        for number, units in enumerate(self.hidden_units, 1):
            first = sections if number == 1 else None
            layer = EnsembleDense(
                units, members=self.members, sections=first, seed=seed + number, name=f"hidden_{number}"
            )
            hidden = keras.layers.Activation("relu", name=f"hidden_{number}_relu")(layer(hidden))
            if self.dropout:
                hidden = AdjustableDropout(self.dropout, seed=seed + number, name=f"drop_{number}")(hidden)
        answers = MemberDense(outputs, seed=seed, name="logits")(hidden)
        return keras.Model(inputs, Combine(self.combination, name="combined")(answers), name="tabm")

    def emit(
        self, graph: GraphBuilder, front: Front, tensors: Mapping[str, str], weights: Weights, *, outputs: int
    ) -> str:
        numbers, rest = front.split
        reads_dense = numbers is not None or any(part.kind in ("dense", "projected") for part in rest)
        dense = front.emit_dense(graph, tensors) if reads_dense else None
        read = []
        if numbers is not None:
            values = front.emit_part(graph, numbers, dense, tensors, weights)
            read.append(self._emit_embedding(graph, values, weights))
        read += [front.emit_part(graph, part, dense, tensors, weights) for part in rest]
        joined = read[0] if len(read) == 1 else graph.node("Concat", read, axis=1, hint="embedded")
        hidden = graph.node("Unsqueeze", [joined, graph.constant([1], np.int64)])
        for number in range(1, len(self.hidden_units) + 1):
            layer = f"hidden_{number}"
            scaled = graph.node("Mul", [hidden, _constant(graph, weights, f"{layer}/input_scale")])
            reached = graph.node("MatMul", [scaled, _constant(graph, weights, f"{layer}/kernel")])
            reached = graph.node("Mul", [reached, _constant(graph, weights, f"{layer}/output_scale")])
            shifted = graph.node("Add", [reached, _constant(graph, weights, f"{layer}/bias")], hint=layer)
            hidden = emit_activation(graph, shifted, "relu", hint=f"{layer}_relu")
        by_member = graph.node("Transpose", [hidden], perm=[1, 0, 2])
        answers = graph.node("MatMul", [by_member, _constant(graph, weights, "logits/kernel")])
        by_row = graph.node("Transpose", [answers], perm=[1, 0, 2])
        return self._emit_combined(
            graph, graph.node("Add", [by_row, _constant(graph, weights, "logits/bias")]), is_binary=outputs == 1
        )

    def finish(self, front: Front, weights: Weights) -> dict[str, NDArray[Any]]:
        numbers, rest = front.split
        start = 0 if numbers is None else numbers.width * self.dimension
        # A member's factors for an id never seen are the mean of those of the ids that were, as the kernel's rows are.
        factors = {"factors/kernel": np.array(weights["hidden_1/input_scale"]).T}
        neutral = neutralize(front, rest, {**weights, **factors}, "factors", start=start)
        scale = neutral.pop("factors/kernel").T
        own = {name: np.array(value) for name, value in weights.items()}
        result = neutralize(front, rest, own, "hidden_1", start=start)
        return {**result, "hidden_1/input_scale": np.ascontiguousarray(scale)}

    def _emit_embedding(self, graph: GraphBuilder, numbers: str, weights: Weights) -> str:
        edges = bin_edges(self.bins)
        wide = graph.node("Unsqueeze", [numbers, graph.constant([2], np.int64)])
        beyond = graph.node("Sub", [wide, graph.constant(edges[:-1], hint="edges")])
        passed = graph.node("Div", [beyond, graph.constant(np.diff(edges), hint="bin_widths")])
        bounds = [graph.constant(0.0, np.float32), graph.constant(1.0, np.float32)]
        shares = graph.node("Transpose", [graph.node("Clip", [passed, *bounds])], perm=[1, 0, 2])
        bent = graph.node("MatMul", [shares, _constant(graph, weights, "numbers/knots")])
        bent = graph.node("Transpose", [bent], perm=[1, 0, 2])
        line = graph.node("Mul", [wide, _constant(graph, weights, "numbers/slope")])
        line = graph.node("Add", [line, _constant(graph, weights, "numbers/shift")])
        width = weights["numbers/slope"].size
        return graph.node("Reshape", [graph.node("Add", [line, bent]), graph.constant([-1, width], np.int64)])

    def _emit_combined(self, graph: GraphBuilder, answers: str, *, is_binary: bool) -> str:
        """float32 `[N, members, outputs]` to `[N, outputs]`, as `Combine` does."""
        axes = graph.constant([1], np.int64)

        def mean(tensor: str) -> str:
            return graph.node("ReduceMean", [tensor, axes], keepdims=0)

        if self.combination == "mean":
            return mean(answers)
        limit = Combine.LARGEST_LOGIT
        bounds = [graph.constant(-limit, np.float32), graph.constant(limit, np.float32)]
        if self.combination == "exponential":
            return graph.node("Log", [mean(graph.node("Exp", [graph.node("Clip", [answers, *bounds])]))])
        if is_binary:
            bounded = graph.node("Clip", [answers, *bounds])
            one = graph.constant(1.0, np.float32)
            logs = []
            # Not the Sigmoid operator: ONNX Runtime's is flat beyond ±18.
            for raised in (graph.node("Exp", [graph.node("Neg", [bounded])]), graph.node("Exp", [bounded])):
                chance = graph.node("Reciprocal", [graph.node("Add", [raised, one])])
                logs.append(graph.node("Log", [mean(chance)]))
            return graph.node("Sub", logs, hint="logits")
        chances = mean(graph.node("Softmax", [answers], axis=2))
        return graph.node("Log", [graph.node("Max", [chances, graph.constant(Combine.LEAST_CHANCE, np.float32)])])


def _constant(graph: GraphBuilder, weights: Weights, key: str) -> str:
    return graph.constant(np.ascontiguousarray(weights[key], np.float32), hint=key.replace("/", "_"))


def _proves_protocol(network: TabMNetwork) -> Network:
    return network
