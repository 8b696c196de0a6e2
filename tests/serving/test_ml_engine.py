"""ML Engine's online prediction, asked with Google's own client library."""

import json
from collections.abc import Generator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient import discovery
from googleapiclient.errors import HttpError
from tests.conftest import SHARED
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server

from penstock.registry.registry import open_registry
from penstock.settings import load_settings

ROWS = [{"A": 1, "B": 2, "C": 3}, {"A": 0, "B": 0, "C": 1}]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("ml-engine")
    environment = {"PENSTOCK_HOME": str(folder / "home"), "PENSTOCK_PROJECT": "lab"}
    with open_registry(load_settings(environment)) as registry:
        registry.create_model("linear")
        registry.create_version("linear", "v1", linear_bundle(folder / "1"))
        registry.create_version("linear", "better", linear_bundle(folder / "2", offset=0.25))
        registry.create_model("mixed")
        registry.create_version("mixed", "v1", mixed_bundle(folder / "3"))
        registry.create_model("bare")
    with run_server(folder, environment=environment) as running:
        yield running


@pytest.fixture
def projects(server: RunningServer) -> Generator[Any]:
    document = SHARED / "reference" / "ml.v1.discovery.json"
    if not document.is_file():
        pytest.skip("../shared/reference is not there: this test reads the API's discovery document")
    service = discovery.build_from_document(
        json.loads(document.read_text()),
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.url},
    )
    with service:
        yield service.projects()


def predict(projects: Any, name: str, *rows: object) -> Any:
    return projects.predict(name=name, body={"instances": rows}).execute()


def test_the_default_version_answers_with_objects_by_output(projects: Any) -> None:
    assert predict(projects, "projects/lab/models/linear", *ROWS) == {
        "predictions": [{"predictions": [321.0]}, {"predictions": [100.0]}]
    }


def test_a_version_is_asked_by_its_name(projects: Any) -> None:
    assert predict(projects, "projects/lab/models/linear/versions/better", ROWS[0]) == {
        "predictions": [{"predictions": [321.25]}]
    }


def test_every_output_is_there_and_nan_comes_through(projects: Any) -> None:
    (answer,) = predict(projects, "projects/lab/models/mixed", {"rooms": 2, "zone": "a"})["predictions"]
    assert list(answer) == ["numbers", "class_ids", "classes"]
    assert answer["numbers"][1] == 2.0
    assert answer["numbers"][0] != answer["numbers"][0]


@pytest.mark.parametrize(
    ("name", "rows", "status", "code", "reason"),
    [
        ("projects/lab/models/other", ROWS, 404, "NOT_FOUND", "there is no model 'other' in project lab"),
        ("projects/lab/models/liner", ROWS, 404, "NOT_FOUND", "did you mean 'linear'?"),
        ("projects/lab/models/linear/versions/v9", ROWS, 404, "NOT_FOUND", "model 'linear' has no version 'v9'"),
        ("projects/other/models/linear", ROWS, 404, "NOT_FOUND", "project 'other' is not served here"),
        ("projects/lab/models/bare", ROWS, 404, "NOT_FOUND", "model 'bare' has no versions yet"),
        ("projects/lab/models/linear", [{"A": 1}], 400, "INVALID_ARGUMENT", "instance 0 has no column 'B'"),
        ("projects/lab/models/linear", [], 400, "INVALID_ARGUMENT", "there are no instances"),
    ],
)
def test_errors_are_objects_that_the_client_understands(
    projects: Any, name: str, rows: list[object], status: int, code: str, reason: str
) -> None:
    with pytest.raises(HttpError) as caught:
        predict(projects, name, *rows)
    assert caught.value.status_code == status
    assert reason in caught.value.reason
    error = json.loads(caught.value.content)["error"]
    assert (error["code"], error["status"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/projects/lab/models/linear:predict", 405),
        ("POST", "/v1/projects/lab/models/linear:explode", 404),
        ("GET", "/v1/projects/lab/models", 404),
    ],
)
def test_other_calls_are_refused_in_the_same_shape(server: RunningServer, method: str, path: str, status: int) -> None:
    answer = server.client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status


def test_the_column_form_is_not_of_this_protocol(server: RunningServer) -> None:
    body = {"inputs": {"A": [1], "B": [2], "C": [3]}}
    answer = server.client.post("/v1/projects/lab/models/linear:predict", json=body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Missing 'instances' key")
