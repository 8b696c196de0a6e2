"""This process's place among those that train one model together: the chief, its workers, and who has nothing to do.

A canned estimator needs no change to be trained by many: every process runs the same program on the same input. The
chief keeps checkpoints, summaries, evaluations and exports; a worker does the same steps and keeps nothing.
"""

import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import numpy as np

from penstock.errors import PreconditionError
from penstock.estimators.checkpoints import Checkpoint
from penstock.settings import load_task_variables

__all__ = ["Ring", "join_ring"]

_PATIENCE_S = 24 * 3600
"""How long workers wait while the chief evaluates and exports."""


@dataclass(frozen=True)
class Ring:
    """Those that train together. rank: this process's, 0 for the chief. size: how many they are."""

    rank: int = 0
    size: int = 1
    _moments: Iterator[int] = field(default_factory=count, repr=False, compare=False)

    @property
    def is_alone(self) -> bool:
        return self.size == 1

    @property
    def is_worker(self) -> bool:
        return self.rank > 0

    def own_folder(self) -> str | None:
        """Where a worker's estimator keeps what nobody will read; None for the chief, which keeps the real ones."""
        return tempfile.mkdtemp(prefix=f"penstock-worker-{self.rank}-") if self.is_worker else None

    def chiefs_checkpoint(self, load: Callable[[], Checkpoint | None]) -> Checkpoint | None:
        """The checkpoint that the chief loads, in every process."""
        if self.is_alone:
            return load()
        mine = None if self.is_worker else load()
        self.wait_for_all()
        packed = _chiefs_bytes(b"" if mine is None else _pack(mine))
        return None if packed is None else _unpack(packed)

    def chiefs_metrics(self, metrics: dict[str, float]) -> dict[str, float]:
        """What the chief has measured, in every process, once it has; `metrics` are its own and nothing elsewhere."""
        if self.is_alone:
            return metrics
        from jax._src.distributed import global_state

        name = f"penstock-metrics-{next(self._moments)}"
        if not self.is_worker:
            global_state.client.key_value_set(name, json.dumps(metrics))
            return metrics
        told: dict[str, float] = json.loads(global_state.client.blocking_key_value_get(name, _PATIENCE_S * 1000))
        return told

    def wait_for_all(self) -> None:
        """Returns once every process has come here: a collective would not wait longer than half a minute."""
        if not self.is_alone:
            from jax._src.distributed import global_state

            name = f"penstock-{next(self._moments)}"
            global_state.client.wait_at_barrier(name, timeout_in_ms=_PATIENCE_S * 1000)


@cache
def join_ring() -> Ring:
    """Meets the other processes of this job, where there are any; later calls answer the same.

    A parameter server or an evaluator ends here (SystemExit 0): a canned estimator needs neither. Raises
    PreconditionError when JAX has been used before, which keeps it from meeting others.
    """
    task = load_task_variables()
    if task.task_type in ("ps", "evaluator"):
        name = {"ps": "parameter servers", "evaluator": "evaluators"}[task.task_type]
        _notice(f"canned estimators need no {name}: gradients are reduced among the workers; this process ends")
        raise SystemExit(0)
    if task.size < 2:
        return Ring()
    import jax

    try:
        jax.distributed.initialize(
            task.coordinator,
            num_processes=task.size,
            process_id=task.rank,
            shutdown_timeout_seconds=_PATIENCE_S,
        )
    except RuntimeError as error:
        raise PreconditionError(
            f"this process cannot meet the {task.size - 1} others at {task.coordinator}: {error}; make the estimator "
            "before anything else uses JAX"
        ) from None
    return Ring(task.rank, task.size)


def _chiefs_bytes(data: bytes) -> bytes | None:
    """The chief's bytes, in every process; None where the chief has none."""
    length = int(_broadcast(np.array([len(data)], np.int32))[0])
    if not length:
        return None
    buffer = np.zeros(length, np.uint8)
    buffer[: len(data)] = np.frombuffer(data, np.uint8)
    return bytes(_broadcast(buffer).tobytes())


def _broadcast(array: Any) -> Any:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(array))


def _pack(checkpoint: Checkpoint) -> bytes:
    buffer = io.BytesIO()
    facts = json.dumps({"step": checkpoint.step, "facts": dict(checkpoint.facts)}).encode()
    arrays: dict[str, Any] = {"": np.frombuffer(facts, np.uint8), **checkpoint.arrays}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _unpack(data: bytes) -> Checkpoint:
    with np.load(io.BytesIO(data), allow_pickle=False) as content:
        arrays = {name: content[name] for name in content.files}
    described = json.loads(arrays.pop("").tobytes())
    return Checkpoint(described["step"], arrays, described["facts"])


def _notice(message: str) -> None:
    sys.stderr.write(f"{message}\n")
