"""A trained network between blocks and head."""

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.fitted_model import Body
from penstock.estimators.front import Front
from penstock.estimators.loop import Rows, TrainState
from penstock.estimators.networks import Network, variable_keys, weights_of
from penstock.estimators.programs import CompiledProgram
from penstock.export.graph import GraphBuilder

__all__ = ["NetworkBody"]

KERAS_NAME = "model.keras"
WEIGHTS_NAME = "model.weights.h5"


@dataclass(frozen=True)
class NetworkBody:
    """state: the weights at the checkpoint, as trained; answers are given with `network.finish` of them."""

    network: Network
    front: Front
    compiled: CompiledProgram
    state: TrainState
    seed: int

    def outputs(self, encoded: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return self.answer(Rows(self.front.pack(encoded)))

    def answer(self, rows: Rows) -> NDArray[np.float32]:
        """The outputs for rows that are packed already."""
        return self.compiled.loop.outputs(self._finished(), rows)

    def emit(self, graph: GraphBuilder, blocks: Mapping[str, str]) -> str:
        state = self._finished()
        weights = weights_of(self.compiled.program.model, state.trainable, state.non_trainable)
        return self.network.emit(graph, self.front, blocks, weights, outputs=self._output_count)

    def trainer_files(self) -> dict[str, bytes]:
        """`model.keras`: the network behind the blocks, as Keras saves it; else its weights, `model.weights.h5`."""
        model = self.network.build(self.front, self._output_count, seed=self.seed)
        state = self._finished()
        for variable, value in zip(model.trainable_variables, state.trainable, strict=True):
            variable.assign(value)
        for variable, value in zip(model.non_trainable_variables, state.non_trainable, strict=True):
            variable.assign(value)
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # Keras 3.15 lacks the copy keyword that NumPy 2 asks of `__array__`; it works, with a warning.
            warnings.simplefilter("ignore", DeprecationWarning)
            path = Path(folder) / KERAS_NAME
            try:
                model.save(path)
            except (NotImplementedError, TypeError):
                # A subclassed model without get_config: Keras keeps its weights, not what it is.
                path = path.with_name(WEIGHTS_NAME)
                model.save_weights(path)
            return {path.name: path.read_bytes()}

    @property
    def _output_count(self) -> int:
        return int(self.compiled.program.model.output_shape[-1])

    def _finished(self) -> TrainState:
        model = self.compiled.program.model
        weights = self.network.finish(self.front, weights_of(model, self.state.trainable, self.state.non_trainable))
        values = [weights[key] for key in variable_keys(model)]
        split = len(self.state.trainable)
        return TrainState(self.state.step, tuple(values[:split]), tuple(values[split:]), ())


def _proves_protocol(body: NetworkBody) -> Body:
    return body
