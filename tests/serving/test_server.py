"""The server as a whole: its processes, its limits, what it follows, how it ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest
from tests.runtime.bundles import linear_bundle, slow_bundle
from tests.serving.servers import RunningServer, run_server, wait_until

ROW = {"A": 1, "B": 2, "C": 3}


def serve_linear(tmp_path: Path, *arguments: str) -> tuple[str, ...]:
    return ("--model-dir", linear_bundle(tmp_path / "bundle"), "--model-name", "linear", *arguments)


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningServer]:
    """A + 10 B + 100 C, for tests that leave the server as it was."""
    folder = tmp_path_factory.mktemp("linear")
    with run_server(folder, *serve_linear(folder)) as server:
        yield server


def value(server: RunningServer, version: int | None = None) -> float:
    answer = server.predict("linear", ROW, version=version)
    assert answer.status_code == 200, answer.text
    return float(answer.json()["predictions"][0][0])


def refused_start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "penstock.cli.main", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_requests_side_by_side_get_each_its_own_answer(linear: RunningServer) -> None:

    def ask(number: int) -> bool:
        rows: list[dict[str, object]] = [{"A": number, "B": row, "C": 0} for row in range(number % 4 + 1)]
        expected = {"predictions": [[float(number + 10 * row)] for row in range(number % 4 + 1)]}
        if number % 7 == 0:  # these take the careful way in
            rows = [{name: str(amount) for name, amount in row.items()} for row in rows]
        if number % 11 == 0:
            bad = linear.predict("linear", {"A": number, "B": "x", "C": 0})
            return bad.status_code == 400 and "column 'B' is 'x'" in bad.text
        return bool(linear.predict("linear", *rows).json() == expected)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(1, 600)))


def test_sigterm_and_sigint_let_open_requests_finish(tmp_path: Path) -> None:
    bundle = slow_bundle(tmp_path / "slow", size=1000, products=20)
    for number in (signal.SIGTERM, signal.SIGINT):
        with run_server(tmp_path, "--model-dir", bundle, "--model-name", "slow") as server:
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(server.predict, "slow", 21)
                time.sleep(0.3)
                assert server.stop(number) == 0
                assert asked.result().json() == {"predictions": [[42.0]]}
            assert "stopped" in server.log


def test_a_slow_model_holds_up_no_other_request(tmp_path: Path) -> None:
    bundle = slow_bundle(tmp_path / "slow", size=1000, products=20)
    arguments = ("--model-dir", bundle, "--model-name", "slow")
    with run_server(tmp_path, *arguments) as server, ThreadPoolExecutor(4) as pool:
        server.predict("slow", 0)
        asked = [pool.submit(server.predict, "slow", number) for number in range(4)]
        time.sleep(0.2)
        started = time.monotonic()
        assert server.client.get("/v1/models/slow").status_code == 200
        assert time.monotonic() - started < 0.5
        assert not any(request.done() for request in asked)
        assert [request.result().json()["predictions"] for request in asked] == [[[2.0 * n]] for n in range(4)]


def test_a_killed_worker_is_replaced_and_takes_only_its_own_requests_along(tmp_path: Path) -> None:
    with run_server(tmp_path, *serve_linear(tmp_path)) as server:
        for _ in range(3):
            (pid,) = server.worker_pids
            os.kill(pid, signal.SIGKILL)
            assert httpx.post(f"{server.url}/v1/models/linear:predict", json={"instances": [ROW]}).json() == {
                "predictions": [[321.0]]
            }
            assert server.worker_pids != [pid]


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    with run_server(tmp_path, *serve_linear(tmp_path), "--workers", "2") as server:
        pids = server.worker_pids
        assert len(pids) == 2
        assert value(server) == 321.0
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_folder_of_exports_is_followed(tmp_path: Path) -> None:
    linear_bundle(tmp_path / "Servo" / "1700000000", offset=1)
    with run_server(tmp_path, "--model-dir", str(tmp_path / "Servo"), "--model-name", "linear") as server:
        assert value(server) == 322.0
        linear_bundle(tmp_path / "Servo" / "1700000060", offset=2)
        assert wait_until(lambda: value(server) == 323.0) < 2.0
        assert value(server, 1700000000) == 322.0


def test_a_bundle_that_cannot_be_loaded_is_told_of_and_the_others_serve_on(tmp_path: Path) -> None:
    linear_bundle(tmp_path / "Servo" / "1")
    broken = Path(linear_bundle(tmp_path / "Servo" / "2")) / "model.onnx"
    broken.write_bytes(broken.read_bytes()[:-9])
    with run_server(tmp_path, "--model-dir", str(tmp_path / "Servo"), "--model-name", "linear") as server:
        answer = server.predict("linear", ROW)
        assert answer.status_code == 503
        assert "version 2 of linear cannot be loaded" in answer.json()["error"]
        assert "altered" in answer.json()["error"]
        assert value(server, 1) == 321.0
        states = {
            state["version"]: state for state in server.client.get("/v1/models/linear").json()["model_version_status"]
        }
        assert states["1"]["state"] == "AVAILABLE"
        assert states["2"]["state"] == "END"
        assert states["2"]["status"]["error_code"] == "UNAVAILABLE"


def test_many_versions_cost_only_those_that_are_asked(tmp_path: Path) -> None:
    for number in range(1, 201):
        linear_bundle(tmp_path / "Servo" / str(number), offset=number)
    with run_server(tmp_path, "--model-dir", str(tmp_path / "Servo"), "--model-name", "linear") as server:
        (pid,) = server.worker_pids
        assert value(server) == 521.0
        before_kb = resident_kb(pid)
        assert before_kb < 150 * 1024
        assert [value(server, number) for number in range(1, 21)] == [321.0 + number for number in range(1, 21)]
        assert resident_kb(pid) - before_kb < 40 * 1024
        assert len(server.client.get("/v1/models/linear").json()["model_version_status"]) == 200


def resident_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def test_versions_asked_longest_ago_make_room(tmp_path: Path) -> None:
    for number in range(1, 6):
        linear_bundle(tmp_path / "Servo" / str(number), offset=number)
    code = f"""
