"""Tables larger than the memory they may take: streamed, cached, resumed exactly; refused by what needs them whole."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from penstock.errors import ConfigError, DataError
from penstock.estimators.boosted_trees import BoostedTreesRegressor
from penstock.estimators.checkpoints import CheckpointFolder
from penstock.estimators.dnn import DNNClassifier, DNNRegressor
from penstock.estimators.example_stream import ExampleStream, open_examples
from penstock.estimators.linear import LinearRegressor
from penstock.estimators.run_config import RunConfig
from penstock.estimators.table_input import table_input_fn, table_input_fns

ROWS = 24_000
CAP_MB = 4
"""Of which a quarter is for rows: 1 MB, where the table needs about 5."""


@pytest.fixture(scope="module", params=["parquet", pytest.param("csv", marks=pytest.mark.slow)])
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("large") / f"rows.{request.param}"
    with duckdb.connect() as connection:
        connection.execute("SELECT setseed(0.5)")
        options = "FORMAT parquet, ROW_GROUP_SIZE 2048" if request.param == "parquet" else "FORMAT csv, HEADER"
        connection.execute(
            f"COPY (SELECT a, b, word, 3 * a - 2 * b + CASE WHEN word = 'w1' THEN 1 ELSE 0 END AS y, "
            f"CASE WHEN a > b THEN 'yes' ELSE 'no' END AS bigger FROM (SELECT random() AS a, random() AS b, "
            f"'w' || (i % 4) AS word FROM range({ROWS}) t(i))) TO '{path}' ({options})"
        )
    return str(path)


def test_a_table_over_the_cap_is_streamed_in_its_order_and_every_row_once(table: str) -> None:
    whole = open_examples(table_input_fn(table, label="y"))
    stream = open_examples(table_input_fn(table, label="y", memory_limit_mb=CAP_MB))
    assert not isinstance(whole, ExampleStream)
    assert isinstance(stream, ExampleStream)
    assert stream.blocks > 4
    read = np.concatenate([batch.features["a"] for batch in stream.batches()])
    np.testing.assert_array_equal(read, whole.features["a"])


def test_a_split_of_a_stream_deals_every_row_to_one_side(table: str) -> None:
    sides = table_input_fns(table, label="y", evaluation=0.25, memory_limit_mb=CAP_MB)
    parts = [open_examples(side) for side in sides]
    assert all(isinstance(part, ExampleStream) for part in parts)
    values = [np.concatenate([batch.features["a"] for batch in part.batches()]) for part in parts]  # type: ignore[union-attr]
    assert len(values[0]) + len(values[1]) == ROWS
    assert not set(values[0]) & set(values[1])
    assert 0.23 < len(values[1]) / ROWS < 0.27


def test_networks_and_linear_models_learn_from_a_stream_what_they_learn_in_memory(table: str, tmp_path: Path) -> None:
    for made in (
        DNNRegressor(hidden_units=[16], model_dir=tmp_path / "dnn"),
        LinearRegressor(model_dir=tmp_path / "l"),
    ):
        training, evaluation = table_input_fns(
            table, label="y", features=["a", "b", "word"], batch_size=128, memory_limit_mb=CAP_MB
        )
        made.train(training, max_steps=600)
        assert made.evaluate(evaluation)["r2"] > 0.97
        answers = made.predict(table_input_fn(table, label="y", features=["a", "b", "word"], memory_limit_mb=CAP_MB))
        assert sum(1 for _ in answers) == ROWS


def test_streamed_metrics_are_those_of_all_rows_at_once(table: str, tmp_path: Path) -> None:
    model = DNNClassifier(hidden_units=[8], model_dir=tmp_path, prediction_sets=0.9)
    features = ["a", "b", "word"]
    model.train(table_input_fn(table, label="bigger", features=features), max_steps=30)
    streamed = model.evaluate(table_input_fn(table, label="bigger", features=features, memory_limit_mb=CAP_MB))
    whole = model.evaluate(table_input_fn(table, label="bigger", features=features))
    assert list(streamed) == list(whole)
    assert "prediction_set/coverage" in whole
    for name, value in whole.items():
        assert streamed[name] == pytest.approx(value, abs=2e-4 if name.startswith("auc") else 1e-6), name


def test_an_open_ended_training_stops_early_on_rows_held_out_of_the_stream(table: str, tmp_path: Path) -> None:
    model = LinearRegressor(model_dir=tmp_path, config=RunConfig(save_checkpoints_steps=500))
    model.train(table_input_fn(table, label="y", features=["a", "b", "word"], batch_size=512, memory_limit_mb=CAP_MB))
    newest = model.latest_checkpoint()
    assert newest is not None
    facts = CheckpointFolder(tmp_path).load(int(newest.rpartition("-")[2])).facts
    assert 0 < facts["best_value"] < 0.05
    assert not list((Path(os.environ["PENSTOCK_HOME"]) / "cache" / "rows").glob("*/*.rows"))


def test_a_training_gone_on_with_in_the_middle_of_an_epoch_ends_alike(table: str, tmp_path: Path) -> None:
    def train(folder: Path, *ends: int) -> None:
        for end in ends:
            model = LinearRegressor(model_dir=folder, learning_rate_schedule="constant")
            model.train(table_input_fn(table, label="y", batch_size=500, memory_limit_mb=CAP_MB), max_steps=end)

    train(tmp_path / "twice", 31, 80)
    train(tmp_path / "once", 80)
    ends = [CheckpointFolder(tmp_path / name).load(80).arrays for name in ("twice", "once")]
    for name in ends[0]:
        np.testing.assert_array_equal(ends[0][name], ends[1][name])


@pytest.mark.slow
def test_a_training_killed_in_its_second_epoch_ends_as_one_that_was_not(table: str, tmp_path: Path) -> None:
    program = textwrap.dedent("""
        import sys
        from penstock.estimators.dnn import DNNRegressor
        from penstock.estimators.run_config import RunConfig
        from penstock.estimators.table_input import table_input_fn
        model = DNNRegressor(hidden_units=[8], model_dir=sys.argv[2], config=RunConfig(save_checkpoints_steps=25))
        model.train(
            table_input_fn(
                sys.argv[1], label="y", features=["a", "b", "word"], batch_size=100, memory_limit_mb=int(sys.argv[3])
            ),
            max_steps=600,
        )
    """)
    command = [sys.executable, "-c", program, table]
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    process = subprocess.Popen([*command, str(killed), str(CAP_MB)])
    while process.poll() is None and not any(step >= 300 for step in CheckpointFolder(killed).steps()):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run([*command, str(killed), str(CAP_MB)], check=True)
    subprocess.run([*command, str(undisturbed), str(CAP_MB)], check=True)
    ends = [CheckpointFolder(folder).load(600).arrays for folder in (killed, undisturbed)]
    for name in ends[0]:
        np.testing.assert_array_equal(ends[0][name], ends[1][name])


def test_trees_and_full_batches_refuse_what_does_not_fit_with_its_size(table: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"24,000 rows, which take about 0\.\d\d GB in memory"):
        BoostedTreesRegressor(model_dir=tmp_path / "t").train(table_input_fn(table, label="y", memory_limit_mb=CAP_MB))
    with pytest.raises(ConfigError, match="batch_size"):
        DNNRegressor(hidden_units=[4], model_dir=tmp_path / "d").train(
            table_input_fn(table, label="y", batch_size="all", memory_limit_mb=CAP_MB), max_steps=3
        )
