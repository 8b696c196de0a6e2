"""`penstock export` as a person types it."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tests.runtime.bundles import linear_bundle

from penstock.cli.main import main

Output = pytest.CaptureFixture[str]


def run(output: Output, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(list(words))
    out, err = output.readouterr()
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, out, err


def test_the_graph_is_a_file_that_any_runtime_takes(tmp_path: Path, capsys: Output) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    place = tmp_path / "out" / "linear.onnx"
    status, out, err = run(capsys, "export", bundle, "--to", "onnx", "--output", str(place))
    assert (status, out) == (0, f"wrote {place}\n")
    assert "float64" in err
    session = onnxruntime.InferenceSession(place)
    answer = session.run(None, {name: np.array([[1.0], [2.0]]) for name in ("A", "B", "C")})
    assert answer[0].tolist() == [[111.0], [222.0]]


def test_what_is_there_already_is_not_written_over(tmp_path: Path, capsys: Output) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    place = tmp_path / "linear.onnx"
    place.write_text("mine")
    status, _, err = run(capsys, "export", bundle, "--to", "onnx", "--output", str(place))
    assert status == 1
    assert "--output" in err
    assert place.read_text() == "mine"


def test_a_registered_model_is_exported_by_its_name(tmp_path: Path, capsys: Output) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    assert run(capsys, "models", "create", "houses")[0] == 0
    assert run(capsys, "versions", "create", "v1", "--model", "houses", "--origin", bundle)[0] == 0
    place = tmp_path / "houses.onnx"
    status, out, _ = run(
        capsys, "export", "--model", "houses", "--to", "onnx", "--output", str(place), "--format", "json"
    )
    assert status == 0
    assert json.loads(out)["output"] == str(place)
    assert place.is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "onnx"], "expected either a BUNDLE"),
        (["nowhere", "--to", "onnx"], "there is no folder"),
        (["nowhere", "--to", "onnx", "--name", "x"], "--name goes with --to docker"),
        (["nowhere", "--to", "pmml"], "pmml"),
        (["nowhere", "--to", "onnx", "--version", "v1"], "--version goes with --model"),
    ],
)
def test_misuse_is_told(capsys: Output, words: list[str], said: str) -> None:
    status, _, err = run(capsys, "export", *words)
    assert status in (1, 2)
    assert said in err
