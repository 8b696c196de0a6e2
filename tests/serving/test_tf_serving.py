"""TensorFlow Serving's REST API over real HTTP."""

from collections.abc import Generator
from pathlib import Path

import httpx
import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server

from penstock.data.schema import Column, DataType

MIXED = {"age": 1.5, "town": "Zürich", "rooms": 3, "sold": "02/01/1970", "owner": True, "zone": ""}


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    """Two versions of A + 10 B + 100 C, the second with 0.25 added."""
    folder = tmp_path_factory.mktemp("linear")
    linear_bundle(folder / "export" / "7")
    linear_bundle(folder / "export" / "12", offset=0.25)
    with run_server(folder, "--model-dir", str(folder / "export"), "--model-name", "linear") as server:
        yield server


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("mixed")
    bundle = mixed_bundle(folder / "bundle")
    with run_server(folder, "--model-dir", bundle, "--model-name", "mixed") as server:
        yield server


def post(server: RunningServer, path: str, body: bytes) -> httpx.Response:
    return server.client.post(path, content=body)


def test_rows_in_rows_out(linear: RunningServer) -> None:
    answer = linear.predict("linear", {"A": 1, "B": 2, "C": 3}, {"A": 0, "B": 0, "C": 1})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"predictions": [[321.25], [100.25]]}


def test_columns_in_columns_out(linear: RunningServer) -> None:
    body = b'{"inputs": {"A": [1, 0], "B": [[2], [0]], "C": [3, 1]}}'
    assert post(linear, "/v1/models/linear:predict", body).json() == {"outputs": [[321.25], [100.25]]}


def test_versions_are_asked_by_number_and_by_label(linear: RunningServer) -> None:
    row = b'{"instances": [{"A": 1, "B": 2, "C": 3}]}'
    for path, expected in [
        ("/v1/models/linear/versions/7:predict", 321.0),
        ("/v1/models/linear/versions/12:predict", 321.25),
        ("/v1/models/linear/labels/v7:predict", 321.0),
        ("/V1/Models/linear/Versions/0007:Predict", 321.0),
    ]:
        assert post(linear, path, row).json() == {"predictions": [[expected]]}


def test_several_outputs_are_objects_in_rows_and_an_object_in_columns(mixed: RunningServer) -> None:
    answer = mixed.predict("mixed", MIXED, {"zone": "b", "rooms": "4"})
    assert answer.text.replace(" ", "") == (
        '{"predictions":[{"numbers":[1.5,3.0,1.0],"class_ids":[86400000000],"classes":["Zürich",""]},'
        '{"numbers":[NaN,4.0,NaN],"class_ids":[-9223372036854775808],"classes":["MISSING","b"]}]}'
    )
    answer = post(mixed, "/v1/models/mixed:predict", b'{"inputs": {"rooms": [3], "zone": ["a"], "age": [2]}}')
    assert answer.text.replace(" ", "") == (
        '{"outputs":{"numbers":[[2.0,3.0,NaN]],"class_ids":[[-9223372036854775808]],"classes":[["MISSING","a"]]}}'
    )


def test_numbers_are_written_short_and_as_floats(linear: RunningServer) -> None:
    for sent, written in [
        ("0.2", "0.2"),
        ("1e20", "1e+20"),
        ("24", "24.0"),
        ("1e-9", "1e-9"),
        ("16777217", "16777216.0"),
    ]:
        body = f'{{"instances": [{{"A": {sent}, "B": 0, "C": 0}}]}}'.encode()
        answer = post(linear, "/v1/models/linear/versions/7:predict", body)
        assert answer.text == f'{{"predictions": [[{written}]]}}'


def test_the_body_is_read_as_tensorflow_serving_reads_it(linear: RunningServer) -> None:
    row = '{"instances": [{"A": 1, "B": 2, "C": 3}]}'
    for body in [row + " and more", '{"x": 1, "instances": [{"A": 1, "B": "2", "C": 3}]}', " \n" + row]:
        answer = linear.client.post(
            "/v1/models/linear:predict", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
        )
        assert answer.json() == {"predictions": [[321.25]]}
    named = row[:-1] + ', "signature_name": "serving_default"}'
    assert post(linear, "/v1/models/linear:predict", named.encode()).status_code == 200


