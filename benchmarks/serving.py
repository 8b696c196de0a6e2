"""Predictions a second of one server core: Penstock with all it does for a service, next to bare and packaged peers.

One-row JSON requests with named columns, 1,000 different rows of a model of the lab's shape (9 numbers, two hidden
layers of 10), 64 connections of `wrk`; the server has core 0 and the client core 1. Answers are checked on a sample.
"""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.housing import COLUMNS, ROWS, expected_answers, make_bundle, make_rows
from benchmarks.load import (
    CLIENT_CPU,
    CONNECTIONS,
    Contender,
    Load,
    Run,
    answered_per_second,
    ask,
    free_port,
    measure,
    ours,
    percentile,
    running,
    wrk,
)
from benchmarks.peers import peer_python
from benchmarks.report import report

HERE = Path(__file__).resolve().parent
ONNX_RUNTIME = "onnxruntime==1.32.0"
RAY = "ray[serve]==2.60.0"
TURNS = 3
ONE_ROW = {"instances": [dict.fromkeys(COLUMNS, 1.0)]}


def main(arguments: list[str]) -> None:
    """arguments: seconds a run, default 5: about 8 minutes in all, once the peers are installed."""
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk: apt-get install wrk")
    seconds = int(arguments[0]) if arguments else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder / "bundle")
        rows = make_rows()
        expected = expected_answers(bundle, rows)
        found: dict[str, list[Run]] = {}
        at_half: list[tuple[float, str]] = []
        contenders = [one for one in all_contenders(bundle, folder) if one.command is not None]
        for turn in range(TURNS):  # in turns, so that a busy moment of the machine hits all
            for contender in list(contenders):
                try:
                    run = measure(contender, rows, expected, folder, seconds=seconds)
                except Exception as error:
                    # One that does not run here must not stop the others.
                    print(f"turn {turn + 1}: {contender.name} is left out: {error!r}", file=sys.stderr, flush=True)
                    contenders.remove(contender)
                    continue
                found.setdefault(contender.name, []).append(run)
                print(f"turn {turn + 1}: {contender.name}: {run}", file=sys.stderr, flush=True)
            at_half.append(half_load(bundle, found["Penstock"][-1].requests_s / 2, folder, seconds=seconds))
            print(f"turn {turn + 1}: at half of that load: {told_half(at_half[-1:])}", file=sys.stderr, flush=True)
        rows_s = statistics.median(binary_rows_per_second(bundle, seconds=seconds) for _ in range(TURNS))
        start_s = statistics.median(start_seconds(bundle) for _ in range(5))
        woken_s = statistics.median(woken_seconds(bundle) for _ in range(5))
    medians = {name: statistics.median(run.requests_s for run in runs) for name, runs in found.items()}
    of_cpu = {name: statistics.median(run.requests_cpu_s for run in runs) for name, runs in found.items()}
    report(
        "serving",
        "One-row predictions a second, on one core",
        [
            "server",
            "requests/s",
            "of the runs",
            "requests/CPU s",
            "p50 ms",
            "p99 ms",
            "resident MB",
            "Penstock over it",
            "by CPU s",
        ],
        [
            [
                name,
                f"{medians[name]:,.0f}",
                f"{min(run.requests_s for run in runs):,.0f}–{max(run.requests_s for run in runs):,.0f}",
                f"{of_cpu[name]:,.0f}",
                f"{statistics.median(run.p50_ms for run in runs):.2f}",
                f"{statistics.median(run.p99_ms for run in runs):.2f}",
                f"{statistics.median(run.resident_mb for run in runs):,.0f}",
                f"{medians['Penstock'] / medians[name]:.1f}",
                f"{of_cpu['Penstock'] / of_cpu[name]:.1f}",
            ]
            for name, runs in sorted(found.items(), key=lambda item: -medians[item[0]])
        ],
        [
            f"{CONNECTIONS} connections of wrk, {ROWS:,} different one-row JSON bodies with named columns, {seconds} s "
            f"a run, medians of {TURNS} taken in turns; server on core 0, client on core 1.",
            "Penstock with metrics, limits, drift sketches and access log sampling (1 %) on and no response cache; "
            "the peers with none of these. MLServer is asked in its own protocol, Ray Serve has one replica.",
            f"Penstock at half of that load: {told_half(at_half)}.",
            f"Penstock over Open Inference with binary tensors, 1,000 rows a request: {rows_s:,.0f} rows/s.",
            f"Penstock from its start to its first answer: {start_s:.2f} s; to an answer without a worker: "
            f"{woken_s:.2f} s; medians of five. Its worker holds "
            f"{statistics.median(run.largest_mb for run in found['Penstock']):,.0f} MB of memory.",
            f"Load average at the end {os.getloadavg()[0]:.1f}: where other work shares the cores, requests/s and "
            "latencies suffer from it, and requests per second of processor time are what compares.",
        ],
    )


