"""Numbers as if by chance from row positions: any row's can be told without drawing those of the rows before it."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["scatter"]

_SALT = 0xD1B54A32D192ED03


def scatter(rows: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.uint64]:
    """A number of 64 bits for the row at each position, the same every time.

    By SplitMix64 (Steele, Lea, Flood 2014), so that rows in any order or period are dealt evenly.
    """
    with np.errstate(over="ignore"):
        salt = np.uint64(seed * _SALT % 2**64)
        state = ((rows.astype(np.uint64) ^ salt) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
