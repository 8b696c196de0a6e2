"""Trainers of other frameworks, as they were written for AI Platform, each with its framework as a requirement."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.jobs.conftest import Desk

from penstock.jobs.states import JobState
from penstock.registry.registry import open_registry
from penstock.settings import load_settings

KERAS = """
import argparse, json, os
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--job-dir", required=True)
parser.add_argument("--epochs", type=int, default=2)
arguments = parser.parse_args()
print(json.loads(os.environ["TF_CONFIG"])["task"])
x = tf.random.stateless_normal((64, 3), seed=(1, 2))
y = tf.reduce_sum(x, axis=1, keepdims=True)
model = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, y, epochs=arguments.epochs, verbose=0)
model.export(os.path.join(arguments.job_dir, "export", "1"))
print("answers", float(model(tf.constant([[1.0, 2.0, 3.0]]))[0, 0]))
print("from", tf.__file__)
"""


@pytest.mark.slow  # TensorFlow is 1.3 GB
@pytest.mark.timeout(900)
def test_a_keras_trainer_runs_unmodified_with_its_own_tensorflow(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.jobs.conftest.PATIENCE_S", 800.0)
    project = desk.folder / "keras"
    project.mkdir(parents=True)
    (project / "requirements.txt").write_text("tensorflow-cpu\n")
    desk.submit("keras", KERAS, job_dir=str(project / "out"))
    record = desk.wait("keras")
    assert record.state is JobState.SUCCEEDED, desk.log("keras", None)
    lines = desk.log("keras")
    assert "{'type': 'master', 'index': 0}" in lines
    assert f"from {desk.settings.home / 'environments'}" in lines[-1]
    assert (project / "out" / "export" / "1" / "saved_model.pb").is_file()
    if find_spec("tensorflow") is not None:  # translating a SavedModel needs TensorFlow here, and not only in the job
        said = float(next(line for line in lines if line.startswith("answers")).split()[1])
        assert served_answer(project) == pytest.approx(said, rel=1e-5)


def served_answer(project: Path) -> float:
    """Of the job's SavedModel, deployed as the lab deploys its own."""

    def penstock(*words: str) -> str:
        command = [sys.executable, "-m", "penstock.cli.main", *words]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    penstock("models", "create", "keras", "--regions", "us-central1")
    penstock("versions", "create", "v1", "--model", "keras", "--origin", "out/export/1", "--staging-bucket=bucket")
    with open_registry(load_settings()) as registry:
        (version,) = registry.list_versions("keras").items
    (project / "rows.json").write_text("[1.0, 2.0, 3.0]\n")
    answered = penstock("local", "predict", "--model-dir", version.bundle_uri, "--json-instances", "rows.json")
    (prediction,) = json.loads(answered)["predictions"]
    while not isinstance(prediction, float):  # in its output's name, and a list of one
        (prediction,) = prediction.values() if isinstance(prediction, dict) else prediction
    return prediction
