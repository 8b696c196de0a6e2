"""From a CSV file to a live prediction, only file and label named; and what is served is what was trained."""

import csv
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import numpy as np
import pytest

Penstock = Callable[..., "CompletedProcess[str]"]

JOURNEYS = {
    "california_housing.csv": ("median_house_value", "rmse", 60_000),
    "adult_train.csv": ("income-level", "auc", 0.90),
    "taxi_datetime_train.csv": ("fare_amount", "rmse", 6.0),
}


def raw_rows(path: Path, count: int) -> list[dict[str, str]]:
    """Rows as text, evenly spread over the file: what a client that reads the CSV itself would send."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows[:: max(1, len(rows) // count)][:count]


def by_value(answer: Any) -> list[float]:
    """The numbers in one prediction."""
    if isinstance(answer, dict):
        return [value for part in answer.values() for value in by_value(part)]
    if isinstance(answer, list):
        return [value for part in answer for value in by_value(part)]
    return [float(answer)] if isinstance(answer, int | float) else []


def ask(server: str, model: str, instances: list[dict[str, Any]]) -> list[Any]:
    answer = httpx.post(f"{server}/v1/models/{model}:predict", json={"instances": instances}, timeout=30)
    assert answer.status_code == 200, answer.text
    predictions = answer.json()["predictions"]
    assert len(predictions) == len(instances)
    return list(predictions)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name.startswith("california") else pytest.mark.slow) for name in JOURNEYS]
)
def test_a_table_becomes_a_service_that_answers_as_the_trainer_does(
    name: str, shared_data: Path, penstock: Penstock, server: str, folder: Path
) -> None:
    label, metric, bound = JOURNEYS[name]
    source = shared_data / "tabular" / name
    penstock("init", str(source), "--label", label, "--output", "experiment.yaml")
    said = json.loads(penstock("train", "experiment.yaml", "--register", "model", "--format", "json").stdout)
    value = said["metrics"][metric]
    assert value > bound if metric == "auc" else value < bound

    rows = [{k: v for k, v in row.items() if k != label} for row in raw_rows(source, 50)]
    rows += rows_nobody_has_seen(rows[0], said["bundle"])
    served = ask(server, "model", rows)
    (folder / "rows.json").write_text("\n".join(json.dumps(row) for row in rows))

    trainer = trainers_answers(said["modelDir"], folder / "rows.json", said["bundle"])
    for row, (ours, theirs) in enumerate(zip(served, trainer, strict=True)):
        np.testing.assert_allclose(by_value(ours), by_value(theirs), rtol=2e-5, atol=1e-5, err_msg=f"row {row}")

    local = penstock("local", "predict", "--model-dir", said["bundle"], "--json-instances", "rows.json")
    assert json.loads(local.stdout)["predictions"] == served


def rows_nobody_has_seen(row: dict[str, str], bundle: str) -> list[dict[str, Any]]:
    """The row with each nullable column missing, and each text column holding a word of no training row."""
    inputs = json.loads((Path(bundle) / "bundle.json").read_text())["signature"]["inputs"]
    changed: list[dict[str, Any]] = []
    for column in inputs:
        if column.get("nullable"):
            changed.append({**row, column["name"]: None})
        if column["type"] == "string":
            changed.append({**row, column["name"]: "never seen before, ü"})
    return changed


def trainers_answers(model_dir: str, instances: Path, bundle: str) -> list[dict[str, Any]]:
    """What the estimator itself answers, in Keras, for the same rows."""
    from penstock.estimators.dnn import DNNClassifier, DNNRegressor
    from penstock.runtime.model import load_model

    model = load_model(bundle)
    batch = model.decode([json.loads(line) for line in instances.read_text().splitlines()])
    kind = DNNRegressor if model.manifest.estimator == "DNNRegressor" else DNNClassifier
    estimator = kind(hidden_units=[64, 64], model_dir=model_dir)
    arrays = {
        column.name: batch[column.name].view("datetime64[us]") if column.type == "timestamp" else batch[column.name]
        for column in batch.schema
    }
    answers = estimator.predict(lambda: arrays)
    return [{key: np.asarray(value).tolist() for key, value in answer.items()} for answer in answers]


def test_the_demo_ends_with_two_plausible_prices(penstock: Penstock, folder: Path) -> None:
    said = penstock("demo", "--keep", "kept").stdout
    prices = [int(price.replace(",", "")) for price in re.findall(r"→ \$([\d,]+)", said)]
    assert len(prices) == 2
    assert 22_000 <= prices[0] <= 28_000
    assert 30_000 <= prices[1] <= 50_000
    off_by = re.search(r"off by \$([\d,]+)", said)
    assert off_by
    assert int(off_by.group(1).replace(",", "")) < 5_000
    assert (folder / "kept" / "penstock.db").is_file()


def test_a_new_version_answers_without_a_restart(penstock: Penstock, server: str) -> None:
    penstock("init", "--example", "housing")
    penstock("init", "housing.csv", "--label", "MEDV")
    penstock("train", "housing.yaml", "--register", "housing")
    rows = [{"CRIM": 0.1, "ZN": 0, "INDUS": 2.3, "CHAS": 0, "NOX": 0.4, "RM": 6.5, "AGE": 60, "DIS": 4, "RAD": 2}]
    rows[0] |= {"TAX": 296, "PTRATIO": 15.3}
    first = ask(server, "housing", rows)
    penstock("train", "housing.yaml", "--register", "housing", "--version", "again", "--model-dir", "elsewhere")
    answer = httpx.get(f"{server}/v1/models/housing/versions/2", timeout=10)
    for _ in range(50):
        if answer.status_code == 200:
            break
        answer = httpx.get(f"{server}/v1/models/housing/versions/2", timeout=10)
    assert answer.status_code == 200, answer.text
    again = httpx.post(f"{server}/v1/models/housing/versions/2:predict", json={"instances": rows}, timeout=10)
    assert by_value(again.json()["predictions"]) == pytest.approx(by_value(first), rel=1e-5)
    assert ask(server, "housing", rows) == first
    assert not math.isnan(by_value(first)[0])


@pytest.mark.slow
def test_the_lines_of_a_jsonl_file_are_answered_in_order(penstock: Penstock, server: str, folder: Path) -> None:
    penstock("init", "--example", "housing")
    (folder / "lab.yaml").write_text(
        "data: housing.csv\nlabel: {name: MEDV, unit: dollars}\n"
        "features: {CRIM: numeric, ZN: numeric, INDUS: numeric, NOX: numeric, RM: numeric, AGE: numeric,"
        " DIS: numeric, TAX: numeric, PTRATIO: numeric}\n"
        "estimator: {type: DNNRegressor, hidden_units: [10, 10]}\ntraining: {max_steps: 300, batch_size: all}\n"
    )
    penstock("train", "lab.yaml", "--register", "housing_prices")
    words = ["--model", "housing_prices", "--json-instances", "records.json", "--server", server]
    answered = json.loads(penstock("predict", *words, "--format", "json").stdout)["predictions"]
    assert len(answered) == 2
    assert by_value(answered[0])[0] < by_value(answered[1])[0]


def test_callers_may_send_columns_renamed_and_rescaled(penstock: Penstock, server: str, folder: Path) -> None:
    penstock("init", "--example", "housing")
    plain = (
        "data: housing.csv\nlabel: MEDV\nfeatures: {RM: numeric, TAX: numeric, DIS: auto}\n"
        "estimator: {type: DNNRegressor, hidden_units: [10]}\ntraining: {max_steps: 200}\n"
    )
    (folder / "plain.yaml").write_text(plain)
    (folder / "served.yaml").write_text(
        plain + "serving: {rename: {rooms: RM}, rescale: {TAX: {multiply: 100}}, derive: {DIS: miles * 1.609},"
        " inputs: {miles: float}}\n"
    )
    penstock("train", "plain.yaml", "--register", "plain")
    penstock("train", "served.yaml", "--register", "served")
    plainly = ask(server, "plain", [{"RM": 6.5, "TAX": 296, "DIS": 4.0225, "CHAS": 1}])
    otherwise = ask(server, "served", [{"rooms": 6.5, "TAX": 2.96, "miles": 2.5}])
    assert by_value(otherwise) == pytest.approx(by_value(plainly), rel=1e-5)
    missing = httpx.post(f"{server}/v1/models/served:predict", json={"instances": [{"RM": 6.5, "TAX": 2.96}]})
    assert missing.status_code == 400
    assert "rooms" in missing.json()["error"]


@pytest.mark.slow
def test_whole_hours_and_infinite_cells_are_trained_exported_and_served(
    penstock: Penstock, server: str, folder: Path
) -> None:
    rows = [
        f"0{1 + i % 9}/01/2020 {6 * (i % 4):02d}:00,{'inf' if i == 7 else i % 11},{i % 4 * 5 + i % 11}.5"
        for i in range(400)
    ]
    (folder / "shifts.csv").write_text("\n".join(["start,load,output", *rows]) + "\n")
    (folder / "shifts.yaml").write_text(
        "data: shifts.csv\nlabel: output\nestimator: {type: DNNRegressor, hidden_units: [16]}\n"
        "training: {max_steps: 400}\n"
    )
    penstock("train", "shifts.yaml", "--register", "shifts")
    answers = ask(
        server, "shifts", [{"start": "05/01/2020 12:00", "load": 3}, {"start": "05/01/2020 18:00", "load": 3}]
    )
    assert by_value(answers[0])[0] < by_value(answers[1])[0]