from penstock.serving.catalog import FolderSource
from penstock.serving.limits import Limits
from penstock.serving.server import Server, ServerOptions
options = ServerOptions(port=0, limits=Limits(loaded_versions=2))
server = Server(options, ready=lambda url: print("serving on", url, flush=True))
server.run(lambda: FolderSource({str(tmp_path / "Servo")!r}, "linear"))
"""
    with run_server(tmp_path, code=code) as server:
        for number in [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 5, 4]:
            assert value(server, number) == 321.0 + number


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_without_being_read(linear: RunningServer, chunked: bool) -> None:
    piece = b"x" * 1_000_000

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield piece

    (pid,) = linear.worker_pids
    headers = {} if chunked else {"content-length": str(100 * len(piece))}
    answer = linear.client.post("/v1/models/linear:predict", content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert "at most 16,777,216 bytes" in answer.json()["error"]
    assert resident_kb(pid) < 150 * 1024
    assert value(linear) == 321.0


def test_a_body_in_chunks_is_read_whole(linear: RunningServer) -> None:
    body = json.dumps({"instances": [ROW] * 1000}).encode()
    pieces = (body[start : start + 777] for start in range(0, len(body), 777))
    answer = linear.client.post("/v1/models/linear:predict", content=pieces)
    assert answer.json() == {"predictions": [[321.0]] * 1000}


@pytest.mark.parametrize("chunked", [False, True])
def test_all_bodies_together_are_bounded(tmp_path: Path, chunked: bool) -> None:
    body = json.dumps({"instances": [ROW] * 20_000}).encode()
    size_mb = len(body) / 1024 / 1024
    limits = ("--max-body-mb", str(size_mb * 1.1), "--max-in-flight-mb", str(size_mb * 1.5))
    with run_server(tmp_path, *serve_linear(tmp_path, *limits)) as server:

        def ask() -> httpx.Response:
            content = iter([body]) if chunked else body
            return server.client.post("/v1/models/linear:predict", content=content)

        def in_flight() -> int:
            """Besides the request that asks."""
            found = re.search(r"^penstock_in_flight_requests (\d+)", server.client.get("/metrics").text, re.MULTILINE)
            assert found
            return int(found[1]) - 1

        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            head = f"POST /v1/models/linear:predict HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
            slow.sendall(head.encode() + body[:-1])
            wait_until(lambda: in_flight() == 1)
            refused = ask()
            assert refused.status_code == 429
            assert "--max-in-flight-mb" in refused.json()["error"]
            assert refused.headers["retry-after"] == "1"
            assert value(server) == 321.0
            slow.sendall(body[-1:])
            assert slow.recv(12) == b"HTTP/1.1 200"
        assert ask().status_code == 200
        with socket.create_connection((host, int(port))) as broken:
            broken.sendall(head.encode() + body[:-1])
            wait_until(lambda: in_flight() == 1)
            assert ask().status_code == 429
        wait_until(lambda: ask().status_code == 200)


def test_bounds_that_let_no_request_in_are_refused(tmp_path: Path) -> None:
    done = refused_start(*serve_linear(tmp_path, "--workers", "4", "--max-in-flight-mb", "32"))
    assert done.returncode == 2
    assert "leaves each of 4 workers 8,388,608 bytes, less than one request may have (16,777,216)" in done.stderr


def test_too_many_instances_are_refused(tmp_path: Path) -> None:
    with run_server(tmp_path, *serve_linear(tmp_path, "--max-instances", "10")) as server:
        assert server.predict("linear", *[ROW] * 10).status_code == 200
        answer = server.predict("linear", *[ROW] * 11)
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "the request has 11 instances; at most 10 are taken at once",
        )


def test_beyond_the_queue_callers_are_told_to_come_back_and_nobody_gets_a_late_answer(tmp_path: Path) -> None:
    bundle = slow_bundle(tmp_path / "slow", size=1000, products=40)
    code = f"""
