"""What every converter makes of a foreign model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.bundle.manifest import Task

__all__ = ["Converted", "Reference"]

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Reference:
    """What the source's own runtime answers: arrays by the names of the graph's inputs, and of its outputs."""

    inputs: Arrays
    outputs: Arrays
    runtime: str


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A foreign model as a graph of its own inputs and outputs.

    graph: an `onnx.ModelProto`. maker: what made the model, for people. feature_names: of the values of its one packed
    input. takes_missing: whether a value may be NaN. references: to prove the graph with; none where the source has no
    runtime but ONNX Runtime, or none is installed.
    """

    graph: Any
    maker: str
    task: Task = Task.OTHER
    classes: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    takes_missing: bool = False
    reference: Reference | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def with_graph(self, graph: Any) -> "Converted":
        return replace(self, graph=graph)


def plausible(shape: tuple[int, ...], dtype: np.dtype[Any], *, seed: int) -> NDArray[Any]:
    """Values for an input nothing is known of: small numbers of several scales, small ids, bytes, words."""
    random = np.random.default_rng(seed)
    match dtype.kind:
        case "f":
            scales = np.array([1.0, 0.1, 10.0])[np.arange(shape[0]) % 3].reshape(-1, *[1] * (len(shape) - 1))
            return np.asarray(random.standard_normal(shape) * scales, dtype=dtype)
        case "b":
            return random.random(shape) < 0.5
        case "O":
            return np.array(["a", "b", "", "hello world"], dtype=object)[random.integers(0, 4, shape)]
        case _:
            high = 256 if dtype == np.uint8 else 2
            return random.integers(0, high, shape).astype(dtype)
