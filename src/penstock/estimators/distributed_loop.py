"""Training steps on JAX over several devices and processes: rows sharded, gradients reduced once a step.

Every step sees the same rows as on one device, whoever holds them: a device computes on those of the step that lie in
its shard, and one fused reduction (over gloo between CPUs, NCCL between GPUs) adds up what all found. So the number of
workers changes nothing but the order in which floats are added.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from penstock.estimators.jax_loop import JaxLoop, apply_updates, loss_of, with_share
from penstock.estimators.loop import Array, Hyperparameters, Program, Rows, TrainLoop, TrainState

__all__ = ["DistributedJaxLoop"]

_STEPS_PER_CALL = 32
_AXIS = "shards"
_SPREAD = 6.0
"""Standard deviations that a shard's rows of a step may exceed their mean by before the step is compiled wider."""

_NARROW_SPREAD = 2.0
"""The same before a step computes on all of that width: at 4,096 rows a step over two shards, 6 deviations are 9% of
zeros to compute on, and 2 are 3%."""

_FEW_NUMBERS = 1 << 18
"""Up to here more than two processes exchange whole gradients: fewer messages weigh more than the bytes they repeat."""


@dataclass(frozen=True, eq=False)
class _Placed:
    """data: inputs, labels and weights, sharded. rows: of the table. shard_rows: that each shard has room for."""

    data: Any
    rows: int
    shard_rows: int


