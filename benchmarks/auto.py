"""The best model in two minutes: Penstock's Auto estimator and AutoGluon's medium_quality, on the same splits."""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers import CACHE, peer_python
from benchmarks.report import report
from penstock.estimators.metrics import roc_auc

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tabular"
STEPS = Path(__file__).resolve().parent / "steps"
SECONDS = 120
AUTOGLUON = ["autogluon.tabular[lightgbm,xgboost,catboost]==1.6.3"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A data set with its split. test: a file of its own; or a share of the rows, the last ones or drawn by seed 0.

    folds: of a cross-validation in place of one split.
    """

    name: str
    train: str
    label: str
    test: str | None = None
    by_time: bool = False
    dropped: tuple[str, ...] = ()
    task: str = "regression"
    folds: int = 1


PROBLEMS = (
    Problem(name="california_housing, 80/20", train="california_housing.csv", label="median_house_value"),
    Problem(
        name="adult, given split",
        train="adult_train.csv",
        test="adult_test.csv",
        label="income-level",
        task="binary_classification",
    ),
    Problem(
        name="bike_sharing_hour, last fifth",
        train="bike_sharing_hour.csv",
        label="cnt",
        by_time=True,
        dropped=("casual", "registered", "instant"),
    ),
    Problem(name="taxi, given split", train="taxi_train.csv", test="taxi_test.csv", label="fare_amount"),
    Problem(name="housing_lab, 5 folds", train="housing_lab.csv", label="MEDV", folds=5),
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.auto", description=__doc__)
    parser.add_argument("names", nargs="*", help="data sets, by the first word of their names; all of them by default")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="budget; a third of it on each of housing's folds"
    )
    chosen = parser.parse_args(arguments)
    if not DATA.is_dir():
        sys.exit(f"the data sets of this benchmark are expected in {DATA}; they do not ship with the project")
    peer = peer_python("autogluon", AUTOGLUON)
    contestants = {"Penstock": (Path(sys.executable), "auto_penstock.py")}
    if peer is not None:
        contestants["AutoGluon"] = (peer, "auto_autogluon.py")
    rows, notes = [], []
    wins = 0
    for problem in [one for one in PROBLEMS if not chosen.names or one.name.split(",")[0] in chosen.names]:
        budget_s = chosen.seconds / 3.0 if problem.folds > 1 else chosen.seconds
        scores: dict[str, float] = {}
        seconds: dict[str, float] = {}
        for name, (python, script) in contestants.items():
            answers = [_run(python, script, problem, budget_s, *split) for split in _splits(problem)]
            scores[name] = statistics.mean(score for score, _ in answers)
            seconds[name] = max(answer["seconds"] for _, answer in answers)
            notes.append(f"{problem.name}, {name}: {answers[0][1]['settings']}.")
            print(f"{problem.name}: {name} {scores[name]:,.5g} in {seconds[name]:.0f} s", file=sys.stderr, flush=True)
        is_regression = problem.task == "regression"
        ratio = ""
        if "AutoGluon" in scores:
            ours, theirs = scores["Penstock"], scores["AutoGluon"]
            ratio = f"{ours / theirs:.3f}" if is_regression else f"{(1 - ours) / (1 - theirs):.3f}"
            wins += ours <= theirs if is_regression else ours >= theirs
        rows.append(
            [
                problem.name,
                "RMSE" if is_regression else "AUC",
                *[f"{scores[name]:,.0f}" if scores[name] > 1000 else f"{scores[name]:.4f}" for name in contestants],
                ratio,
                *[f"{seconds[name]:.0f} of {budget_s:.0f}" for name in contestants],
            ]
        )
    report(
        "auto",
        f"The best model in {chosen.seconds:.0f} seconds",
        ["data", "metric", *contestants, "error, Penstock over AutoGluon", *[f"{name}, s" for name in contestants]],
        rows,
        [
            f"Penstock is at least as good on {wins} of {len(rows)}.",
            "Both get the same training rows, time budget, two cores and metric. Seconds are of a process from its "
            "import on: for Penstock with reading, training and export, for AutoGluon with reading and training; on "
            "several folds the longest.",
            "AutoGluon's environment has LightGBM, XGBoost and CatBoost and not PyTorch, so its medium_quality trains "
            "without its two neural networks.",
            f"Load average at the end {os.getloadavg()[0]:.1f}.",
            *notes,
        ],
    )


def _splits(problem: Problem) -> list[tuple[Path, Path]]:
    """Files of training and of test rows."""
    folder = CACHE / "auto"
    folder.mkdir(parents=True, exist_ok=True)
    header, rows = _read(DATA / problem.train, problem.dropped)
    stem = folder / Path(problem.train).stem
    if problem.test is not None:
        _, held_out = _read(DATA / problem.test, problem.dropped)
        return [_write(stem, header, rows, held_out)]
    if problem.folds > 1:
        fold = np.random.default_rng(0).permutation(len(rows)) % problem.folds
        return [
            _write(
                Path(f"{stem}_{number}"),
                header,
                [row for row, f in zip(rows, fold, strict=True) if f != number],
                [row for row, f in zip(rows, fold, strict=True) if f == number],
            )
            for number in range(problem.folds)
        ]
    size = len(rows) - round(0.2 * len(rows))
    order = range(len(rows)) if problem.by_time else np.random.default_rng(0).permutation(len(rows)).tolist()
    shuffled = [rows[i] for i in order]
    return [_write(stem, header, shuffled[:size], shuffled[size:])]


def _read(path: Path, dropped: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    kept = [i for i, name in enumerate(header) if name not in dropped]
    return [header[i] for i in kept], [[row[i] for i in kept] for row in rows]


def _write(stem: Path, header: list[str], train: list[list[str]], test: list[list[str]]) -> tuple[Path, Path]:
    paths = Path(f"{stem}_train.csv"), Path(f"{stem}_test.csv")
    for path, rows in zip(paths, (train, test), strict=True):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])
    return paths


def _run(python: Path, script: str, problem: Problem, budget_s: float, train: Path, test: Path) -> tuple[float, dict]:
    words = [python, STEPS / script, train, test, problem.label, problem.task, budget_s]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{script} failed on {problem.name}: {done.stderr.strip()[-800:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    header, rows = _read(test, ())
    labels = [row[header.index(problem.label)] for row in rows]
    found = np.array(answer["predictions"])
    if problem.task == "regression":
        return float(np.sqrt(np.mean((found - np.array(labels, dtype=float)) ** 2))), answer
    return roc_auc(found, np.array(labels) == max(labels)), answer


if __name__ == "__main__":
    main(sys.argv[1:])
