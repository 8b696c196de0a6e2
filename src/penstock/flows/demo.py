"""The talk as a program: house prices from a CSV file to two predictions over HTTP, told step by step."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from penstock.bundle.manifest import Manifest
from penstock.client.client import Client
from penstock.data.columns import ColumnBatch
from penstock.data.options import Detection
from penstock.data.profile import TableProfile
from penstock.data.profiler import profile_table
from penstock.data.table import open_table
from penstock.errors import ServiceError
from penstock.flows.publish import publish
from penstock.flows.train import Trained, train_experiment
from penstock.settings import Settings
from penstock.training.experiment import (
    DataSection,
    EstimatorSection,
    Experiment,
    LabelSection,
    TrainingSection,
)

__all__ = ["DemoStep", "Explored", "Exported", "Predicted", "Registered", "Served", "run_demo"]

FEATURES = ("CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO")
LABEL = "MEDV"
MODEL = "housing_prices"
STEPS = 3000

_READY_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Explored:
    """The table: what was found out about it, its first rows, and every column's profile."""

    path: str
    detections: tuple[Detection, ...]
    first_rows: ColumnBatch
    profile: TableProfile


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The trained network as a bundle. train_s: reading, training, evaluation and export."""

    uri: str
    model_dir: str
    manifest: Manifest
    train_s: float


@dataclass(frozen=True, kw_only=True)
class Registered:
    model: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Served:
    """start_s: from starting the server to its ready line."""

    url: str
    start_s: float


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The lab's records with their answers, in dollars, as they came over HTTP."""

    records: tuple[Mapping[str, Any], ...]
    dollars: tuple[float, ...]


DemoStep = Explored | Exported | Registered | Served | Predicted


def run_demo(settings: Settings, *, note: Callable[[str], None]) -> Iterator[DemoStep]:
    """Explores, trains, exports, registers, serves and predicts, all under the home of these settings.

    The server listens on loopback on a free port and ends when the iterator does.
    """
    with as_file(files("penstock.data").joinpath("packaged", "housing_lab.csv")) as path:
        yield _explore(path, settings)
        started = time.perf_counter()
        trained = train_experiment(the_labs_experiment(str(path)), settings=settings, note=note)
    yield _exported(trained, time.perf_counter() - started)
    version = publish(trained.uri, model=MODEL, version_name=None, set_default=True, settings=settings)
    yield Registered(model=MODEL, version=version.name)
    with serve_on_a_free_port(settings) as served:
        yield served
        records = tuple(_the_labs_records())
        with Client(served.url) as client:
            answers = client.predict(MODEL, list(records))
        yield Predicted(records=records, dollars=tuple(float(answer[0]) for answer in answers))


def the_labs_experiment(source: str) -> Experiment:
    """The 2017 lab: nine numeric columns, two hidden layers of ten, the whole table in each of 3,000 steps."""
    return Experiment(
        data=DataSection(source=source),
        label=LabelSection(name=LABEL, unit="dollars"),
        task="regression",
        features=dict.fromkeys(FEATURES, "numeric"),
        estimator=EstimatorSection(type="DNNRegressor", parameters={"hidden_units": [10, 10]}),
        training=TrainingSection(max_steps=STEPS, batch_size="all"),
    )


@contextmanager
def serve_on_a_free_port(settings: Settings) -> Generator[Served]:
    """A prediction server of its own for as long as the context lasts."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "penstock.cli.main", "--project", settings.project, "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment_of(settings)
    ) as process:
        try:
            url = _wait_until_ready(process)
            yield Served(url=url, start_s=time.perf_counter() - started)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _explore(path: Path, settings: Settings) -> Explored:
    table = open_table(str(path), settings=settings)
    try:
        return Explored(
            path=path.name,
            detections=table.detections,
            first_rows=table.read(limit=5),
            profile=profile_table(table),
        )
    finally:
        table.close()


def _exported(trained: Trained, train_s: float) -> Exported:
    return Exported(uri=trained.uri, model_dir=trained.model_dir, manifest=trained.manifest, train_s=train_s)


def _the_labs_records() -> Iterator[Mapping[str, Any]]:
    text = files("penstock.data").joinpath("packaged", "housing_records.json").read_text(encoding="utf-8")
    return ({name: json.loads(line)[name] for name in FEATURES} for line in text.splitlines())


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """The address in the server's ready line. Raises ServiceError with what the server said instead."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + _READY_WITHIN_S
    for line in process.stdout:
        if found := re.search(r"http://[\w.:\[\]]+", line):
            return found.group()
        if time.monotonic() > deadline:
            break
    process.kill()
    raise ServiceError(f"the prediction server did not start: {process.stderr.read().strip() or 'it said nothing'}")


def _environment_of(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "PENSTOCK_HOME": str(settings.home),
        "PENSTOCK_DATABASE_URL": settings.database_url,
        "PENSTOCK_ARTIFACTS": settings.artifacts_uri,
    }
