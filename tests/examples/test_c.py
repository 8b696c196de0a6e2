"""The C example, compiled as it says and run with the library in ONNX Runtime's wheel."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock import estimator
from penstock.flows.export_onnx import export_onnx
from penstock.runtime.model import load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is installed"),
]

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "c" / "predict.c"

# ONNX Runtime's wheel has no header. AMD's quantizer carries that of 1.17, whose functions keep their places in every
# later library; the example asks for those alone.
HEADER_PACKAGE = "amd-quark==0.13 --hash=sha256:3b3e58a4cbbcff20d27815b641aa4de4d698efde3c782306cb4a6a05bcf55c8c"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled example, beside what an unpacked release of ONNX Runtime holds."""
    folder = tmp_path_factory.mktemp("c")
    include, lib = folder / "onnxruntime" / "include", folder / "onnxruntime" / "lib"
    include.mkdir(parents=True)
    lib.mkdir()
    (folder / "header.txt").write_text(HEADER_PACKAGE)
    options = ["--quiet", "--no-deps", "--require-hashes", "--target", str(folder / "site"), "-r", "header.txt"]
    _run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options], folder, timeout=240)
    (header,) = (folder / "site").rglob("onnxruntime_c_api.h")
    shutil.copy(header, include)
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (lib / name).symlink_to(library)
    shutil.copy(EXAMPLE, folder)
    (command,) = (line[5:] for line in EXAMPLE.read_text().splitlines() if line.startswith("//   cc "))
    assert command in (REPOSITORY / "docs" / "portability.md").read_text().splitlines()
    _run(["sh", "-c", f"{command} -Wall -Wextra -Werror"], folder)
    return folder


def _run(command: list[str], folder: Path, *, timeout: int = 60) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _ask(folder: Path, graph: Path, row: dict[str, Any]) -> dict[str, list[str]]:
    given = [f"{name}={value}" for name, value in row.items() if value is not None]
    lines = _run(["./predict", str(graph), *given], folder).splitlines()
    return {name: values for name, *values in (line.split("\t") for line in lines)}


def test_an_exported_graph_answers_in_c(folder: Path, tmp_path: Path) -> None:
    linear, mixed = tmp_path / "linear.onnx", tmp_path / "mixed.onnx"
    export_onnx(linear_bundle(tmp_path / "linear"), output=str(linear))
    assert _ask(folder, linear, {"A": 1, "B": 2, "C": 3}) == {"predictions": ["321"]}
    assert _ask(folder, linear, {"A": 1, "C": 3}) == {"predictions": ["291"]}  # missing counts as -1
    export_onnx(mixed_bundle(tmp_path / "mixed"), output=str(mixed))
    answer = _ask(folder, mixed, {"age": 4.5, "rooms": 3, "owner": 1, "zone": "Á", "sold": 1700000000000000})
    assert answer == {
        "numbers": ["4.5", "3", "1"],
        "class_ids": ["1700000000000000"],
        "classes": ["MISSING", "Á"],
    }
    assert _ask(folder, mixed, {"age": 4.5, "zone": ""}) == {
        "numbers": ["4.5", "nan", "nan"],
        "class_ids": [str(-(2**63))],
        "classes": ["MISSING", ""],
    }


def test_a_trained_model_answers_in_c_as_it_is_served(folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = {"size": rng.normal(size=200), "town": rng.choice(["Ålesund", "Brno"], 200).astype(object)}
    labels = np.where(table["size"] + (table["town"] == "Brno") > 0.5, "dear", "cheap").astype(object)
    table["size"][:10], table["town"][10:20] = np.nan, None
    trees = estimator.BoostedTreesClassifier(model_dir=str(tmp_path / "model"))
    bundle = trees.train(lambda: (table, labels), max_steps=20).export_saved_model(tmp_path / "export")
    export_onnx(str(bundle), output=str(tmp_path / "trees.onnx"))
    model = load_model(bundle)
    rows: list[dict[str, Any]] = [
        {"size": 1.5, "town": "Brno"},
        {"size": -0.25, "town": None},
        {"size": None, "town": "elsewhere"},
    ]
    for row in rows:
        served = model.predict(model.decode([row]))
        answer = _ask(folder, tmp_path / "trees.onnx", row)
        assert answer.keys() == served.keys()
        assert np.array(answer["probabilities"], np.float32) == pytest.approx(served["probabilities"][0], rel=1e-6)
        assert answer["classes"] == [served["classes"][0, 0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linear.onnx", "AA=1"], "AA=1 names no column of the graph; it takes A, B, C"),
        (["linear.onnx", "A=one"], "A=one is no number"),
        (["none.onnx"], "none.onnx"),
    ],
)
def test_what_cannot_be_asked_is_told(folder: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    export_onnx(linear_bundle(tmp_path / "linear"), output=str(tmp_path / "linear.onnx"))
    done = subprocess.run([folder / "predict", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert message in done.stderr
