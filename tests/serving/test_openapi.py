"""The OpenAPI documents: true to what the server does, asked with what Schemathesis makes of them."""

import re
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server

from penstock.data.schema import Column, DataType
from penstock.registry.registry import open_registry
from penstock.settings import load_settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.core.result import Ok
    from schemathesis.generation import GenerationMode


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    folder = tmp_path_factory.mktemp("openapi")
    environment = {"PENSTOCK_HOME": str(folder / "home")}
    samples = b'{"A":1.0,"B":2.0,"C":3.0}\n{"A":0.0,"B":null,"C":1.0}\n'
    columns = [
        Column(name="A", type=DataType.FLOAT, unit="dollars", description="price"),
        Column(name="B", type=DataType.FLOAT, nullable=True),
        Column(name="C", type=DataType.INTEGER),
    ]
    bundles = {
        "linear": linear_bundle(
            folder / "linear", columns=columns, ignored=("MEDV",), files={"samples.jsonl": samples}
        ),
        "mixed": mixed_bundle(folder / "mixed"),
    }
    with open_registry(load_settings(environment)) as registry:
        for name, bundle in bundles.items():
            registry.create_model(name)
            registry.create_version(name, "v1", bundle)
    with run_server(folder, "--access-log-rate", "0", environment=environment) as running:
        yield running


def document(server: RunningServer, model: str) -> dict[str, Any]:
    found = server.client.get(f"/openapi/{model}.json")
    assert found.status_code == 200
    body = found.json()
    assert isinstance(body, dict)
    return body


def test_a_document_names_the_columns_as_they_are_checked(server: RunningServer) -> None:
    instance = document(server, "linear")["components"]["schemas"]["Instance"]
    assert instance["required"] == ["A", "C"]
    assert instance["additionalProperties"] is False
    assert instance["properties"]["A"] == {"type": "number", "description": "price in dollars"}
    assert instance["properties"]["B"] == {"type": ["number", "null"]}
    assert instance["properties"]["C"] == {"type": "integer"}
    assert "MEDV" in instance["properties"]


def test_every_example_of_the_document_is_answered(server: RunningServer) -> None:
    asked = 0
    for path, operations in document(server, "linear")["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            examples = [example["value"] for example in content.get("examples", {}).values()]
            for body in examples or [None]:
                answer = server.client.request(method, path, json=body) if body else server.client.request(method, path)
                assert answer.status_code == 200, (method, path, body, answer.text)
                asked += 1
    assert asked == 7


def test_a_version_may_be_named_and_others_are_refused(server: RunningServer) -> None:
    assert server.client.get("/openapi/linear/versions/v1.json").json()["info"]["version"] == "1"
    for path, status in [
        ("/openapi/other.json", 404),
        ("/openapi/linear", 404),
        ("/openapi/linear/versions/v2.json", 404),
        ("/openapi.json", 404),  # of two models
    ]:
        assert server.client.get(path).status_code == status
    assert server.client.post("/openapi/linear.json").status_code == 405


def test_a_server_with_a_token_says_so(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame-42")
    arguments = ("--model-dir", linear_bundle(tmp_path / "b"), "--model-name", "m", "--token-file", str(token))
    with run_server(tmp_path, *arguments) as server:
        server.client.headers["authorization"] = "Bearer open-sesame-42"
        assert document(server, "m")["security"] == [{"token": []}]
        assert server.client.get("/openapi.json").json() == document(server, "m")


@pytest.mark.parametrize("model", ["linear", pytest.param("mixed", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: str(mode.value))
@pytest.mark.parametrize("examples", [5, pytest.param(400, marks=pytest.mark.slow)], ids=["few", "many"])
def test_what_schemathesis_makes_of_the_document_gets_no_5xx(
    server: RunningServer, model: str, mode: GenerationMode, examples: int
) -> None:
    schema = schemathesis.openapi.from_dict(document(server, model))
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.method == "get":
            continue

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: Any) -> None:
            answer = case.call(base_url=server.url)
            assert answer.status_code < 500, (case.body, answer.text)
            assert answer.headers["content-type"] == ["application/json"]
            # Infinity (beyond float32) and NaN are tokens of these protocols that JSON does not have.
            if mode is GenerationMode.POSITIVE and not re.search(rb"NaN|Infinity", answer.content):
                case.operation.validate_response(answer)

        ask()
