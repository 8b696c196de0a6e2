from pathlib import Path

import pytest
from tests.runtime.bundles import linear_bundle
from tests.runtime.test_explanation import BACKGROUND, samples
from tests.serving.servers import run_server

from penstock.client.client import Client

ROW = {"A": 10, "B": 1, "C": -1}


def test_a_server_explains_in_ml_engines_shape_and_within_bounds(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle", files=samples(BACKGROUND))
    with run_server(tmp_path, "--model-dir", bundle, "--model-name", "linear") as server:
        body = {"instances": [ROW], "parameters": {"num_paths": 8}}
        answer = server.client.post("/v1/projects/local/models/linear:explain", json=body)
        assert answer.status_code == 200, answer.text
        (told,) = answer.json()["explanations"]
        (of_label,) = told["attributions_by_label"]
        assert of_label["attributions"] == pytest.approx({"A": 7, "B": 0, "C": -200}, abs=1e-3)
        assert of_label["baseline_score"] == pytest.approx(113)
        assert of_label["example_score"] == pytest.approx(-80)
        assert of_label["output_name"] == "predictions"
        assert server.client.post("/v1/models/linear/versions/1:explain", json=body).json() == answer.json()

        for wrong, words in [
            ({"instances": [ROW], "parameters": {"num_paths": 0}}, "num_paths is 0"),
            ({"instances": [ROW] * 1000, "parameters": {"num_paths": 1000}}, "4,000,000 predictions"),
            ({"instances": [{"A": 1}]}, "no column 'B'"),
            ({}, "Missing 'instances' key"),
        ]:
            refused = server.client.post("/v1/projects/local/models/linear:explain", json=wrong)
            assert refused.status_code == 400
            assert words in refused.json()["error"]["message"]

        with Client(server.url) as client:
            (one,) = client.explain("linear", [ROW], paths=8)
        assert one == of_label
        metrics = server.client.get("/metrics").text
        assert 'penstock_requests_total{protocol="ml_engine",model="linear",version="1",status="200"} 1' in metrics


def test_a_bundle_without_samples_says_so(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    with run_server(tmp_path, "--model-dir", bundle, "--model-name", "linear") as server:
        answer = server.client.post("/v1/models/linear:explain", json={"instances": [ROW]})
        assert answer.status_code == 400
        assert "samples.jsonl" in answer.json()["error"]
        assert server.predict("linear", ROW).status_code == 200
