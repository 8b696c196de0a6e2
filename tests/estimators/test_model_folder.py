"""A training whose model folder is at a URI: there afterwards, whole, and gone on with from another machine."""

import threading
from collections.abc import Generator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from penstock.bundle.folder import find_bundle, verify
from penstock.errors import PreconditionError, UsageError
from penstock.estimators.dnn import DNNRegressor
from penstock.estimators.model_folder import ModelFolder
from penstock.estimators.run_config import RunConfig
from penstock.features.numeric import NumericColumn
from penstock.store.folder_lock import lock_folder
from penstock.training.specs import EvalSpec, TrainSpec
from penstock.training.train_and_evaluate import train_and_evaluate

BUCKET = "memory://bucket"


@pytest.fixture(autouse=True)
def _empty_bucket() -> Generator[None]:
    yield
    system = fsspec.filesystem("memory")
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)


def rows() -> tuple[dict[str, np.ndarray], np.ndarray]:
    x = np.linspace(0.0, 1.0, 64)
    return {"x": x}, 3.0 * x


def regressor(place: str) -> DNNRegressor:
    return DNNRegressor(
        [4], feature_columns=[NumericColumn(key="x")], model_dir=place, config=RunConfig(save_checkpoints_steps=50)
    )


def test_a_training_at_a_uri_is_gone_on_with_and_exported_there() -> None:
    first = regressor(f"{BUCKET}/run")
    first.train(rows, max_steps=100)
    first.evaluate(rows)
    assert first.model_dir == f"{BUCKET}/run"
    system = fsspec.filesystem("memory")
    names = {name.rsplit("/", 1)[1] for name in system.find("/bucket/run")}
    assert {"checkpoint-100.json", "checkpoint-100.npz", "estimator.json", "evaluation.json"} <= names

    elsewhere = regressor(f"{BUCKET}/run")
    elsewhere.train(rows, max_steps=150)
    assert str(elsewhere.latest_checkpoint()).endswith("checkpoint-150")
    uri = elsewhere.export_saved_model(f"{BUCKET}/run/export")
    assert find_bundle(f"{BUCKET}/run/export") == uri
    assert verify(uri).global_step == 150


def test_what_is_removed_here_is_removed_there() -> None:
    folder = ModelFolder(f"{BUCKET}/other")
    (folder.path / "a.npz").write_bytes(b"a")
    (folder.path / "eval").mkdir()
    (folder.path / "eval" / "b").write_bytes(b"b")
    folder.bring_back()
    (folder.path / "a.npz").unlink()
    (folder.path / "eval" / "b").write_bytes(b"longer")
    folder.bring_back()
    system = fsspec.filesystem("memory")
    assert system.find("/bucket/other") == ["/bucket/other/eval/b"]
    assert system.cat_file("/bucket/other/eval/b") == b"longer"
    again = ModelFolder(f"{BUCKET}/other")
    assert (again.path / "eval" / "b").read_bytes() == b"longer"


def test_a_local_folder_is_worked_in_directly(tmp_path: Path) -> None:
    folder = ModelFolder(tmp_path / "run")
    assert folder.path == tmp_path / "run"
    assert folder.place == str(tmp_path / "run")
    assert ModelFolder(f"file://{tmp_path}/run").path == tmp_path / "run"
    folder.bring_back()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        ModelFolder(tmp_path / "file")


@pytest.mark.parametrize("place", ["local", f"{BUCKET}/run"])
def test_two_trainings_do_not_share_a_folder(place: str, tmp_path: Path) -> None:
    place = str(tmp_path / place) if place == "local" else place
    holds, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_folder(place, doing="is being trained in"):
            holds.set()
            is_over.wait()

    other = threading.Thread(target=hold)
    other.start()
    holds.wait()
    ours = regressor(place)
    try:
        with pytest.raises(PreconditionError, match=r"is being trained in by process \d+ on host"):
            ours.train(rows, max_steps=10)
        with pytest.raises(PreconditionError, match=r"is being trained in by process \d+ on host"):
            train_and_evaluate(ours, TrainSpec(rows, max_steps=10), EvalSpec(rows))
        assert ours.latest_checkpoint() is None
    finally:
        is_over.set()
        other.join()
    ours.train(rows, max_steps=10)
    assert str(ours.latest_checkpoint()).endswith("checkpoint-10")


def test_at_a_uri_a_training_goes_on_from_what_another_left_since_it_was_made() -> None:
    early, late = regressor(f"{BUCKET}/run"), regressor(f"{BUCKET}/run")
    early.train(rows, max_steps=50)
    late.train(rows, max_steps=60)
    names = [name.rsplit("/", 1)[1] for name in fsspec.filesystem("memory").find("/bucket/run")]
    assert {"checkpoint-50.json", "checkpoint-60.json"} <= set(names)
    assert ".lock" not in names
