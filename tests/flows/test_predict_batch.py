"""Batch prediction in this process: every format gives the online answers; what does not fit only counts."""

import codecs
import csv
import doctest
import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock.errors import DataError, UsageError
from penstock.flows import submit_prediction
from penstock.flows.predict_batch import predict_shards
from penstock.jobs.prediction_input import PredictionInput, parse_data_format, prediction_output

ROWS = [{"A": float(index), "B": index % 7, "C": -1.5} for index in range(3_000)]


def test_examples_hold() -> None:
    assert doctest.testmod(submit_prediction).failed == 0


def answer(row: dict[str, Any]) -> float:
    return float(row["A"] + 10 * row["B"] + 100 * row["C"])


def results(output: Path) -> list[dict[str, Any]]:
    files = sorted(output.glob("prediction.results-*"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def errors(output: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in sorted(output.glob("prediction.errors_stats-*")):
        for line in file.read_text().splitlines():
            told = json.loads(line)
            found[told["error"]] = found.get(told["error"], 0) + told["count"]
    return found


def write_rows(folder: Path, data_format: str, rows: list[dict[str, Any]]) -> Path:
    file = folder / f"in.{data_format}"
    match data_format:
        case "json":
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "csv":
            with file.open("w", newline="") as opened:
                writer = csv.DictWriter(opened, fieldnames=list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        case "parquet":
            lines = folder / "in.lines"
            lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
            with duckdb.connect() as connection:
                connection.execute(f"COPY (FROM read_json('{lines}')) TO '{file}' (FORMAT parquet)")
    return file


@pytest.mark.parametrize("data_format", ["json", "csv", "parquet"])
def test_every_format_gives_the_models_answers_in_order(tmp_path: Path, data_format: str) -> None:
    file = write_rows(tmp_path, data_format, ROWS)
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"),
        data_format=parse_data_format(data_format),
        input_paths=[str(file)],
        output_path=str(tmp_path / "out"),
        batch_size=700,
    )
    predict_shards(prediction, shard_bytes=20_000)
    assert [row["predictions"][0] for row in results(tmp_path / "out")] == pytest.approx(list(map(answer, ROWS)))
    counted = prediction_output(prediction)
    assert (counted["predictionCount"], counted["errorCount"]) == ("3000", "0")


@pytest.mark.parametrize("data_format", ["json", "csv", "parquet"])
def test_keys_go_into_the_results(tmp_path: Path, data_format: str) -> None:
    rows = [{"id": f"row {index}", **row} for index, row in enumerate(ROWS[:50])]
    file = write_rows(tmp_path, data_format, rows)
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"),
        data_format=parse_data_format(data_format),
        input_paths=[str(file)],
        output_path=str(tmp_path / "out"),
        keys=["id", "B"],
    )
    predict_shards(prediction)
    found = results(tmp_path / "out")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [int(row["B"]) for row in found] == [row["B"] for row in rows]
    assert [row["predictions"][0] for row in found] == pytest.approx(list(map(answer, rows)))


def test_what_does_not_fit_is_counted_and_the_rest_predicted(tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in ROWS[:500]]
    lines[3] = '{"A": "six", "B": 1, "C": 2}'
    lines[77] = '{"A": 1, "B": 1'
    lines[400] = '{"A": 1, "B": 1}'
    lines[401] = '{"A": 1, "B": 1}'
    file = tmp_path / "in.jsonl"
    file.write_text("\n".join(lines))
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"), input_paths=[str(file)], output_path=str(tmp_path / "out")
    )
    predict_shards(prediction)
    assert len(results(tmp_path / "out")) == 496
    told = errors(tmp_path / "out")
    assert sum(told.values()) == 4
    assert told["column 'A' is 'six'; expected a number"] == 1
    assert any(count == 2 and "'C'" in message for message, count in told.items())


def test_a_byte_order_mark_is_no_part_of_the_first_record(tmp_path: Path) -> None:
    file = write_rows(tmp_path, "json", ROWS[:3])
    file.write_bytes(codecs.BOM_UTF8 + file.read_bytes())
    bundle = linear_bundle(tmp_path / "bundle")
    predict_shards(PredictionInput(uri=bundle, input_paths=[str(file)], output_path=str(tmp_path / "out")))
    assert len(results(tmp_path / "out")) == 3


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b'{"A": 1}\n' * 1000)[:-20]], ids=["other", "cut off"])
def test_a_damaged_archive_is_told_as_such(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "in.jsonl.gz").write_bytes(content)
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"),
        input_paths=[str(tmp_path / "in.jsonl.gz")],
        output_path=str(tmp_path / "out"),
    )
    with pytest.raises(DataError, match=r"cannot read .*in.jsonl.gz, which is damaged or not of gzip"):
        predict_shards(prediction)


def test_columns_of_all_types_come_out_of_parquet_as_online(tmp_path: Path) -> None:
    from penstock.runtime.model import load_model
    from penstock.serving.answers import Answers

    model = load_model(mixed_bundle(tmp_path / "bundle"))
    kinds = {column.name: column.type.value for column in model.decoder.schema}
    row = {
        name: {"integer": 3, "float": 2.5, "boolean": True, "string": "é", "timestamp": "2024-01-31T10:30:00Z"}[kind]
        for name, kind in kinds.items()
    }
    expected = json.loads(Answers(model.predict(model.decode([row]))).lines()[0])
    casts = ", ".join(
        f"CAST({name} AS {'TIMESTAMP' if kind == 'timestamp' else 'VARCHAR'}) AS {name}"
        if kind in ("timestamp", "string")
        else name
        for name, kind in kinds.items()
    )
    (tmp_path / "in.jsonl").write_text(json.dumps(row))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        source = f"SELECT {casts} FROM read_json('{tmp_path / 'in.jsonl'}')"
        connection.execute(f"COPY ({source}) TO '{tmp_path / 'in.parquet'}' (FORMAT parquet)")
    prediction = PredictionInput(
        uri=model.uri,
        data_format="PARQUET",
        input_paths=[str(tmp_path / "in.parquet")],
        output_path=str(tmp_path / "out"),
    )
    predict_shards(prediction)
    assert results(tmp_path / "out") == [expected]