def test_status_tells_of_every_version_or_one(linear: RunningServer) -> None:
    def status(path: str) -> list[tuple[str, str]]:
        answer = linear.client.get(path)
        assert answer.headers["content-type"] == "application/json"
        states = answer.json()["model_version_status"]
        assert all(state["status"] == {"error_code": "OK", "error_message": ""} for state in states)
        return [(state["version"], state["state"]) for state in states]

    assert status("/v1/models/linear") == [("12", "AVAILABLE"), ("7", "AVAILABLE")]
    assert status("/v1/models/linear/versions/7") == [("7", "AVAILABLE")]
    assert status("/v1/models/linear/labels/v12") == [("12", "AVAILABLE")]


def test_metadata_describes_the_signature(linear: RunningServer, mixed: RunningServer) -> None:
    answer = linear.client.get("/v1/models/linear/metadata").json()
    assert answer["model_spec"] == {"name": "linear", "signature_name": "", "version": "12"}
    definition = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["inputs"]["A"] == {
        "dtype": "DT_DOUBLE",
        "name": "A:0",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
    }
    assert definition["outputs"]["predictions"]["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in definition["outputs"]["predictions"]["tensor_shape"]["dim"]] == ["-1", "1"]
    definition = mixed.client.get("/v1/models/mixed/versions/1/metadata").json()["metadata"]["signature_def"]
    inputs = definition["signature_def"]["serving_default"]["inputs"]
    assert {name: tensor["dtype"] for name, tensor in inputs.items()} == {
        "age": "DT_DOUBLE",
        "town": "DT_STRING",
        "rooms": "DT_INT64",
        "sold": "DT_STRING",
        "owner": "DT_BOOL",
        "zone": "DT_STRING",
    }


def test_regress_takes_examples_with_a_context(linear: RunningServer) -> None:
    body = b'{"context": {"C": 3}, "examples": [{"A": 1, "B": 2}, {"A": [0.0], "B": 0}]}'
    assert post(linear, "/v1/models/linear:regress", body).json() == {"results": [321.25, 300.25]}
    refused = post(linear, "/v1/models/linear:classify", body)
    assert (refused.status_code, refused.json()) == (
        400,
        {"error": "linear is a model of regression; ask it to :regress"},
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models", 400, "Malformed request: GET /v1/models"),
        (
            "GET",
            "/v1/models/linear:predict",
            400,
            "Malformed request: GET /v1/models/linear:predict; it is asked with P",
        ),
        (
            "POST",
            "/v1/models/linear/metadata",
            400,
            "Malformed request: POST /v1/models/linear/metadata; it is asked w",
        ),
        ("POST", "/v1/models/linear:explode", 400, "Malformed request: POST /v1/models/linear:explode"),
        (
            "POST",
            "/v1/models/linear/versions/v7:predict",
            400,
            "Malformed request: POST /v1/models/linear/versions/v7:predict; a version is a number here, and /labels",
        ),
        ("POST", f"/v1/models/linear/versions/{2**63}:predict", 400, "Malformed request"),
        ("POST", "/v1/models/linear/versions/7/labels/v7:predict", 400, "Malformed request"),
        ("PUT", "/v1/models/linear:predict", 400, "Malformed request: PUT"),
        (
            "POST",
            "/v1/models/liner:predict",
            404,
            "Servable not found for request: Latest(liner); there is no model 'liner'; did you mean 'linear'?",
        ),
        (
            "POST",
            "/v1/models/linear/versions/99:predict",
            404,
            "Servable not found for request: Specific(linear, 99); model 'linear' has the versions 7, 12",
        ),
        ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
        ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
        ("GET", "/v1/models/linear/versions/99", 404, "Could not find version 99 of model linear"),
        ("GET", "/v1/models/linear/labels/best", 400, "Unrecognized servable version label: best; model 'linear' h"),
        (
            "POST",
            "/v1/models/linear/labels/best:predict",
            400,
            "Unrecognized servable version label: best; model 'linear' h",
        ),
        ("GET", "/elsewhere", 404, "there is no /elsewhere here"),
    ],
)
def test_paths_that_mean_nothing_say_so(
    linear: RunningServer, method: str, path: str, status: int, message: str
) -> None:
    answer = linear.client.request(method, path, content=b"{}" if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b'{"instances": [', "JSON Parse error: "),
        (b'{"instances": [{"A": }]}', "at offset: 21"),
        (b'{"instances": "\xff\xfe"}', "JSON Parse error: Invalid UTF-8 at offset: 15"),
        (b"[" * 100_000, "JSON Parse error: "),
        (b"[1, 2]", "the body is [1, 2]; expected a JSON object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": [], "inputs": {}}', "Not supporting both 'instances' and 'inputs' keys"),
        (b'{"instances": {}}', "'instances' is {}; expected a list"),
        (b'{"instances": []}', "there are no instances"),
        (b'{"instances": [1]}', "instance 0 is 1; the model takes 3 columns"),
        (b'{"instances": [{"A": 1, "B": 2}]}', "instance 0 has no column 'C', which is required"),
        (b'{"instances": [{"A": 1, "B": 2, "C": 3, "D": 4}]}', "instance 0 has column 'D', which the model does not"),
        (b'{"instances": [{"A": 1, "B": 2, "C": "x"}]}', "instance 0: column 'C' is 'x'; expected a number"),
        (b'{"instances": [{"A": 1, "B": 2, "C": null}]}', "instance 0: column 'C' is missing (None)"),
        (b'{"instances": [{"A": 1, "B": 2, "C": NaN}]}', "instance 0: column 'C' is missing (nan)"),
        (b'{"instances": [{"A": 1, "B": -Infinity, "C": 3}]}', "column 'B' is -inf; expected a finite number"),
        (b'{"instances": [{"A": 1, "B": Inf, "C": 3}]}', "column 'B' is inf; expected a finite number"),
        (b'{"instances": [{"A": 1, "B": 1e999, "C": 3}]}', "column 'B' is inf; expected a finite number"),
        (b'{"instances": [{"A": 1, "B": ' + b"9" * 5000 + b', "C": 3}]}', "JSON Parse error"),
        (b'{"inputs": {"A": [1], "B": [2], "C": [3, 4]}}', "the columns of 'inputs' differ in length"),
        (b'{"instances": [{}], "signature_name": "x"}', 'Serving signature name: "x" not found in signature def'),
    ],
)
def test_bodies_that_do_not_fit_say_what_is_wrong_and_the_server_lives_on(
    linear: RunningServer, body: bytes, message: str
) -> None:
    answer = post(linear, "/v1/models/linear:predict", body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert len(answer.json()["error"]) < 700
    assert linear.predict("linear", {"A": 1, "B": 2, "C": 3}).status_code == 200


def test_one_column_models_take_and_give_bare_values(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle", (2.0,), columns=[Column(name="x", type=DataType.FLOAT)])
    with run_server(tmp_path, "--model-dir", bundle, "--model-name", "double") as server:
        assert server.predict("double", 1, 2.5).json() == {"predictions": [[2.0], [5.0]]}
        assert server.client.post("/v1/models/double:predict", json={"inputs": [3]}).json() == {"outputs": [[6.0]]}
        assert server.predict("double", {"x": 4}).json() == {"predictions": [[8.0]]}


@pytest.mark.parametrize("path", ["/v1/models/linear/versions/{}", "/v1/models/linear/versions/{}:predict"])
def test_a_version_of_thousands_of_digits_is_a_malformed_request(linear: RunningServer, path: str) -> None:
    url = path.format("9" * 5000)
    answer = linear.client.get(url) if url.endswith("9") else post(linear, url, b'{"instances": [{}]}')
    assert answer.status_code == 400
    assert "5,000 digits" in answer.json()["error"]


def test_too_many_instances_are_refused_before_they_are_decoded(linear: RunningServer) -> None:
    rows = b'"1",' * 200_000 + b'"1"'
    answer = post(linear, "/v1/models/linear:predict", b'{"instances": [' + rows + b"]}")
    assert answer.status_code == 400
    assert "200,001 instances; at most" in answer.json()["error"]
    columns = post(linear, "/v1/models/linear:predict", b'{"inputs": {"A": [' + rows + b"]}}")
    assert "200,001 instances; at most" in columns.json()["error"]
