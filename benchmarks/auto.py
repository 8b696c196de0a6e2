"""The best model in two minutes: Penstock's Auto estimator and AutoGluon's medium_quality, on the same splits.

A part is a contestant on a split of a data set; what is measured is kept, and a run that ended early goes on.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parts import Parts
from benchmarks.peers import CACHE, peer_python
from benchmarks.report import report
from penstock.estimators.metrics import roc_auc

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tabular"
STEPS = Path(__file__).resolve().parent / "steps"
SECONDS = 120
PATIENCE = 5.0
"""Budgets, after which a contestant that is not over is stopped."""

CONTESTANTS = {"Penstock": "auto_penstock.py", "AutoGluon": "auto_autogluon.py"}
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
    parser.add_argument(
        "names", nargs="*", help="measure only these data sets, by the first word of their names; the report is of all"
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="budget; a third of it on each of housing's folds"
    )
    parser.add_argument("--only", choices=CONTESTANTS, help="measure only this contestant")
    parser.add_argument("--again", action="store_true", help="also what is kept from an earlier run")
    chosen = parser.parse_args(arguments)
    known = {one.name.split(",")[0] for one in PROBLEMS}
    if unknown := set(chosen.names) - known:
        parser.error(f"there is no data set {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    if not DATA.is_dir():
        sys.exit(f"the data sets of this benchmark are expected in {DATA}; they do not ship with the project")
    pythons = {"Penstock": Path(sys.executable), "AutoGluon": peer_python("autogluon", AUTOGLUON)}
    parts = Parts("auto", is_again=chosen.again)
    for problem in [one for one in PROBLEMS if not chosen.names or one.name.split(",")[0] in chosen.names]:
        splits = _splits(problem)
        for name, script in CONTESTANTS.items():
            if (python := pythons[name]) is None or chosen.only not in (None, name):
                continue
            for fold, split in enumerate(splits):
                run = partial(_run, python, script, problem, _budget_s(problem, chosen.seconds), *split)
                parts.measure(_part(problem, name, fold, chosen.seconds), run)
    _report(Parts("auto"), chosen.seconds)


def _budget_s(problem: Problem, seconds: float) -> float:
    return seconds / 3.0 if problem.folds > 1 else seconds


def _part(problem: Problem, contestant: str, fold: int, seconds: float) -> str:
    return f"{problem.name}, {contestant}, split {fold}, {seconds:g} s"


def _report(parts: Parts, budget_s: float) -> None:
    rows: list[list[str]] = []
    notes: list[str] = []
    wins = compared = 0
    for problem in PROBLEMS:
        found = {}
        for name in CONTESTANTS:
            folds = [parts.kept(_part(problem, name, fold, budget_s)) for fold in range(problem.folds)]
            if measured := [one for one in folds if one is not None]:
                found[name] = measured
                missing = "" if len(measured) == len(folds) else f" ({len(measured)} of {len(folds)} folds)"
                notes.append(f"{problem.name}, {name}{missing}: {measured[0]['settings']}.")
        if not found:
            continue
        scores = {name: statistics.mean(one["score"] for one in measured) for name, measured in found.items()}
        is_regression = problem.task == "regression"
        ratio = ""
        if len({len(measured) for measured in found.values()}) == 1 and len(found) == len(CONTESTANTS):
            ours, theirs = scores["Penstock"], scores["AutoGluon"]
            ratio = f"{ours / theirs:.3f}" if is_regression else f"{(1 - ours) / (1 - theirs):.3f}"
            wins += ours <= theirs if is_regression else ours >= theirs
            compared += 1
        most_s = _budget_s(problem, budget_s)
        rows.append(
            [
                problem.name,
                "RMSE" if is_regression else "AUC",
                *[_figure(scores[name]) if name in scores else "" for name in CONTESTANTS],
                ratio,
                *[
                    f"{max(one['seconds'] for one in found[name]):.0f} of {most_s:.0f}" if name in found else ""
                    for name in CONTESTANTS
                ],
            ]
        )
    report(
        "auto",
        f"The best model in {budget_s:.0f} seconds",
        ["data", "metric", *CONTESTANTS, "error, Penstock over AutoGluon", *[f"{name}, s" for name in CONTESTANTS]],
        rows,
        [
            f"Penstock is at least as good on {wins} of {compared}.",
            "Both get the same training rows, time budget, two cores and metric. Seconds are of a process from its "
            "import on: for Penstock with reading, training and export, for AutoGluon with reading and training; on "
            "several folds the longest.",
            "AutoGluon's environment has LightGBM, XGBoost and CatBoost and not PyTorch, so its medium_quality trains "
            "without its two neural networks.",
            parts.note(),
            *notes,
        ],
    )


def _figure(score: float) -> str:
    return f"{score:,.0f}" if score > 1000 else f"{score:.4f}"


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


def _run(python: Path, script: str, problem: Problem, budget_s: float, train: Path, test: Path) -> dict[str, Any]:
    words = [python, STEPS / script, train, test, problem.label, problem.task, budget_s]
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, timeout=PATIENCE * budget_s + 60.0
    )
    if done.returncode != 0:
        raise RuntimeError(f"{script} ended with status {done.returncode}: {done.stderr.strip()[-600:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    header, rows = _read(test, ())
    labels = [row[header.index(problem.label)] for row in rows]
    found = np.array(answer.pop("predictions"))
    if problem.task == "regression":
        score = float(np.sqrt(np.mean((found - np.array(labels, dtype=float)) ** 2)))
    else:
        score = roc_auc(found, np.array(labels) == max(labels))
    return {**answer, "score": score}


if __name__ == "__main__":
    main(sys.argv[1:])
