"""One flag moves an experiment to several processes: the same estimators, each process on rows of its own."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Penstock = Callable[..., "CompletedProcess[str]"]

NETWORK = "estimator: {type: DNNRegressor, hidden_units: [10, 10]}\ntraining: {max_steps: 200, batch_size: 64}\n"
TREES = "estimator: {type: BoostedTreesRegressor, n_trees: 60}\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "verb"), [(NETWORK, "trains"), (TREES, "grows")], ids=["network", "trees"])
def test_standard_1_trains_an_experiment_on_five_processes_that_part_the_rows(
    kind: str, verb: str, penstock: Penstock, folder: Path
) -> None:
    penstock("init", "--example", "housing")
    (folder / "houses.yaml").write_text(f"data: housing.csv\nlabel: MEDV\n{kind}")
    words = ["jobs", "submit", "training", "houses", "--experiment", "houses.yaml", "--scale-tier", "STANDARD_1"]
    done = penstock(*words, "--stream-logs", "--", "--register", "houses")
    assert "8 replicas (1 master, 4 worker, 3 ps) ask for 36 cores" in done.stderr
    entries = [
        json.loads(line) for line in penstock("jobs", "stream-logs", "houses", "--format", "json").stdout.splitlines()
    ]
    shares: dict[tuple[int, int], set[str]] = {}
    totals = set()
    for entry in entries:
        found = re.fullmatch(rf"shard \d of 5 {verb} on rows (\d+) to (\d+) of (\d+)", entry["message"])
        if found:
            first, stop, total = map(int, found.groups())
            shares.setdefault((first, stop), set()).add(entry["taskName"])
            totals.add(total)
    assert sorted(task for tasks in shares.values() for task in tasks) == [
        "master-replica-0",
        *(f"worker-replica-{number}" for number in range(4)),
    ]
    (total,) = totals
    ends = sorted(shares)
    assert [first for first, _ in ends] == [0, *(stop for _, stop in ends[:-1])], "disjoint, and none left out"
    assert ends[-1][1] == total > 300
    assert sum("parameter servers" in entry["message"] for entry in entries) == 3
    described = json.loads(penstock("models", "describe", "houses", "--format", "json").stdout)
    metrics = json.loads((Path(described["defaultVersion"]["deploymentUri"]) / "bundle.json").read_text())["metrics"]
    assert metrics["rmse"] < 8_000