class DistributedJaxLoop:
    """The loop on all devices of all processes that JAX knows."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._devices = np.array(jax.devices())
        self._mesh = Mesh(self._devices, (_AXIS,))
        self._sharded = NamedSharding(self._mesh, PartitionSpec(_AXIS))
        self._everywhere = NamedSharding(self._mesh, PartitionSpec())
        self._local = JaxLoop(program)
        spec, same = PartitionSpec(_AXIS), PartitionSpec()
        self._run_steps = jax.jit(
            jax.shard_map(
                partial(_run_steps, program, self._devices[0].platform == "cpu"),
                mesh=self._mesh,
                in_specs=(same, spec, spec, same, same, same, same),
                out_specs=(same, same),
                check_vma=False,  # gradients are reduced by hand, all in one
            ),
            donate_argnums=(0,),
        )

    @property
    def shards(self) -> int:
        return len(self._devices)

    def place(self, rows: Rows) -> _Placed:
        shard_rows = -(-rows.count // self.shards)
        weights = np.ones(rows.count, np.float32) if rows.weights is None else rows.weights
        arrays = (*rows.inputs, rows.labels, weights)
        placed = [self._shard(np.asarray(array), shard_rows) for array in arrays]
        self._tell_rows(rows.count, shard_rows)
        return _Placed((tuple(placed[:-2]), placed[-2], placed[-1]), rows.count, shard_rows)

    def start(self, state: TrainState) -> Any:
        return tuple(
            [self._replicate(np.asarray(array)) for array in part]
            for part in (state.trainable, state.non_trainable, state.optimizer)
        )

    def run(
        self,
        state: Any,
        rows: _Placed,
        *,
        order: NDArray[np.int32] | None,
        learning_rates: NDArray[np.float32],
        hyperparameters: Hyperparameters,
        regularization: NDArray[np.float32] | None = None,
    ) -> tuple[Any, Any]:
        losses = []
        shares = np.ones(len(learning_rates), np.float32) if regularization is None else regularization
        for first, stop, width in self._groups(rows, order, len(learning_rates)):
            picked = None if order is None else self._picked(rows, order[first:stop], width)
            state, loss = self._run_steps(
                state,
                rows.data,
                picked,
                self._replicate(_padded(learning_rates[first:stop])),
                self._replicate(_padded(shares[first:stop])),
                self._replicate(np.int32(stop - first)),
                self._replicate(hyperparameters.array()),
            )
            losses.append(_local(loss)[: stop - first])
        return state, np.concatenate(losses)

    def fetch(self, state: Any, step: int) -> TrainState:
        trainable, non_trainable, optimizer = (tuple(_local(array) for array in part) for part in state)
        return TrainState(step, trainable, non_trainable, optimizer)

    def outputs(self, state: TrainState, rows: Rows) -> Array:
        return self._local.outputs(state, rows)

    def _groups(self, rows: _Placed, order: NDArray[np.int32] | None, count: int) -> list[tuple[int, int, int]]:
        """Calls as (first step, last step + 1, rows of a step that a shard has room for).

        The room depends on the step alone, never on how steps are grouped: that differs between processes, and all have
        to reduce the same things in the same order.
        """
        if order is None:
            return [(first, min(count, first + _STEPS_PER_CALL), 0) for first in range(0, count, _STEPS_PER_CALL)]
        usual = self._width(order.shape[1], _SPREAD)
        shards = order // rows.shard_rows
        most = np.max([np.count_nonzero(shards == shard, axis=1) for shard in range(self.shards)], axis=0)
        widths = np.where(most <= usual, usual, order.shape[1])
        groups: list[tuple[int, int, int]] = []
        for step in range(count):
            first, stop, width = groups[-1] if groups else (0, 0, -1)
            if width == widths[step] and stop - first < _STEPS_PER_CALL:
                groups[-1] = (first, step + 1, width)
            else:
                groups.append((step, step + 1, int(widths[step])))
        return groups

    def _width(self, batch_size: int, spread: float) -> int:
        """Rows of a step that a shard has room for, `spread` deviations above their mean."""
        share = 1.0 / self.shards
        wide = batch_size * share + spread * np.sqrt(batch_size * share * (1.0 - share)) + 1
        return min(batch_size, int(wide))

    def _picked(self, rows: _Placed, order: NDArray[np.int32], width: int) -> Any:
        """Positions within each shard `[shards, calls, width]`, cut where few steps reach, and how many there are."""
        positions = np.zeros((self.shards, _STEPS_PER_CALL, width), np.int32)
        counts = np.zeros((self.shards, _STEPS_PER_CALL), np.int32)
        for shard in self._shards_here():
            owned = order // rows.shard_rows == shard
            for step in range(len(order)):
                here = order[step][owned[step]] - shard * rows.shard_rows
                positions[shard, step, : len(here)] = here
                counts[shard, step] = len(here)
        narrow = self._width(order.shape[1], _NARROW_SPREAD)
        rest = self._spread(positions[..., narrow:]) if narrow < width else None
        return self._spread(positions[..., :narrow]), rest, self._spread(counts)

    def _shards_here(self) -> list[int]:
        mine = jax.process_index()
        return [shard for shard, device in enumerate(self._devices) if device.process_index == mine]

    def _shard(self, array: Array, shard_rows: int) -> Any:
        """The array cut into equal blocks of rows, the last ones filled up with zeros."""
        shape = (self.shards * shard_rows, *array.shape[1:])

        def block(index: Any) -> Array:
            first = index[0].start or 0
            part = array[first : first + shard_rows]
            return np.concatenate([part, np.zeros((shard_rows - len(part), *array.shape[1:]), array.dtype)])

        return jax.make_array_from_callback(shape, self._sharded, block)

    def _spread(self, array: Array) -> Any:
        return jax.make_array_from_callback(array.shape, self._sharded, lambda index: array[index])

    def _replicate(self, array: Any) -> Any:
        return jax.make_array_from_callback(np.shape(array), self._everywhere, lambda index: np.asarray(array)[index])

    def _tell_rows(self, count: int, shard_rows: int) -> None:
        for shard in self._shards_here():
            first, stop = min(count, shard * shard_rows), min(count, (shard + 1) * shard_rows)
            sys.stderr.write(f"shard {shard + 1} of {self.shards} trains on rows {first} to {stop} of {count}\n")


def _run_steps(
    program: Program,
    is_on_cpu: bool,
    state: Any,
    data: Any,
    picked: Any,
    learning_rates: Any,
    shares: Any,
    count: Any,
    hyperparameters: Any,
) -> tuple[Any, Any]:
    def step(index: Any, carry: Any) -> Any:
        trainable, non_trainable, optimizer, losses = carry
        non_trainable = with_share(program, non_trainable, shares[index])

        def found(inputs: Any, labels: Any, weights: Any) -> Any:
            gradient_of = jax.value_and_grad(partial(loss_of, program), has_aux=True)
            (_, (loss, moved)), gradients = gradient_of(
                trainable, non_trainable, inputs, labels, weights, hyperparameters
            )
            return gradients, loss, moved, jnp.sum(weights)

        gradients, loss, moved = _reduced(*_on_own_rows(found, data, picked, index), is_on_cpu=is_on_cpu)
        trainable, optimizer = apply_updates(
            program, trainable, optimizer, gradients, learning_rates[index], hyperparameters[0] * shares[index]
        )
        return trainable, moved, optimizer, losses.at[index].set(loss)

    losses = jnp.zeros(learning_rates.shape[0], jnp.float32)
    *state, losses = jax.lax.fori_loop(0, count, step, (*state, losses))
    return tuple(state), losses


def _on_own_rows(found: Callable[[Any, Any, Any], Any], data: Any, picked: Any, index: Any) -> Any:
    """What is found on this shard's rows of a step; on no wider a stretch of positions than it needs."""
    if picked is None:
        return found(*data)
    first, rest, counts = picked[0][0], picked[1], picked[2][0]

    def on(positions: Any) -> Any:
        inputs, labels, weights = data
        is_there = jnp.arange(len(positions)) < counts[index]
        return found(tuple(array[positions] for array in inputs), labels[positions], weights[positions] * is_there)

    if rest is None:
        return on(first[index])
    return jax.lax.cond(
        counts[index] <= first.shape[-1],
        lambda: on(first[index]),
        lambda: on(jnp.concatenate([first[index], rest[0, index]])),
    )


