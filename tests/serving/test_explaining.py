from pathlib import Path

import pytest
from tests.runtime.bundles import linear_bundle
from tests.runtime.test_explanation import BACKGROUND, samples
from tests.serving.servers import run_server

from penstock.client.client import Client
from penstock.registry.records import ExplanationConfig, Requested, SampledShapley
from penstock.registry.registry import open_registry
from penstock.settings import Settings

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
            ({"instances": [ROW], "parameters": {"num_paths": 1001}}, "num_paths is 1001"),
            ({"instances": [ROW], "parameters": {"num_paths": True}}, "num_paths is "),
            ({"instances": [ROW], "parameters": {"num_paths": "8"}}, "num_paths is "),
            ({"instances": [ROW], "parameters": {"num_paths": 10**30}}, ""),
            ({"instances": [ROW], "parameters": [8]}, "expected an object"),
            ({"instances": [{"A": 1}]}, "no column 'B'"),
            ({"instances": [{**ROW, "A": "x"}]}, "column 'A'"),
            ({"instances": [None]}, ""),
            ({"instances": "rows"}, "instances"),
            ({"instances": []}, "instances"),
            ({}, "Missing 'instances' key"),
            ([ROW], ""),
        ]:
            refused = server.client.post("/v1/projects/local/models/linear:explain", json=wrong)
            assert refused.status_code == 400, (wrong, refused.text)
            assert words in refused.json()["error"]["message"], (wrong, refused.text)
        for raw in (b"", b"{", b'{"instances": [{"A": NaN}]}', b"\xff\xfe", b"[" * 100_000):
            refused = server.client.post("/v1/projects/local/models/linear:explain", content=raw)
            assert refused.status_code == 400, (raw[:20], refused.text)
        assert server.client.get("/v1/projects/local/models/linear:explain").status_code == 405
        assert server.client.post("/v1/models/linear/versions/9:explain", json=body).status_code == 404

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


def test_a_version_names_the_paths_for_callers_who_do_not(tmp_path: Path, settings: Settings) -> None:
    bundle = linear_bundle(tmp_path / "bundle", files=samples(BACKGROUND))
    requested = Requested(explanation_config=ExplanationConfig(sampled_shapley_attribution=SampledShapley(3)))
    with open_registry(settings) as registry:
        registry.create_model("linear")
        registry.create_version("linear", None, bundle, requested=requested)
    with run_server(tmp_path) as server, Client(server.url) as client:
        (found,) = client.explain("linear", [ROW])
        assert [found] == client.explain("linear", [ROW], paths=3)
        assert [found] != client.explain("linear", [ROW], paths=10)