def test_a_header_that_is_not_the_models_fails_the_job_at_once(tmp_path: Path) -> None:
    file = write_rows(tmp_path, "csv", [{"A": 1, "B": 2, "D": 3}])
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"),
        data_format="CSV",
        input_paths=[str(file)],
        output_path=str(tmp_path / "out"),
    )
    with pytest.raises(DataError, match="no column 'C'"):
        predict_shards(prediction)


def test_finished_shards_are_not_done_again(tmp_path: Path) -> None:
    file = write_rows(tmp_path, "json", ROWS)
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"), input_paths=[str(file)], output_path=str(tmp_path / "out")
    )
    predict_shards(prediction, shard_bytes=20_000)
    first, *others = sorted((tmp_path / "out").glob("prediction.results-*"))
    assert len(others) > 2
    stamps = {file: file.stat().st_mtime_ns for file in others}
    expected = first.read_text()
    first.unlink()
    (tmp_path / "out" / ".prediction" / "shard-00000.json").unlink()
    predict_shards(prediction, shard_bytes=20_000)
    assert first.read_text() == expected
    assert {file: file.stat().st_mtime_ns for file in others} == stamps


def test_the_results_of_another_prediction_are_left_alone(tmp_path: Path) -> None:
    file = write_rows(tmp_path, "json", ROWS[:10])
    prediction = PredictionInput(
        uri=linear_bundle(tmp_path / "bundle"), input_paths=[str(file)], output_path=str(tmp_path / "out")
    )
    predict_shards(prediction)
    write_rows(tmp_path, "json", ROWS[:11])
    with pytest.raises(UsageError, match="another prediction"):
        predict_shards(prediction)


def penstock(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def test_the_command_predicts_with_a_registered_version(tmp_path: Path, home: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    assert penstock("models", "create", "linear", cwd=tmp_path).returncode == 0
    assert penstock("versions", "create", "v1", "--model", "linear", "--origin", bundle, cwd=tmp_path).returncode == 0
    for part in ("one", "two"):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_rows(tmp_path / "in", "json", ROWS[:40]).rename(tmp_path / "in" / f"{part}.jsonl")
    words = ["jobs", "submit", "prediction", "batch", "--model", "linear", "--data-format", "json"]
    words += ["--input-paths", "in/*.jsonl", "--output-path", "out", "--max-worker-count", "2", "--stream-logs"]
    done = penstock(*words, "--region", "us-central1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [row["predictions"][0] for row in results(tmp_path / "out")] == pytest.approx(
        2 * list(map(answer, ROWS[:40]))
    )
    described = json.loads(penstock("jobs", "describe", "batch", "--format", "json", cwd=tmp_path).stdout)
    assert described["predictionInput"]["versionName"] == "projects/local/models/linear/versions/v1"
    assert described["predictionOutput"]["predictionCount"] == "80"
    assert described["predictionOutput"]["errorCount"] == "0"
    assert "trainingInput" not in described
    twice = penstock(*words[:-1], "--keys", "predictions", cwd=tmp_path)
    assert (twice.returncode, "is also an output of the model" in twice.stderr) == (2, True)
    wrong = penstock(*words[:3], "other", *words[4:-1], "--version", "v9", cwd=tmp_path)
    assert wrong.returncode == 1
    assert "v9" in wrong.stderr


def test_a_killed_process_costs_the_shard_it_was_at(tmp_path: Path, home: Path) -> None:
    """The supervisor starts it again, and finished shards stay."""
    bundle = linear_bundle(tmp_path / "bundle")
    rows = "".join(json.dumps(row) + "\n" for row in ROWS) * 60
    (tmp_path / "in.jsonl").write_text(rows)
    words = ["jobs", "submit", "prediction", "batch", "--model-dir", bundle, "--data-format", "json"]
    words += ["--input-paths", "in.jsonl", "--output-path", "out", "--max-worker-count", "1", "--batch-size", "15"]
    assert penstock(*words, cwd=tmp_path).returncode == 0
    state = tmp_path / "out" / ".prediction"
    until = time.monotonic() + 60
    while not (state / "shard-00001.json").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    finished = {file: file.stat().st_mtime_ns for file in state.glob("shard-*.json")}
    (pid,) = subprocess.run(
        ["pgrep", "-f", f"predict_batch.*{tmp_path}/out"], capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["kill", f"-{signal.SIGKILL.value}", pid], check=True)
    assert penstock("jobs", "stream-logs", "batch", cwd=tmp_path).returncode == 0
    assert {file: file.stat().st_mtime_ns for file in finished} == finished
    log = penstock("jobs", "stream-logs", "batch", cwd=tmp_path).stdout
    assert "are finished already" in log
    assert sum(1 for _ in results(tmp_path / "out")) == len(ROWS) * 60