def _reduced(gradients: Any, loss: Any, moved: Any, weight: Any, *, is_on_cpu: bool) -> Any:
    """Averages over all shards by the weight of their rows, in a single reduction."""
    floats = [array for array in moved if jnp.issubdtype(array.dtype, jnp.floating)]
    flat, restore = ravel_pytree((gradients, loss, floats))
    sums = _summed(jnp.concatenate([flat * weight, weight[None]]), is_on_cpu=is_on_cpu)
    gradients, loss, averaged = restore(sums[:-1] / jnp.maximum(sums[-1], 1e-12))
    rest = iter(averaged)
    moved = [next(rest) if jnp.issubdtype(array.dtype, jnp.floating) else array for array in moved]
    return gradients, loss, moved


def _summed(vector: Any, *, is_on_cpu: bool) -> Any:
    """The sum over all shards, the same bits in each: as long as partners add the same two sums, order is no matter.

    gloo's own all-reduce passes ten messages one after the other, and a core that slept wakes up for each: 4 ms for
    68,000 numbers of two processes, where one exchange takes 0.3.
    """
    size = jax.lax.axis_size(_AXIS)
    is_cheaper = size == 2 or (size & (size - 1) == 0 and vector.size <= _FEW_NUMBERS)
    if not (is_on_cpu and is_cheaper):
        return jax.lax.psum(vector, _AXIS)
    distance = 1
    while distance < size:
        vector += jax.lax.ppermute(vector, _AXIS, [(shard, shard ^ distance) for shard in range(size)])
        distance *= 2
    return vector


def _local(array: Any) -> Array:
    return np.array(array.addressable_data(0))


def _padded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.concatenate([values, np.zeros(_STEPS_PER_CALL - len(values), values.dtype)])


def _proves_protocol(loop: DistributedJaxLoop) -> TrainLoop:
    return loop
