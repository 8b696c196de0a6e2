import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from penstock.estimators.checkpoints import Checkpoint
from penstock.estimators.ring import Ring, _pack, _unpack

TASK = """
import json, sys
import numpy as np
import penstock

random = np.random.default_rng(0)
columns = {f"x{i}": random.normal(size=301).astype(np.float32) for i in range(3)}
labels = columns["x0"] * 2 + columns["x1"] ** 2
estimator, column = penstock.estimator, penstock.feature_column
made = estimator.DNNRegressor(
    feature_columns=[column.numeric_column(name) for name in columns], hidden_units=[8], model_dir=sys.argv[1]
)
train = estimator.inputs.numpy_input_fn(columns, labels, batch_size=32, num_epochs=None, shuffle=True)
evaluate = estimator.inputs.numpy_input_fn(columns, labels, batch_size=301, shuffle=False)
steps = int(sys.argv[2])
spec = estimator.EvalSpec(evaluate, steps=1)
metrics, _ = estimator.train_and_evaluate(made, estimator.TrainSpec(train, max_steps=steps), spec)
with open("measured", "a") as file:
    file.write(f"{metrics['loss']}\\n")
answers = [float(one["predictions"][0]) for one in made.predict(evaluate)]
if not made.is_worker:
    print("ANSWERS", json.dumps(answers))
"""


GROWN = """
import sys
import numpy as np
import penstock

random = np.random.default_rng(0)
columns = {f"x{i}": random.normal(size=601).astype(np.float32) for i in range(3)}
labels = columns["x0"] * 2 + columns["x1"] ** 2
estimator, column = penstock.estimator, penstock.feature_column
made = estimator.BoostedTreesRegressor(
    feature_columns=[column.numeric_column(name) for name in columns], model_dir=sys.argv[1], EXTRA
)
train = estimator.inputs.numpy_input_fn(columns, labels, batch_size=601, num_epochs=None, shuffle=False)
evaluate = estimator.inputs.numpy_input_fn(columns, labels, batch_size=601, shuffle=False)
made.train(train, max_steps=STEPS)
if not made.is_worker:
    print("ANSWERS", [float(one["predictions"][0]) for one in made.predict(evaluate)])
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "trainer"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "task.py").write_text(TASK)
    return folder


def train(
    package: Path, model_dir: str, steps: int, *words: str
) -> tuple["np.ndarray[tuple[int], np.dtype[np.float64]]", str]:
    command = [sys.executable, "-m", "penstock.cli.main", "local", "train", "--module-name=trainer.task", *words]
    command += ["--", model_dir, str(steps)]
    done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWERS")]
    return np.array(json.loads(line.removeprefix("ANSWERS "))), done.stderr


@pytest.mark.slow
def test_two_processes_train_the_model_that_one_trains_and_only_the_chief_keeps_it(package: Path) -> None:
    alone, _ = train(package, "alone", 120)
    two = ["--distributed", "--worker-count=1", "--parameter-server-count=1", "--start-port=31200"]
    together, said = train(package, "together", 120, *two)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    assert "shard 1 of 2 trains on rows 0 to 151 of 301" in said
    measured = (package.parent / "measured").read_text().split()
    assert len(measured) == 3
    assert measured[1] == measured[2], "the worker is told what the chief has measured"
    assert "shard 2 of 2 trains on rows 151 to 301 of 301" in said
    assert "canned estimators need no parameter servers" in said
    assert (package.parent / "together" / "checkpoint-120.json").exists()
    assert len(list((package.parent / "together").glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(package: Path) -> None:
    whole, _ = train(package, "whole", 100)
    train(package, "parts", 50)
    parts, _ = train(package, "parts", 100, "--distributed", "--worker-count=2", "--start-port=31300")
    # The schedule of the first half is that of 50 steps: not the same model, but the same place to go on from.
    assert np.abs(parts - whole).mean() < 1.0
    assert (package.parent / "parts" / "checkpoint-100.json").exists()


@pytest.mark.slow
def test_three_and_four_devices_of_one_process_agree_with_one(package: Path) -> None:
    """Three are reduced by JAX's own all-reduce, four by exchanges between partners."""
    results = []
    for devices in (1, 3, 4):
        environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        command = [sys.executable, "-m", "trainer.task", f"devices-{devices}", "60"]
        done = subprocess.run(
            command, cwd=package.parent, env=environment, capture_output=True, text=True, check=False, timeout=240
        )
        assert done.returncode == 0, done.stderr
        results.append(np.array(json.loads(done.stdout.partition("ANSWERS ")[2])))
    for found in results[1:]:
        np.testing.assert_allclose(found, results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "steps"), [("n_trees=40", "40"), ("early_stopping=True, n_trees=300", "None")])
def test_two_processes_grow_the_trees_that_one_grows(package: Path, extra: str, steps: str) -> None:
    (package / "task.py").write_text(GROWN.replace("EXTRA", extra).replace("STEPS", steps))
    alone, _ = train(package, "alone", 0)
    two = ["--distributed", "--worker-count=1", "--parameter-server-count=1", "--start-port=31600"]
    together, said = train(package, "together", 0, *two)
    # Sums of histograms are in another order, and where two splits are as good another is taken.
    assert np.abs(together - alone).mean() < 0.02 * alone.std()
    assert "shard 1 of 2 grows on rows" in said
    assert "shard 2 of 2 grows on rows" in said
    assert list((package.parent / "together").glob("checkpoint-*.json"))


@pytest.mark.slow
def test_trees_grow_on_with_another_number_of_processes(package: Path) -> None:
    for steps, words in ((10, []), (20, ["--distributed", "--worker-count=1", "--start-port=31700"])):
        (package / "task.py").write_text(GROWN.replace("EXTRA", "n_trees=20").replace("STEPS", str(steps)))
        train(package, "parts", 0, *words)
    (package / "task.py").write_text(GROWN.replace("EXTRA", "n_trees=20").replace("STEPS", "20"))
    parts, _ = train(package, "parts", 0)
    whole, _ = train(package, "whole", 0)
    assert np.abs(parts - whole).mean() < 0.02 * whole.std()


def test_a_checkpoint_passes_from_process_to_process_whole() -> None:
    sent = Checkpoint(7, {"trainable/0": np.arange(6, dtype=np.float32).reshape(2, 3)}, {"best": 0.5})
    got = _unpack(_pack(sent))
    assert (got.step, got.facts) == (7, {"best": 0.5})
    np.testing.assert_array_equal(got.arrays["trainable/0"], sent.arrays["trainable/0"])


def test_a_lone_process_waits_for_nobody_and_keeps_its_own_folder() -> None:
    ring = Ring()
    ring.wait_for_all()
    assert ring.own_folder() is None
    assert ring.chiefs_checkpoint(lambda: None) is None
    assert Ring(rank=1, size=2).own_folder() is not None
