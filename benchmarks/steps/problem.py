"""The networks and rows that every framework trains on, and how a run is timed. Needs NumPy alone."""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

PROBLEMS = {
    "lab": {"rows": 404, "hidden": [10, 10], "batch": None, "steps": 3000},
    "wide": {"rows": 400_000, "hidden": [64, 64], "batch": 128, "steps": 3000},
}
RUNS = 10


def rows_of(problem: dict) -> tuple[np.ndarray, np.ndarray]:
    """Features `[rows, 9]` and labels `[rows, 1]`."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(problem["rows"], 9)).astype(np.float32)
    labels = np.sin(features.sum(axis=1, keepdims=True)).astype(np.float32)
    return features, labels


def order_of(problem: dict) -> np.ndarray | None:
    """Row positions of each step, drawn beforehand; None: every step sees all rows."""
    if problem["batch"] is None:
        return None
    size = (problem["steps"], problem["batch"])
    return np.random.default_rng(1).integers(0, problem["rows"], size).astype(np.int32)


def time_runs(settings: str, make: Callable[[dict], Callable[[], float]]) -> None:
    """Prints seconds of each run of each problem as JSON. make: returns a function that trains all steps once.

    The first call, which compiles, is not counted.
    """
    seconds: dict[str, list[float]] = {}
    for name, problem in PROBLEMS.items():
        run = make(problem)
        run()
        seconds[name] = []
        for _ in range(RUNS):
            started = time.perf_counter()
            loss = run()
            seconds[name].append(time.perf_counter() - started)
            assert np.isfinite(loss), "the network did not train"
    json.dump({"settings": settings, "seconds": seconds}, sys.stdout)
