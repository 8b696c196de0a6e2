"""The lab's commands for jobs, with the program's name changed, on a local Ray cluster of fixed size."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.jobs.test_ray import Cluster, start, stop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "housing" / "trainer"
LAB_CONFIG = """
trainingInput: {scaleTier: CUSTOM, masterType: complex_model_m_gpu, workerType: complex_model_m_gpu, workerCount: 1}
"""

Penstock = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    started = start(tmp_path_factory.mktemp("ray-home"))
    yield started
    stop(started)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "trainer")
    (tmp_path / "config.yaml").write_text(LAB_CONFIG)
    return tmp_path


@pytest.fixture
def penstock(cluster: Cluster, folder: Path) -> Penstock:
    environment = {**os.environ, "PENSTOCK_HOME": str(cluster.home), "PENSTOCK_RAY_ADDRESS": cluster.address}

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "penstock.cli.main", *words]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    return run


def submit(penstock: Penstock, folder: Path, job: str, *words: str) -> "subprocess.CompletedProcess[str]":
    bucket = folder / "bucket" / job
    lab = ["--region=us-central1", "--module-name=trainer.task", "--package-path=./trainer", f"--job-dir={bucket}"]
    lab += ["--runtime-version", "1.4", *words, "--stream-logs", "--", f"--output_dir={bucket}/output"]
    return penstock("jobs", "submit", "training", job, *lab)


@pytest.mark.parametrize("tier", ["BASIC", "STANDARD_1"])
def test_the_labs_training_exports_a_model(tier: str, penstock: Penstock, folder: Path) -> None:
    done = submit(penstock, folder, tier.lower(), f"--scale-tier={tier}")
    assert done.returncode == 0, done.stderr
    (exported,) = (folder / "bucket" / tier.lower() / "output" / "export" / "Servo").iterdir()
    assert (exported / "model.onnx").is_file()
    described = json.loads(penstock("jobs", "describe", tier.lower(), "--format", "json").stdout)
    assert described["state"] == "SUCCEEDED"
    if tier == "STANDARD_1":
        assert "shard 5 of 5 trains on rows" in done.stderr


@pytest.mark.parametrize(
    ("job", "words", "asked"),
    [("gpu", ["--scale-tier=BASIC_GPU"], "1 GPU"), ("gpus", ["--config", "config.yaml"], "8 GPUs")],
)
def test_gpus_that_the_cluster_lacks_are_refused(
    job: str, words: list[str], asked: str, penstock: Penstock, folder: Path
) -> None:
    if list(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("this machine has a GPU")
    done = submit(penstock, folder, job, *words)
    assert done.returncode == 1
    assert f"the job asks for {asked} and this cluster has 0 GPUs" in done.stderr