def all_contenders(bundle: str, folder: Path) -> Iterator[Contender]:
    """Penstock and the peers that install here."""
    onnx = str(Path(bundle) / "model.onnx")
    yield ours(bundle)
    fastapi = peer_python("fastapi", ["fastapi", "uvicorn[standard]", ONNX_RUNTIME])
    yield Contender(
        "FastAPI + ONNX Runtime",
        "/predict",
        None
        if fastapi is None
        else lambda port: [str(fastapi), str(HERE / "servers" / "fastapi_server.py"), onnx, str(port)],
    )
    litserve = peer_python("litserve", ["litserve", ONNX_RUNTIME])
    yield Contender(
        "LitServe",
        "/predict",
        None
        if litserve is None
        else lambda port: [str(litserve), str(HERE / "servers" / "litserve_server.py"), onnx, str(port)],
    )
    bentoml = peer_python("bentoml", ["bentoml", ONNX_RUNTIME])
    yield Contender(
        "BentoML",
        "/predict",
        None
        if bentoml is None
        else lambda port: [
            *(str(bentoml), "-m", "bentoml", "serve", "bentoml_server:Housing"),
            *("--working-dir", str(HERE / "servers"), "--host", "127.0.0.1", "--port", str(port)),
        ],
        {"HOUSING_ONNX": onnx, "BENTOML_DO_NOT_TRACK": "True"},
    )
    mlserver = peer_python("mlserver", ["mlserver", ONNX_RUNTIME])
    yield Contender(
        "MLServer",
        "/v2/models/housing/infer",
        None
        if mlserver is None
        else lambda port: [str(mlserver.with_name("mlserver")), "start", str(mlserver_folder(folder, port))],
        {"HOUSING_ONNX": onnx, "PYTHONPATH": str(HERE / "servers")},
        body=lambda row: {
            "inputs": [
                {"name": name, "shape": [1, 1], "datatype": "FP64", "data": [value]} for name, value in row.items()
            ]
        },
        answer=lambda answer: float(answer["outputs"][0]["data"][0]),
    )
    ray = peer_python("ray_serve", [RAY, ONNX_RUNTIME])
    yield Contender(
        "Ray Serve",
        "/predict",
        None if ray is None else lambda port: [str(ray), str(HERE / "servers" / "ray_server.py"), onnx, str(port)],
        # Ray would write a token into the user's home folder.
        {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
    )


def half_load(bundle: str, requests_s: float, folder: Path, *, seconds: int) -> tuple[float, str]:
    """Requests answered each second, and what wrk says, where its connections pause to send about `requests_s`."""
    contender = ours(bundle)
    bodies = folder / "bodies"
    bodies.write_text("".join(json.dumps(contender.body(row)) + "\n" for row in make_rows()))
    with running(contender) as (url, _):
        wrk(url, contender.path, Load(bodies), seconds=1)
        output = wrk(url, contender.path, Load(bodies, pause_ms=1000 * CONNECTIONS / requests_s), seconds=seconds)
    return answered_per_second(output), output


def told_half(runs: list[tuple[float, str]]) -> str:
    rate = statistics.median(rate for rate, _ in runs)
    p50, p99 = (statistics.median(percentile(output, share) for _, output in runs) for share in ("50", "99"))
    return f"{rate:,.0f} requests/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms"


def binary_rows_per_second(bundle: str, *, seconds: int) -> float:
    """Over keep-alive connections of a plain client, on its own core."""
    inputs = [
        {"name": name, "shape": [1000, 1], "datatype": "FP64", "parameters": {"binary_data_size": 8000}}
        for name in COLUMNS
    ]
    head = json.dumps({"parameters": {"binary_data_output": True}, "inputs": inputs}).encode()
    body = head + np.random.default_rng(0).uniform(0, 9, size=(9, 1000)).tobytes()
    request = (
        b"POST /v2/models/housing/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n" % len(body)
        + b"inference-header-content-length: %d\r\n\r\n" % len(head)
        + body
    )
    with running(ours(bundle)) as (url, _):
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {int(CLIENT_CPU)})
        try:
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                asked, until = 0, time.perf_counter() + seconds
                started = time.perf_counter()
                while time.perf_counter() < until:
                    connection.sendall(request)
                    read_answer(connection)
                    asked += 1
                return 1000 * asked / (time.perf_counter() - started)
        finally:
            os.sched_setaffinity(0, mine)


def read_answer(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length
    missing = int(length[1]) - len(rest)
    while missing > 0:
        missing -= len(connection.recv(65536))


def start_seconds(bundle: str) -> float:
    """From the start of the command to the first answer."""
    started = time.perf_counter()
    with serving(bundle) as (url, _):
        ask(url, ONE_ROW)
        return time.perf_counter() - started


def woken_seconds(bundle: str) -> float:
    """From a request to its answer by a server whose workers have all gone home."""
    with serving(bundle, "--workers", "0:1", "--idle-after", "1") as (url, pid):
        ask(url, ONE_ROW)
        children = Path(f"/proc/{pid}/task/{pid}/children")
        while children.read_text().strip():
            time.sleep(0.1)
        started = time.perf_counter()
        ask(url, ONE_ROW)
        return time.perf_counter() - started


@contextmanager
def serving(bundle: str, *words: str) -> Iterator[tuple[str, int]]:
    """The address that predicts, and the server's process."""
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", "0", "--model-name", "housing", *words]
    with subprocess.Popen(
        [*command, "--model-dir", bundle], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1] + "/v1/models/housing:predict", process.pid
        finally:
            process.terminate()


def mlserver_folder(folder: Path, port: int) -> Path:
    """Its settings files, for one process and this port."""
    home = folder / "mlserver"
    home.mkdir(exist_ok=True)
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    settings = {**ports, "host": "127.0.0.1", "parallel_workers": 0, "debug": False}
    (home / "settings.json").write_text(json.dumps(settings))
    model = {"name": "housing", "implementation": "mlserver_runtime.Housing"}
    (home / "model-settings.json").write_text(json.dumps(model))
    return home


if __name__ == "__main__":
    main(sys.argv[1:])
