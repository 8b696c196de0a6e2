"""The seam of the training loop: what is optimized, the state that steps change, and who runs the steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.estimators.backend import value_of

__all__ = ["Hyperparameters", "Program", "Rows", "TrainLoop", "TrainState", "Updates"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Rows:
    """Encoded rows: what the network reads, what it should answer, and how much each row counts.

    inputs: arrays `[rows, …]`, in the order of the network's inputs.
    labels: `[rows, outputs]` float32, or `[rows]` int32 class ids; None where only answers are wanted.
    weights: `[rows]` float32; None for all alike.
    """

    inputs: tuple[Array, ...]
    labels: Array | None = None
    weights: Array | None = None

    @property
    def count(self) -> int:
        return len(self.inputs[0])

    def take(self, index: Array | slice) -> "Rows":
        def pick(array: Array | None) -> Array | None:
            return None if array is None else array[index]

        return Rows(tuple(array[index] for array in self.inputs), pick(self.labels), pick(self.weights))


@dataclass(frozen=True)
class TrainState:
    """Everything that a step changes, as plain arrays in the order of the program's variables."""

    step: int
    trainable: tuple[Array, ...]
    non_trainable: tuple[Array, ...]
    optimizer: tuple[Array, ...]

    def at(self, step: int) -> "TrainState":
        return replace(self, step=step)


@dataclass(frozen=True)
class Hyperparameters:
    """Numbers that a step takes as arguments: changing them compiles nothing anew."""

    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0

    def array(self) -> NDArray[np.float32]:
        return np.array([self.weight_decay, self.l1, self.l2], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Updates:
    """An optimizer and the positions of the trainable variables that it moves. scale: of the step's learning rate."""

    optimizer: Any
    positions: tuple[int, ...]
    follows_schedule: bool = True
    scale: float = 1.0


@dataclass(frozen=True, eq=False)
class Program:
    """What is optimized.

    model: Keras model of the inputs of `Rows`.
    updates: optimizers, each with the variables that it moves.
    loss: of outputs, labels and weights (or None) to one number, in `keras.ops`.
    decayed: positions of the trainable variables that weight decay and l1/l2 act on. decay_scales: what a position's
    weight decay is multiplied with, where that is not 1.
    scheduled: positions of the non-trainable variables that hold the share of regularization of the step.
    has_decay, has_penalty: whether the step contains them at all.
    """

    model: Any
    updates: tuple[Updates, ...]
    loss: Callable[[Any, Any, Any], Any]
    decayed: tuple[int, ...]
    has_decay: bool
    has_penalty: bool
    decay_scales: Mapping[int, float] = field(default_factory=dict)
    scheduled: tuple[int, ...] = ()

    def state(self) -> TrainState:
        """The values that the model's and optimizers' variables have now, at step 0."""

        def values(variables: Sequence[Any]) -> tuple[Array, ...]:
            return tuple(value_of(variable) for variable in variables)

        return TrainState(
            step=0,
            trainable=values(self.model.trainable_variables),
            non_trainable=values(self.model.non_trainable_variables),
            optimizer=values([v for update in self.updates for v in update.optimizer.variables]),
        )


class TrainLoop(Protocol):
    """Runs steps of one program. Rows and state are kept where the computing is done until they are fetched."""

    def place(self, rows: Rows) -> Any:
        """The rows, brought to the device."""

    def start(self, state: TrainState) -> Any:
        """The state, brought to the device."""

    def run(
        self,
        state: Any,
        rows: Any,
        *,
        order: NDArray[np.int32] | None,
        learning_rates: NDArray[np.float32],
        hyperparameters: Hyperparameters,
        regularization: NDArray[np.float32] | None = None,
    ) -> tuple[Any, Any]:
        """The state after as many steps as there are learning rates, and the loss of each step.

        regularization: share of weight decay and scheduled dropout of each step; None for all of it.
        order: row positions `[steps, batch]`; None: every step sees all rows. The result does not depend on how steps
        are grouped into calls. The losses may still be being computed: convert them with `np.asarray`.
        """

    def fetch(self, state: Any, step: int) -> TrainState:
        """The state as plain arrays."""

    def outputs(self, state: TrainState, rows: Rows) -> Array:
        """The network's answers for all rows, `[rows, outputs]` float32, without dropout."""
