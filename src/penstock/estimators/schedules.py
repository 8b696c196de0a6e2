"""Learning rates by step. Computed outside of the compiled step, so that trials that differ in them share its code."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from penstock.errors import ConfigError, did_you_mean

__all__ = ["SCHEDULES", "Schedule", "learning_rates", "regularization"]

Schedule = Literal["constant", "cosine", "linear", "flat_cosine", "cosine_cycles"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine", "linear", "flat_cosine", "cosine_cycles")

_WARMUP_SHARE = 0.05
_FLAT_SHARE = 0.5
_CYCLES = 4


def learning_rates(
    schedule: Schedule, base: float, *, first: int, count: int, total: int | None
) -> NDArray[np.float32]:
    """Rates of steps `first` to `first + count` of a training of `total` steps, `[count]`.

    Every schedule but "constant" warms up over the first twentieth and then falls to zero at `total`; "flat_cosine"
    keeps the base rate for the first half. "cosine_cycles" rises and falls four times, each twice as long as
    before (`coslog4` of Holzmüller et al., NeurIPS 2024).
    """
    if schedule not in SCHEDULES:
        close = did_you_mean(str(schedule), SCHEDULES)
        raise ConfigError(f"learning_rate_schedule is {schedule!r}; expected one of {', '.join(SCHEDULES)}{close}")
    steps = np.arange(first, first + count, dtype=np.float64)
    if schedule == "constant" or total is None:
        return np.full(count, base, dtype=np.float32)
    progress = np.clip(steps / total, 0.0, 1.0)
    warmup = np.minimum(1.0, (steps + 1) / max(1.0, _WARMUP_SHARE * total))
    if schedule == "cosine_cycles":
        turns = np.log2(1.0 + (2.0**_CYCLES - 1.0) * (steps + 0.5) / total)
        return (base * 0.5 * (1.0 - np.cos(2.0 * np.pi * turns))).astype(np.float32)
    if schedule == "linear":
        decay = 1.0 - progress
    elif schedule == "cosine":
        decay = 0.5 * (1.0 + np.cos(np.pi * progress))
    else:
        falling = np.clip((progress - _FLAT_SHARE) / (1.0 - _FLAT_SHARE), 0.0, 1.0)
        decay = 0.5 * (1.0 + np.cos(np.pi * falling))
    return (base * warmup * decay).astype(np.float32)


def regularization(schedule: Schedule, *, first: int, count: int, total: int) -> NDArray[np.float32]:
    """The share of weight decay and dropout that applies in each of these steps, `[count]`: no schedule warms up."""
    if schedule == "constant":
        return np.ones(count, dtype=np.float32)
    progress = np.arange(first, first + count, dtype=np.float64) / total
    falling = np.clip((progress - _FLAT_SHARE) / (1.0 - _FLAT_SHARE), 0.0, 1.0)
    return (0.5 * (1.0 + np.cos(np.pi * falling))).astype(np.float32)
