"""The browser example, run under Node with onnxruntime-web as it is published."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock.flows.export_onnx import export_onnx

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "browser" / "predict.mjs"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_an_exported_graph_answers_under_node(tmp_path: Path) -> None:
    subprocess.run(
        ["npm", "install", "onnxruntime-web@1.30"], cwd=tmp_path, check=True, capture_output=True, timeout=240
    )
    shutil.copy(EXAMPLE, tmp_path)

    def ask(model: str, row: dict[str, object]) -> dict[str, list[object]]:
        command = ["node", "predict.mjs", model, json.dumps(row)]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
        answer = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(answer, dict)
        return answer

    export_onnx(linear_bundle(tmp_path / "linear"), output=str(tmp_path / "linear.onnx"))
    assert ask("linear.onnx", {"A": 1, "B": 2, "C": 3}) == {"predictions": [321]}
    export_onnx(mixed_bundle(tmp_path / "mixed"), output=str(tmp_path / "mixed.onnx"))
    answer = ask("mixed.onnx", {"age": 4.5, "rooms": 3, "owner": 1, "zone": "Á", "sold": 1700000000000000})
    assert answer == {"numbers": [4.5, 3, 1], "class_ids": [1700000000000000], "classes": ["MISSING", "Á"]}
