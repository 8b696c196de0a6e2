import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from penstock import feature_column
from penstock.estimators.dnn import DNNRegressor
from penstock.estimators.run_config import RunConfig
from penstock.estimators.summaries import SummaryWriter


def read(folder: Path) -> Any:
    return EventAccumulator(str(folder)).Reload()


def test_scalars_come_back(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.scalars({"loss": 3.5, "auc": 0.25}, 100)
        writer.scalars({"loss": 2.5}, 200)
    events = read(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(100, 3.5), (200, 2.5)]
    assert [event.value for event in events.Scalars("auc")] == [0.25]


def test_a_resumed_training_replaces_what_a_killed_one_wrote_beyond_its_checkpoint(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for step in (100, 200, 300):
            writer.scalars({"loss": 1.0}, step)
    with SummaryWriter(tmp_path, first_step=150) as writer:
        writer.scalars({"loss": 2.0}, 200)
    assert [(event.step, event.value) for event in read(tmp_path).Scalars("loss")] == [(100, 1.0), (200, 2.0)]


def test_a_training_leaves_losses_in_the_labels_unit(houses: Any, tmp_path: Path) -> None:
    config = RunConfig(save_summary_steps=50)
    estimator = DNNRegressor([4], [feature_column.numeric_column("rooms")], tmp_path, config=config)
    estimator.train(lambda: houses, max_steps=170)
    metrics = estimator.evaluate(lambda: houses)
    events = read(tmp_path).Scalars("loss")
    assert [event.step for event in events] == [50, 100, 150, 170]
    assert events[-1].value == pytest.approx(metrics["loss"], rel=0.05)
    assert read(tmp_path / "eval").Scalars("rmse")[0].step == 170


@pytest.mark.slow
def test_tensorboard_shows_scalars_hyperparameters_and_the_graph_by_column_and_layer(
    houses: Any, tmp_path: Path
) -> None:
    town = feature_column.categorical_column_with_vocabulary_list("town", ["Ålesund", "Brno"])
    columns = [feature_column.numeric_column("rooms"), feature_column.embedding_column(town, 2)]
    DNNRegressor([4], columns, tmp_path / "logs" / "run").train(lambda: houses, max_steps=200)
    server = subprocess.Popen(
        [str(Path(sys.executable).parent / "tensorboard"), "--logdir", "logs", "--port", "0", "--load_fast", "false"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = next(line.split()[3] for line in server.stdout if line.startswith("TensorBoard 2"))

        def ask(path: str, body: Any = None) -> str:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"{url}data/{path}", data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return str(answer.read().decode())

        deadline = time.monotonic() + 60
        while "run" not in json.loads(ask("plugin/scalars/tags")):
            assert time.monotonic() < deadline
            time.sleep(0.3)
        assert json.loads(ask("plugin/scalars/tags"))["run"]["loss"]
        graph = ask("plugin/graphs/graph?run=run")
        for name in ("rooms", "town", "town_embedding_vector", "hidden_1", "logits", "predictions"):
            assert f'"{name}"' in graph or f'name: "{name}"' in graph or f"/{name}" in graph, (
                f"{name} in {graph[:2000]}"
            )
        experiment = ask("plugin/hparams/experiment", {"experimentName": ""})
        assert "hidden_units" in experiment
    finally:
        server.kill()
        server.communicate()
