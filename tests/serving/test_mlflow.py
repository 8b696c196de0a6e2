"""MLflow's scoring protocol."""

import gzip
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server

from penstock.registry.registry import open_registry
from penstock.settings import load_settings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("mlflow")
    arguments = ("--model-dir", linear_bundle(folder / "bundle"), "--model-name", "linear")
    with run_server(folder, *arguments) as running:
        yield running


def invoke(server: RunningServer, body: Any) -> httpx.Response:
    return server.client.post("/invocations", json=body)


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["C", "A", "B"], "data": [[3, 1, 2], [1, 0, 0]]}},
        {"dataframe_split": {"index": [5, 6], "columns": ["C", "A", "B"], "data": [["3", 1, 2], [1, 0, 0]]}},
        {"dataframe_records": [{"A": 1, "B": 2, "C": 3}, {"A": 0, "B": 0, "C": 1}]},
        {"instances": [{"A": 1, "B": 2, "C": 3}, {"A": 0, "B": 0, "C": 1}]},
        {"inputs": {"A": [1, 0], "B": [2, 0], "C": [3, 1]}},
        {"inputs": [{"A": 1, "B": 2, "C": 3}, {"A": 0, "B": 0, "C": 1}], "params": {"x": 1}},
    ],
)
def test_every_json_form(server: RunningServer, body: Any) -> None:
    assert invoke(server, body).json() == {"predictions": [321.0, 100.0]}


def test_csv(server: RunningServer) -> None:
    body = b"\xef\xbb\xbfC,A,B\r\n3,1,2\r\n\r\n1,0,0\r\n"
    for headers, content in [
        ({"content-type": "text/csv"}, body),
        ({"content-type": "text/csv; charset=utf-8", "content-encoding": "gzip"}, gzip.compress(body)),
    ]:
        answer = server.client.post("/invocations", content=content, headers=headers)
        assert answer.json() == {"predictions": [321.0, 100.0]}


def test_several_outputs_are_an_object_a_row_and_empty_cells_are_missing(tmp_path: Path) -> None:
    arguments = ("--model-dir", mixed_bundle(tmp_path / "bundle"), "--model-name", "mixed")
    with run_server(tmp_path, *arguments) as server:
        body = b"town,rooms,zone,owner\n,2,a,true\n"
        answer = server.client.post("/invocations", content=body, headers={"content-type": "text/csv"})
    assert answer.text.replace(" ", "") == (
        '{"predictions":[{"numbers":[NaN,2.0,1.0],"class_ids":-9223372036854775808,"classes":["MISSING","a"]}]}'
    )


def test_ping_health_and_version(server: RunningServer) -> None:
    for path in ("/ping", "/health"):
        answer = server.client.get(path)
        assert (answer.status_code, answer.text) == (200, "\n")
    assert server.client.get("/version").text.count(".") == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "the body has none of dataframe_split, dataframe_records, instances, inputs; expected exactly one"),
        ({"instances": [], "inputs": []}, "the body has instances and inputs"),
        ({"dataframe_split": []}, "'dataframe_split' is []; expected columns and data"),
        ({"dataframe_split": {"data": []}}, "'dataframe_split' has no 'columns'"),
        ({"dataframe_split": {"columns": [1], "data": []}}, "the columns are [1]; expected names"),
        (
            {"dataframe_split": {"columns": ["A"], "data": [[1, 2]]}},
            "instance 0 is [1, 2]; expected a list of 1 values",
        ),
        ({"dataframe_split": {"columns": ["A"], "data": []}}, "there are no instances"),
        ({"dataframe_records": [{"A": 1, "B": 2}]}, "instance 0 has no column 'C'"),
        ([1], "the body is [1]; expected a JSON object"),
    ],
)
def test_bodies_that_do_not_fit(server: RunningServer, body: Any, message: str) -> None:
    answer = invoke(server, body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert message in answer.json()["message"]


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("text/csv", b"", "the CSV is empty"),
        ("text/csv", b"A,B,C\n1,2\n", "instance 0 has 2 cells; expected 3"),
        ("text/csv", b'A,B,C\n1,2,"3', "the body is not CSV"),
        ("text/csv", b"A,B,C\n1,2,\xff", "the CSV is not UTF-8 at byte 10"),
        ("text/csv", b"A,B,C\n", "there are no instances"),
        ("application/xml", b"<a/>", "the content type is 'application/xml'"),
    ],
)
def test_csv_that_does_not_fit(server: RunningServer, content_type: str, body: bytes, message: str) -> None:
    answer = server.client.post("/invocations", content=body, headers={"content-type": content_type})
    assert answer.status_code == 400
    assert message in answer.json()["message"]


def test_a_server_of_several_models_says_so_and_can_be_told_which(tmp_path: Path) -> None:
    environment = {"PENSTOCK_HOME": str(tmp_path / "home")}
    body = {"instances": [{"A": 1, "B": 2, "C": 3}]}
    with open_registry(load_settings(environment)) as registry:
        for name, offset in (("one", 1), ("two", 2)):
            registry.create_model(name)
            registry.create_version(name, None, linear_bundle(tmp_path / name, offset=offset))
    with run_server(tmp_path, environment=environment) as server:
        answer = invoke(server, body)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        assert "this one has 2: one, two" in answer.json()["message"]
    with run_server(tmp_path, "--model", "two", environment=environment) as server:
        assert invoke(server, body).json() == {"predictions": [323.0]}
        assert server.client.get("/v1/models/one").status_code == 404
