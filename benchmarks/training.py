"""Training steps a second: Penstock's loop, a hand-written JAX scan, Keras on JAX and on TensorFlow, PyTorch.

A contestant is a part; what is measured is kept, and a run that ended early goes on.
"""

import argparse
import json
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.parts import Parts
from benchmarks.peers import peer_python
from benchmarks.report import report, version_of
from benchmarks.steps.problem import PROBLEMS, RUNS

PATIENCE_S = 240
STEPS = Path(__file__).resolve().parent / "steps"
PEERS = {
    "torch": ["torch==2.13.0", "numpy"],
    "tensorflow": ["tensorflow-cpu==2.21.0", "keras>=3.15"],
}
CONTESTANTS = {
    "Penstock": ("", ["penstock_steps.py", "canned"]),
    "Penstock, a Keras model of one's own": ("", ["penstock_steps.py", "keras"]),
    "JAX lax.scan by hand": ("", ["jax_scan.py"]),
    "Keras on JAX": ("", ["keras_fit.py", "jax", "1"]),
    "Keras on JAX, tuned": ("", ["keras_fit.py", "jax", "32"]),
    "Keras on TensorFlow": ("tensorflow", ["keras_fit.py", "tensorflow", "1"]),
    "Keras on TensorFlow, tuned": ("tensorflow", ["keras_fit.py", "tensorflow", "32"]),
    "PyTorch": ("torch", ["torch_loop.py"]),
    "PyTorch, torch.compile": ("torch", ["torch_loop.py", "compile"]),
}
"""The peer's environment, none for ours, and what runs in it."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--again", action="store_true", help="also what is kept from an earlier run")
    options = parser.parse_args(arguments)
    parts = Parts("training", is_again=options.again)
    for name in options.only:
        parts.measure(name, partial(_run, *CONTESTANTS[name]))
    _report(Parts("training"))


def _run(environment: str, command: list[str]) -> dict[str, Any]:
    python = peer_python(environment, PEERS[environment]) if environment else Path(sys.executable)
    if python is None:
        return {"reason": "not measured, it does not install here"}
    words = [str(python), str(STEPS / command[0]), *command[1:]]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return {"reason": f"stopped after {PATIENCE_S} s, before its {RUNS} runs were over"}
    if done.returncode != 0:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no reason given"])[-1])
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _report(parts: Parts) -> None:
    measured: dict[str, dict[str, list[float]]] = {}
    notes = [
        f"Median of {RUNS} runs after one that compiles; the spread is from the fastest to the slowest.",
        *(f"{name}: {_in_words(problem)}" for name, problem in PROBLEMS.items()),
    ]
    for name in CONTESTANTS:
        if (answer := parts.kept(name)) is None:
            continue
        notes.append(f"{name}: {answer.get('reason') or answer['settings']}.")
        if "seconds" in answer:
            measured[name] = answer["seconds"]
    notes += [parts.note(), f"{version_of('jax', 'keras')}."]
    headers = ["", *[f"{problem}, µs a step" for problem in PROBLEMS], *[f"{problem}, ratio" for problem in PROBLEMS]]
    ours = measured.get("Penstock")
    rows = []
    for name, seconds in measured.items():
        cells = [_figure(seconds[problem], PROBLEMS[problem]["steps"]) for problem in PROBLEMS]
        ratios = [
            f"{statistics.median(seconds[problem]) / statistics.median(ours[problem]):.2f}" if ours else ""
            for problem in PROBLEMS
        ]
        rows.append([name, *cells, *ratios])
    report("training", "Training steps", headers, rows, notes)


def _figure(seconds: list[float], steps: int) -> str:
    scaled = [second / steps * 1e6 for second in seconds]
    return f"{statistics.median(scaled):.1f} ({min(scaled):.1f}–{max(scaled):.1f})"


def _in_words(problem: dict) -> str:
    layers = "-".join(str(units) for units in [9, *problem["hidden"], 1])
    batch = "all rows a step" if problem["batch"] is None else f"{problem['batch']} rows a step"
    return f"network {layers}, {problem['rows']:,} rows, {batch}, {problem['steps']:,} steps."


if __name__ == "__main__":
    main(sys.argv[1:])
