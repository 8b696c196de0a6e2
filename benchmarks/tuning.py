"""200 trials of the lab's network, TPE and ASHA, against the same study written with Optuna and Keras on JAX; and TPE
against random search on five tasks.

`--peer-trials N`: trials that the peer runs; its time is scaled to 200. `--quick`: only the first table.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import run_measured
from benchmarks.report import report, version_of

HERE = Path(__file__).resolve().parent
TRIALS = 200
SEEDS = 10
SEARCH_TRIALS = 50


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--only", choices=["speed", "search"])
    options = parser.parse_args(arguments)
    if options.only != "search":
        speed(options.peer_trials)
    if options.only != "speed":
        search(options.seeds)


def speed(peer_trials: int) -> None:
    """Wall seconds of the whole process, imports and compilation included, and of the study alone."""
    rows = []
    ours = _run("tuning_ours.py", TRIALS)
    theirs = _run("tuning_keras.py", peer_trials)
    scale = TRIALS / peer_trials
    for name, trials, found, factor in (
        ("penstock tune", TRIALS, ours, 1.0),
        ("Optuna + Keras on JAX", peer_trials, theirs, scale),
    ):
        rows.append(
            [
                name,
                trials,
                f"{found['study_s'] * factor:.1f}",
                f"{found['study_s'] / trials * 1000:.0f}",
                f"{found['study_s'] * factor / ours['study_s']:.1f}",
                f"{found['stopped']} of {trials}",
                f"{found['best'] ** 0.5:,.0f}",
            ]
        )
    report(
        "tuning",
        f"{TRIALS} trials of the lab's 10-10 network, up to 500 full-batch steps, TPE and successive halving",
        ["study", "trials run", "s for 200", "ms a trial", "ratio", "stopped early", "best RMSE, dollars"],
        rows,
        [
            "The same rows, split, search space (learning rate, weight decay), evaluations every 50 steps, sampler "
            "(Optuna's TPE) and pruner (Optuna's SuccessiveHalvingPruner, factor 4); one trial after another.",
            "The peer builds and compiles a Keras model a trial, fits with steps_per_execution=50 and evaluates in a "
            f"callback; it ran {peer_trials} trials, and its time is scaled to {TRIALS}.",
            "Seconds are those of the study: compilations are in them, importing and reading the table are not.",
            f"Peers: {version_of('optuna', 'keras', 'jax')}.",
        ],
    )


def search(seeds: int) -> None:
    """Best validation error after 50 trials, TPE against random search, a pair of studies a seed."""
    done = run_measured([sys.executable, HERE / "steps" / "tuning_search.py", str(SEARCH_TRIALS), str(seeds)])
    if done.status:
        sys.exit(f"the search benchmark ended with status {done.status}")
    rows, better = [], 0
    for task, pairs in json.loads(done.output.splitlines()[-1]).items():
        tpe, random = np.array(pairs["tpe"]), np.array(pairs["random"])
        wins, p = _paired(random - tpe)
        better += tpe.mean() < random.mean()
        rows.append([task, f"{tpe.mean():.5g}", f"{random.mean():.5g}", f"{wins} of {seeds}", f"{p:.3f}"])
    report(
        "tuning_search",
        f"Best validation loss after {SEARCH_TRIALS} trials, TPE against random search",
        ["task", "TPE, mean", "random, mean", "seeds TPE is better", "p"],
        rows,
        [
            f"{seeds} seeds a task; TPE is better on {better} of {len(rows)} tasks.",
            "p: one-sided exact sign-flip test of the paired differences (the chance of so large a mean, were "
            "the two alike).",
            "Networks of two small layers, 150 steps; no pruning; learning rate, weight decay, layer sizes and the L2 "
            "penalty searched.",
        ],
    )


def _paired(differences: np.ndarray) -> tuple[int, float]:
    """How many are above 0, and the share of all sign flips whose mean is at least as large."""
    count = len(differences)
    signs = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    means = (signs * differences).mean(axis=1)
    return int((differences > 0).sum()), float((means >= differences.mean() - 1e-12).mean())


def _run(step: str, trials: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, HERE / "steps" / step, str(trials)]
        done = run_measured(command, env={"PENSTOCK_HOME": home, "KERAS_BACKEND": "jax"})
    if done.status:
        sys.exit(f"{step} ended with status {done.status}")
    found: dict[str, float] = json.loads(done.output.splitlines()[-1])
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
