"""Tokens with scopes, and TLS."""

import json
import ssl
import stat
import subprocess
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import RunningServer, run_server, wait_until
from tests.serving.test_server import refused_start

from penstock.cli.tokens import tokens
from penstock.errors import AlreadyExistsError, ConfigError, NotFoundError, UsageError
from penstock.registry.registry import open_registry
from penstock.serving.tokens import TokenFile
from penstock.settings import Settings

ROW = {"instances": [{"A": 1, "B": 2, "C": 3}]}


def run(*arguments: object) -> str:
    done = CliRunner().invoke(tokens, list(map(str, arguments)), obj={}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def status(server: RunningServer, token: str | None, method: str, path: str) -> int:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    body = ROW if method == "POST" else None
    return server.client.request(method, path, json=body, headers=headers).status_code


def test_a_token_opens_what_its_scopes_and_models_say(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "tokens.json"
    with open_registry(settings) as registry:
        for name in ("one", "two"):
            registry.create_model(name)
            registry.create_version(name, None, linear_bundle(tmp_path / name))
    both = ("--scope", "read", "--scope", "predict")
    made = {
        "asker": run("create", "asker", "--tokens-file", file).strip(),
        "reader": run("create", "reader", "--scope", "read", "--tokens-file", file).strip(),
        "of-one": run("create", "of-one", *both, "--model", "one", "--tokens-file", file).strip(),
        "admin": run("create", "admin", "--scope", "admin", "--tokens-file", file).strip(),
    }
    paths = {
        ("POST", "/v1/models/one:predict"): {"asker", "of-one", "admin"},
        ("POST", "/V1/Models/one:predict"): {"asker", "of-one", "admin"},
        ("POST", "/v1/models/two:predict"): {"asker", "admin"},
        ("POST", "/v1/projects/local/models/two/versions/v1:predict"): {"asker", "admin"},
        ("GET", "/v1/models/one"): {"reader", "of-one", "admin"},
        ("GET", "/v1/models/two/metadata"): {"reader", "admin"},
        ("GET", "/v2/models/one"): {"reader", "of-one", "admin"},
        ("GET", "/openapi/two.json"): {"reader", "admin"},
        ("GET", "/openapi/one.json"): {"reader", "of-one", "admin"},
        ("GET", "/monitoring/drift/one"): {"reader", "of-one", "admin"},
        ("GET", "/monitoring/drift"): {"reader", "admin"},
        ("GET", "/metrics"): {"reader", "admin"},
    }
    with run_server(tmp_path, "--tokens-file", str(file)) as server:
        for (method, path), allowed in paths.items():
            for name, token in made.items():
                assert status(server, token, method, path) == (200 if name in allowed else 403), (name, path)
            assert status(server, None, method, path) == 401
            assert status(server, made["admin"][:-1], method, path) == 401
        assert status(server, None, "GET", "/healthz") == 200
        refused = server.client.post(
            "/v1/models/two:predict", json=ROW, headers={"authorization": f"Bearer {made['of-one']}"}
        )
        assert refused.json() == {"error": "the token 'of-one' is for the models one only"}


def test_new_and_revoked_tokens_are_known_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    bundle = linear_bundle(tmp_path / "b")
    arguments = ("--model-dir", bundle, "--model-name", "m", "--tokens-file", str(file), "--workers", "2")
    path = "/v1/models/m:predict"
    with run_server(tmp_path, *arguments) as server:
        assert f"{file} holds no token, so every request is refused until there is one" in server.log
        first = run("create", "first", "--tokens-file", file).strip()
        wait_until(lambda: status(server, first, "POST", path) == 200)
        second = run("create", "second", "--tokens-file", file).strip()
        wait_until(lambda: status(server, second, "POST", path) == 200)
        run("revoke", "first", "--tokens-file", file)
        wait_until(lambda: status(server, first, "POST", path) == 401)
        good = file.read_bytes()
        file.write_text("{")
        wait_until(lambda: "the tokens stay as they were" in server.log)
        assert status(server, second, "POST", path) == 200
        file.write_bytes(good)


def test_tokens_are_listed_and_never_kept(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "tokens.json"
    token = run("create", "ci", "--scope", "predict", "--model", "m", "--tokens-file", file).strip()
    assert token.startswith("pst_")
    assert len(token) > 40
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (listed,) = json.loads(run("list", "--format", "json", "--tokens-file", file))
    assert (listed["name"], listed["scopes"], listed["models"]) == ("ci", ["predict"], ["m"])
    assert "ci    predict  m" in run("list", "--tokens-file", file)


def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    file.create("ci", scopes=("read",))
    with pytest.raises(AlreadyExistsError, match="there is a token 'ci'"):
        file.create("ci", scopes=("read",))
    with pytest.raises(UsageError, match="the scope admin is for every model"):
        file.create("boss", scopes=("admin",), models=("m",))
    with pytest.raises(NotFoundError, match=r"there is no token 'ci2' .* did you mean 'ci'"):
        file.revoke("ci2")
    file.path.write_text('{"tokens": [{"name": "x"}]}')
    with pytest.raises(ConfigError, match="cannot be read"):
        file.read()


def test_an_empty_token_file_is_no_protection(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "b")
    arguments = ("--model-dir", bundle, "--model-name", "m", "--tokens-file", str(tmp_path / "tokens.json"))
    refused = refused_start("--host", "0.0.0.0", "--port", "0", *arguments)
    assert (refused.returncode, "a token is needed" in refused.stderr) == (2, True)


def test_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    bundle = linear_bundle(tmp_path / "b")
    arguments = ("--model-dir", bundle, "--model-name", "m", "--tls-cert", str(certificate), "--tls-key", str(key))
    with run_server(tmp_path, *arguments) as server:
        assert server.url.startswith("https://")
        trusting = ssl.create_default_context(cafile=certificate)
        answer = httpx.post(f"{server.url}/v1/models/m:predict", json=ROW, verify=trusting)
        assert answer.json() == {"predictions": [[321.0]]}
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http"))
    refused = refused_start("--port", "0", *arguments[:-1], str(certificate))
    assert (refused.returncode, "no certificate and key" in refused.stderr) == (2, True)
    refused = refused_start("--port", "0", *arguments[:-2])
    assert (refused.returncode, "--tls-cert and --tls-key go together" in refused.stderr) == (2, True)
