"""A page that had its own name resolve to this machine (DNS rebinding) gets no answer."""

import doctest
from pathlib import Path

import pytest
from tests.serving.servers import run_server
from tests.serving.test_server import serve_linear

from penstock.serving import hosts

OWN = ["127.0.0.1:8501", "localhost", "LocalHost:80", "[::1]:8501", "127.1.2.3", "localhost.:8501"]
FOREIGN = ["evil.example:8501", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.7", ""]


def test_examples_hold() -> None:
    assert doctest.testmod(hosts).failed == 0


def test_only_names_of_this_machine_and_those_allowed_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ALLOWED_HOSTS", "Models.Example, second.example")
    with run_server(tmp_path, *serve_linear(tmp_path, "--allowed-host", "third.example")) as server:
        for name in [*OWN, "models.example:8501", "SECOND.example", "third.example."] * 2:
            assert server.client.get("/v1/models/linear", headers={"host": name}).status_code == 200, name
        for name in FOREIGN * 2:
            answer = server.client.get("/v1/models/linear", headers={"host": name})
            assert (answer.status_code, list(answer.json())) == (403, ["error"]), name
        assert (
            "--allowed-host evil.example" in server.client.get("/", headers={"host": "evil.example:1"}).json()["error"]
        )


def test_any_name_is_answered_where_that_is_asked_for(tmp_path: Path) -> None:
    with run_server(tmp_path, *serve_linear(tmp_path, "--allowed-host", "*")) as server:
        assert server.client.get("/v1/models/linear", headers={"host": "evil.example"}).status_code == 200


def test_beyond_this_machine_the_token_decides(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open-sesame-42")
    arguments = serve_linear(tmp_path, "--host", "0.0.0.0", "--token-file", str(tmp_path / "token"))
    with run_server(tmp_path, *arguments) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        headers = {"host": "models.example", "authorization": "Bearer open-sesame-42"}
        assert server.client.get(f"{url}/v1/models/linear", headers=headers).status_code == 200
