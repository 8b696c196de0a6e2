"""Web pages of other origins."""

from pathlib import Path

import pytest
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import run_server

from penstock.errors import UsageError
from penstock.serving.cors import check_origins

PAGE = {"origin": "https://pages.example"}
PREDICT = "/v1/models/linear:predict"


def test_without_the_setting_no_page_may_read_an_answer(tmp_path: Path) -> None:
    with run_server(tmp_path, "--model-dir", linear_bundle(tmp_path / "b"), "--model-name", "linear") as server:
        assert server.client.options(PREDICT, headers=PAGE).status_code == 200
        assert server.client.options(PREDICT).status_code == 400
        assert server.client.options(PREDICT, headers={"origin": "file://x"}).status_code == 400
        assert "access-control-allow-origin" not in server.client.get("/healthz", headers=PAGE).headers


def test_pages_of_every_origin(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open-sesame-42")
    bundle = linear_bundle(tmp_path / "b")
    arguments = ("--model-dir", bundle, "--model-name", "linear", "--cors-origin", "*", "--token-file", str(token))
    with run_server(tmp_path, *arguments) as server:
        asked = server.client.options(PREDICT, headers=PAGE)
        assert asked.status_code == 200
        for answer in (asked, server.client.post(PREDICT, headers=PAGE), server.client.get("/elsewhere")):
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["access-control-allow-methods"] == "POST, GET"
            assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert server.client.post(PREDICT, headers=PAGE).status_code == 401


def test_pages_of_some_origins(tmp_path: Path) -> None:
    origins = ("--cors-origin", "https://pages.example", "--cors-origin", "http://localhost:3000")
    bundle = linear_bundle(tmp_path / "b")
    with run_server(tmp_path, "--model-dir", bundle, "--model-name", "linear", *origins) as server:
        for origin in ("https://pages.example", "http://localhost:3000"):
            headers = server.client.get("/healthz", headers={"origin": origin}).headers
            assert (headers["access-control-allow-origin"], headers["vary"]) == (origin, "Origin")
        stranger = server.client.get("/healthz", headers={"origin": "https://evil.example"}).headers
        assert "access-control-allow-origin" not in stranger
        assert stranger["vary"] == "Origin"


@pytest.mark.parametrize("origin", ["pages.example", "https://pages.example/", "https://Pages.example", "", "https://"])
def test_what_no_browser_sends_is_no_origin(origin: str) -> None:
    check_origins(["*", "https://pages.example:8443", "http://[::1]:3000", "chrome-extension://abcdef"])
    with pytest.raises(UsageError, match="expected what browsers send"):
        check_origins([origin])
