"""Learning rates by step. Computed outside of the compiled step, so that trials that differ in them share its code."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError

__all__ = ["SCHEDULES", "Schedule", "learning_rates"]

Schedule = Literal["constant", "cosine", "linear", "flat_cosine"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine", "linear", "flat_cosine")

_WARMUP_SHARE = 0.05
_FLAT_SHARE = 0.5


def learning_rates(
    schedule: Schedule, base: float, *, first: int, count: int, total: int | None
) -> NDArray[np.float32]:
    """Rates of steps `first` to `first + count` of a training of `total` steps, `[count]`.

    Every schedule but "constant" warms up over the first twentieth and then falls to zero at `total`; "flat_cosine"
    keeps the base rate for the first half.
    """
    if schedule not in SCHEDULES:
        raise ConfigError(f"learning_rate_schedule is {schedule!r}; expected one of {', '.join(SCHEDULES)}")
    steps = np.arange(first, first + count, dtype=np.float64)
    if schedule == "constant" or total is None:
        return np.full(count, base, dtype=np.float32)
    progress = np.clip(steps / total, 0.0, 1.0)
    warmup = np.minimum(1.0, (steps + 1) / max(1.0, _WARMUP_SHARE * total))
    if schedule == "linear":
        decay = 1.0 - progress
    elif schedule == "cosine":
        decay = 0.5 * (1.0 + np.cos(np.pi * progress))
    else:
        falling = np.clip((progress - _FLAT_SHARE) / (1.0 - _FLAT_SHARE), 0.0, 1.0)
        decay = 0.5 * (1.0 + np.cos(np.pi * falling))
    return (base * warmup * decay).astype(np.float32)
