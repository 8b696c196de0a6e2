"""Trainers of other frameworks, as they were written for AI Platform, each with its framework as a requirement."""

import pytest
from tests.jobs.conftest import Desk

from penstock.jobs.states import JobState

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