from penstock.serving.catalog import FolderSource
from penstock.serving.limits import Limits
from penstock.serving.server import Server, ServerOptions
options = ServerOptions(port=0, limits=Limits(queue=3, deadline_s=0.5, batch_rows=1))
server = Server(options, ready=lambda url: print("serving on", url, flush=True))
server.run(lambda: FolderSource({bundle!r}, "slow"))
"""
    with run_server(tmp_path, code=code) as server, ThreadPoolExecutor(8) as pool:
        server.predict("slow", 0)
        answers = list(pool.map(lambda number: server.predict("slow", number), range(8)))
    by_status: dict[int, list[httpx.Response]] = {}
    for answer in answers:
        by_status.setdefault(answer.status_code, []).append(answer)
    assert set(by_status) == {200, 429, 504}
    assert len(by_status[429]) == 4  # one runs and three wait
    assert all(answer.headers["retry-after"] == "1" for answer in by_status[429])
    assert "3 requests wait for version 1 of slow" in by_status[429][0].json()["error"]
    assert "waited for more than 0.5 s" in by_status[504][0].json()["error"]


def test_callers_who_dawdle_are_cut_off_and_those_who_leave_are_forgotten(tmp_path: Path) -> None:
    code = f"""
from penstock.serving.catalog import FolderSource
from penstock.serving.limits import Limits
from penstock.serving.server import Server, ServerOptions
options = ServerOptions(port=0, limits=Limits(body_timeout_s=1))
server = Server(options, ready=lambda url: print("serving on", url, flush=True))
server.run(lambda: FolderSource({linear_bundle(tmp_path / "bundle")!r}, "linear"))
"""
    start = b"POST /v1/models/linear:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{"
    with run_server(tmp_path, code=code) as server:
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        with socket.create_connection(address) as gone:
            gone.sendall(start)
        with socket.create_connection(address) as half_headers, socket.create_connection(address) as half_body:
            half_headers.sendall(b"POST /v1/models/linear:predict HTTP/1.1\r\nhost")
            half_body.sendall(start)
            half_body.settimeout(10)
            half_headers.settimeout(10)
            assert half_body.recv(1000).startswith(b"HTTP/1.1 408")
            assert half_headers.recv(1000)[:12] in (b"", b"HTTP/1.1 408")
        assert value(server) == 321.0


def test_others_need_a_token(tmp_path: Path) -> None:
    bundle = serve_linear(tmp_path)
    refused = refused_start("--host", "0.0.0.0", "--port", "0", *bundle)
    assert refused.returncode == 2
    assert "a token is needed" in refused.stderr

    token_file = tmp_path / "token"
    token_file.write_text("open sesame\n")
    refused = refused_start("--host", "0.0.0.0", "--port", "0", "--token-file", str(token_file), *bundle)
    assert (refused.returncode, "does not hold a token" in refused.stderr) == (2, True)

    token_file.write_text("open-sesame-42\n")
    with run_server(tmp_path, "--host", "0.0.0.0", "--token-file", str(token_file), *bundle) as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        path = f"{url}/v1/models/linear:predict"
        for headers in [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic open-sesame-42"}]:
            answer = httpx.post(path, json={"instances": [ROW]}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "send the header 'Authorization: Bearer TOKEN'" in answer.json()["error"]
        good = {"authorization": "Bearer open-sesame-42"}
        assert httpx.post(path, json={"instances": [ROW]}, headers=good).json() == {"predictions": [[321.0]]}
        assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
        assert httpx.get(f"{url}/v1/models/linear").status_code == 401


def test_the_token_may_come_from_the_environment(tmp_path: Path) -> None:
    arguments = serve_linear(tmp_path)
    with run_server(tmp_path, *arguments, environment={"PENSTOCK_SERVER_TOKEN": "from-the-environment"}) as server:
        assert server.predict("linear", ROW).status_code == 401
        server.client.headers["authorization"] = "Bearer from-the-environment"
        assert value(server) == 321.0


def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    bundle = serve_linear(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = refused_start("--port", port, *bundle)
        assert (refused.returncode, f"cannot listen on 127.0.0.1 port {port}" in refused.stderr) == (2, True)
    refused = refused_start("--port", "0", "--host", "192.0.2.7", "--token-file", __file__, *bundle)
    assert refused.returncode == 2
    refused = refused_start("--port", "0", "--model-dir", str(tmp_path / "nowhere"), "--model-name", "m")
    assert (refused.returncode, "there is no folder" in refused.stderr) == (1, True)
    refused = refused_start("--port", "0", "--model-dir", str(tmp_path))
    assert (refused.returncode, "--model-dir and --model-name go together" in refused.stderr) == (2, True)
    assert refused.stdout == ""


def test_requests_are_logged_as_json_lines(tmp_path: Path) -> None:
    with run_server(tmp_path, *serve_linear(tmp_path)) as server:
        server.predict("linear", ROW, ROW)
        server.predict("other", ROW)
        wait_until(lambda: server.log.count('"path"') == 2)
        good, bad = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
    assert good["path"] == "/v1/models/linear:predict"
    assert (good["method"], good["status"], good["instances"], good["version"]) == ("POST", 200, 2, 1)
    assert 0 < good["ms"] < 5000
    assert good["sent_bytes"] == len('{"predictions": [[321.0],[321.0]]}')
    assert (bad["status"], bad["version"]) == (404, None)


def test_at_rate_zero_only_failures_are_logged(tmp_path: Path) -> None:
    with run_server(tmp_path, *serve_linear(tmp_path, "--access-log-rate", "0")) as server:
        for _ in range(20):
            server.predict("linear", ROW)
        server.predict("linear", {"A": 1})
        wait_until(lambda: '"status":400' in server.log)
        assert server.log.count('"path"') == 1


def test_connections_stay_open_and_may_be_pipelined(linear: RunningServer) -> None:
    body = json.dumps({"instances": [ROW]}).encode()
    request = b"POST /v1/models/linear:predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    with socket.create_connection(("127.0.0.1", int(linear.url.rpartition(":")[2])), timeout=10) as connection:
        connection.sendall(request * 5)
        received = b""
        while received.count(b'{"predictions": [[321.0]]}') < 5:
            part = connection.recv(65536)
            assert part, received
            received += part


def test_deep_and_hostile_bodies_get_a_4xx_and_leave_the_server_alive(linear: RunningServer) -> None:
    hostile = [
        b'{"instances": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"instances": [' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"]}",
        b'{"inputs": ' + b'{"a":' * 5_000 + b"NaN" + b"}" * 5_000 + b"}",
        b'{"instances": [{"A": "\\ud800", "B": 1, "C": 1}]}',
        b'{"instances": [{"\\ud800": 1, "A": 1, "B": 1, "C": 1}], "x": NaN}',
        b'{"instances": [{"A": {"b64": 1}, "B": 1, "C": 1}]}',
        b"\x00" * 1000,
        b'{"instances": [{}]}' * 1000,
        b'{"signature_name": [1], "instances": [{"A": 1, "B": 2, "C": 3}]}',
        b'{"signature_name": "\\ud800", "instances": [{"A": 1, "B": 2, "C": 3}], "y": NaN}',
    ]
    pids = linear.worker_pids
    for body in hostile:
        for path in ("/v1/models/linear:predict", "/v1/projects/local/models/linear:predict"):
            answer = linear.client.post(path, content=body)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"]
    assert value(linear) == 321.0
    assert linear.worker_pids == pids


def test_versions_switch_under_load_without_a_failed_or_wrong_answer(tmp_path: Path) -> None:
    folder = tmp_path / "Servo"
    linear_bundle(folder / "1", offset=1)
    stop = threading.Event()
    problems: list[str] = []
    seen: set[float] = set()

    def ask(server: RunningServer) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            newest = 0.0
            while not stop.is_set():
                answer = client.post("/v1/models/linear:predict", json={"instances": [ROW]})
                found = answer.json()["predictions"][0][0] if answer.status_code == 200 else -1.0
                if found < newest:
                    problems.append(f"{answer.status_code} {answer.text} after {newest}")
                newest = found
                seen.add(found)

    arguments = ("--model-dir", str(folder), "--model-name", "linear")
    with run_server(tmp_path, *arguments) as server, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, server) for _ in range(4)]
        for number in range(2, 8):
            linear_bundle(folder / str(number), offset=number)
            wait_until(partial(seen.__contains__, 321.0 + number))
        stop.set()
        for asked in asking:
            asked.result()
    assert problems == []


def test_a_worker_loads_nothing_that_trains_or_writes_and_little_else(tmp_path: Path) -> None:
    code = f"""
import sys
from penstock.serving import worker
from penstock.runtime.model import load_model
model = load_model({linear_bundle(tmp_path / "bundle")!r})
model.predict(model.decode([{ROW!r}]))
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    frameworks = "keras jax ray duckdb lightgbm tensorboard tensorflow pandas onnx sqlalchemy fsspec grpc pydantic PIL"
    # Each costs a start some milliseconds, and a worker some memory.
    seldom_needed = """asyncio ssl subprocess tempfile secrets zoneinfo http urllib.request yaml granian
        penstock.registry.records penstock.store.staging penstock.store.parquet penstock.serving.sampling
        penstock.serving.openapi penstock.serving.grpc_server penstock.runtime.explanation penstock.data.profile"""
    assert loaded & {*frameworks.split(), *seldom_needed.split()} == set()
    assert len(loaded) < 400
