"""Training steps a second: Penstock's loop, a hand-written JAX scan, Keras on JAX and on TensorFlow, PyTorch."""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import peer_python
from benchmarks.report import report, version_of
from benchmarks.steps.problem import PROBLEMS, RUNS

PATIENCE_S = 240
STEPS = Path(__file__).resolve().parent / "steps"


def main(arguments: list[str]) -> None:
    here = Path(sys.executable)
    torch = peer_python("torch", ["torch==2.13.0", "numpy"])
    tensorflow = peer_python("tensorflow", ["tensorflow-cpu==2.21.0", "keras>=3.15"])
    contestants = [
        ("Penstock", here, ["penstock_steps.py"]),
        ("JAX lax.scan by hand", here, ["jax_scan.py"]),
        ("Keras on JAX", here, ["keras_fit.py", "jax", "1"]),
        ("Keras on JAX, tuned", here, ["keras_fit.py", "jax", "32"]),
        ("Keras on TensorFlow", tensorflow, ["keras_fit.py", "tensorflow", "1"]),
        ("Keras on TensorFlow, tuned", tensorflow, ["keras_fit.py", "tensorflow", "32"]),
        ("PyTorch", torch, ["torch_loop.py"]),
        ("PyTorch, torch.compile", torch, ["torch_loop.py", "compile"]),
    ]
    measured: dict[str, dict[str, list[float]]] = {}
    notes = [
        f"Median of {RUNS} runs after one that compiles; the spread is from the fastest to the slowest.",
        *(f"{name}: {_in_words(problem)}" for name, problem in PROBLEMS.items()),
    ]
    for name, python, command in contestants:
        if python is None:
            notes.append(f"{name}: not measured, it does not install here.")
            continue
        words = [str(python), str(STEPS / command[0]), *command[1:]]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            notes.append(f"{name}: stopped after {PATIENCE_S} s, before its {RUNS} runs were over.")
            continue
        if done.returncode != 0:
            notes.append(f"{name}: did not run ({(done.stderr.strip().splitlines() or ['no reason given'])[-1]}).")
            continue
        answer = json.loads(done.stdout.splitlines()[-1])
        measured[name] = answer["seconds"]
        notes.append(f"{name}: {answer['settings']}.")
        print(f"{name} done", file=sys.stderr, flush=True)
    notes.append(version_of("jax", "keras"))
    headers = ["", *[f"{problem}, µs a step" for problem in PROBLEMS], *[f"{problem}, ratio" for problem in PROBLEMS]]
    rows = []
    for name, seconds in measured.items():
        cells = [_figure(seconds[problem], PROBLEMS[problem]["steps"]) for problem in PROBLEMS]
        ratios = [
            f"{statistics.median(seconds[problem]) / statistics.median(measured['Penstock'][problem]):.2f}"
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
