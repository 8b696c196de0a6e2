"""A server in a container of Vertex AI: only variables say where to listen and what to serve."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import wait_until


def test_the_variables_are_all_it_takes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "AIP_HTTP_PORT": str(port),
        "AIP_PREDICT_ROUTE": "/v1/endpoints/7/deployedModels/8:predict",
        "AIP_HEALTH_ROUTE": "/v1/endpoints/7/deployedModels/8",
        "AIP_STORAGE_URI": linear_bundle(tmp_path / "bundle"),
    }
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "penstock.cli.main", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            health = f"{url}{environment['AIP_HEALTH_ROUTE']}"
            wait_until(lambda: is_healthy(health), within_s=30)
            predict = f"{url}{environment['AIP_PREDICT_ROUTE']}"
            body = {"instances": [{"A": 1, "B": 2, "C": 3}], "parameters": {"x": 1}}
            assert httpx.post(predict, json=body).json() == {"predictions": [[321.0]]}
            refused = httpx.post(predict, json={"instances": [{"A": 1}]})
            assert (refused.status_code, "has no column 'B'" in refused.json()["error"]) == (400, True)
            assert httpx.get(predict).status_code == 405
            assert httpx.post(f"{url}/v1/models/model:predict", json=body).status_code == 200
        finally:
            process.terminate()
            process.communicate(timeout=30)
        assert process.returncode == 0


def is_healthy(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.ConnectError:
        return False


def test_a_stray_variable_exposes_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, "AIP_HTTP_PORT": str(port), "AIP_STORAGE_URI": linear_bundle(tmp_path / "bundle")}
    command = [sys.executable, "-m", "penstock.cli.main", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().decode().strip() == f"serving on http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate(timeout=30)
