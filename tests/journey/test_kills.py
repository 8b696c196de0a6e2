"""kill -9 at any moment of train, export and register: the next run goes on, and no version names half a bundle."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from penstock.bundle.folder import verify
from penstock.registry.registry import open_registry
from penstock.settings import Settings

Penstock = Callable[..., "CompletedProcess[str]"]

EXPERIMENT = """
data: housing.csv
label: MEDV
estimator: {type: DNNRegressor, hidden_units: [10, 10]}
training: {max_steps: STEPS, batch_size: 64}
"""


@pytest.mark.parametrize(
    ("kills", "steps"),
    [pytest.param(2, 6_000, id="everyday"), pytest.param(25, 20_000, marks=pytest.mark.slow, id="many")],
)
def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    kills: int, steps: int, penstock: Penstock, folder: Path, settings: Settings
) -> None:
    penstock("init", "--example", "housing")
    (folder / "houses.yaml").write_text(EXPERIMENT.replace("STEPS", str(steps)))
    command = ["train", "houses.yaml", "--register", "houses", "--format", "json"]

    started = time.monotonic()
    undisturbed = json.loads(penstock(*command, "--model-dir", "undisturbed").stdout)
    lasts_s = time.monotonic() - started

    draw = random.Random(0)
    for _ in range(kills):
        run_and_kill([*command, "--model-dir", "killed"], folder, after_s=draw.uniform(0.2, lasts_s))
        every_version_is_whole(settings)

    killed = json.loads(penstock(*command, "--model-dir", "killed").stdout)
    assert killed["metrics"] == undisturbed["metrics"]
    assert killed["globalStep"] == undisturbed["globalStep"]
    every_version_is_whole(settings)
    assert not [path.name for path in (folder / "killed" / "export").iterdir() if path.name.startswith(".")]


def run_and_kill(words: list[str], folder: Path, *, after_s: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(timeout=after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def every_version_is_whole(settings: Settings) -> None:
    with open_registry(settings) as registry:
        for model in registry.list_models().items:
            for version in registry.list_versions(model.name).items:
                verify(version.bundle_uri)
