"""Predictions a second of one server core: Penstock with all it does for a service, next to bare and packaged peers.

One-row JSON requests with named columns, 1,000 different rows of a model of the lab's shape (9 numbers, two hidden
layers of 10), 64 connections of `wrk`; the server has core 0 and the client core 1. Answers are checked on a sample.
"""

import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from benchmarks.peers import peer_python
from benchmarks.report import report
from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import BundleKind, Manifest, OutputTensor, Signature, Task
from penstock.data.profile import ColumnProfile, TableProfile
from penstock.data.schema import Column, DataType
from penstock.export.graph import GraphBuilder
from penstock.runtime.model import load_model

HERE = Path(__file__).resolve().parent
COLUMNS = ("CRIM", "ZN", "INDUS", "NOX", "RM", "AGE", "DIS", "TAX", "PTRATIO")
HIGHEST = np.array([90, 100, 28, 0.9, 8.8, 100, 12.1, 711, 22])
ROWS = 1000
CONNECTIONS = 64
ONNX_RUNTIME = "onnxruntime==1.32.0"
SERVER_CPU, CLIENT_CPU = "0", "1"


@dataclass(frozen=True)
class Contender:
    """A server to be measured. command: starts it, given a port. None where it cannot be had here."""

    name: str
    path: str
    command: Callable[[int], Sequence[str]] | None
    environment: dict[str, str] = field(default_factory=dict)
    body: Callable[[dict[str, float]], dict[str, Any]] = lambda row: {"instances": [row]}
    answer: Callable[[dict[str, Any]], float] = lambda answer: float(answer["predictions"][0][0])


@dataclass(frozen=True)
class Run:
    """requests_s: answered each second. requests_cpu_s: for each second of processor time that the server used.

    p50_ms, p99_ms: of the latency. resident_mb: of all its processes.
    """

    requests_s: float
    requests_cpu_s: float
    p50_ms: float
    p99_ms: float
    resident_mb: float


def main(arguments: list[str]) -> None:
    """arguments: seconds a run, default 5."""
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk: apt-get install wrk")
    seconds = int(arguments[0]) if arguments else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder / "bundle")
        rows = make_rows()
        expected = expected_answers(bundle, rows)
        found: dict[str, list[Run]] = {}
        contenders = [one for one in all_contenders(bundle, folder) if one.command is not None]
        for turn in range(3):  # in turns, so that a busy moment of the machine hits all
            for contender in contenders:
                run = measure(contender, rows, expected, folder, seconds=seconds)
                found.setdefault(contender.name, []).append(run)
                print(f"turn {turn + 1}: {contender.name}: {run}", file=sys.stderr, flush=True)
        rows_s = binary_rows_per_second(bundle, seconds=seconds)
        start_s = statistics.median(start_seconds(bundle) for _ in range(5))
    medians = {name: statistics.median(run.requests_s for run in runs) for name, runs in found.items()}
    best = medians["Penstock"]
    report(
        "serving",
        "One-row predictions a second, on one core",
        [
            "server",
            "requests/s",
            "of three runs",
            "requests/CPU s",
            "p50 ms",
            "p99 ms",
            "resident MB",
            "Penstock over it",
        ],
        [
            [
                name,
                f"{medians[name]:,.0f}",
                f"{min(run.requests_s for run in runs):,.0f}–{max(run.requests_s for run in runs):,.0f}",
                f"{statistics.median(run.requests_cpu_s for run in runs):,.0f}",
                f"{statistics.median(run.p50_ms for run in runs):.2f}",
                f"{statistics.median(run.p99_ms for run in runs):.2f}",
                f"{statistics.median(run.resident_mb for run in runs):,.0f}",
                f"{best / medians[name]:.1f}",
            ]
            for name, runs in sorted(found.items(), key=lambda item: -medians[item[0]])
        ],
        [
            f"{CONNECTIONS} connections of wrk, {ROWS:,} different one-row JSON bodies with named columns, {seconds} s "
            "a run, medians of three taken in turns; server on core 0, client on core 1.",
            "Penstock with metrics, limits, drift sketches and access log sampling (1 %) on and no response cache; "
            "the peers with none of these. MLServer is asked in its own protocol.",
            f"Penstock over Open Inference with binary tensors, 1,000 rows a request: {rows_s:,.0f} rows/s.",
            f"Penstock from its start to its first answer: {start_s:.2f} s, median of five.",
            f"Load average at the end {os.getloadavg()[0]:.1f}: where other work shares the cores, requests/s and "
            "latencies suffer from it, and requests per second of processor time are what compares.",
        ],
    )


def ours(bundle: str) -> Contender:
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--model-dir", bundle, "--model-name", "housing"]
    return Contender(
        "Penstock",
        "/v1/models/housing:predict",
        lambda port: [*command, "--access-log-rate", "0.01", "--port", str(port)],
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


def measure(
    contender: Contender, rows: list[dict[str, float]], expected: list[float], folder: Path, *, seconds: int
) -> Run:
    """Starts it, checks a sample of its answers, and loads it."""
    bodies = folder / "bodies"
    bodies.write_text("".join(json.dumps(contender.body(row)) + "\n" for row in rows))
    with running(contender) as (url, pid):
        for index in range(0, ROWS, 37):
            found = contender.answer(ask(url + contender.path, contender.body(rows[index])))
            assert abs(found - expected[index]) <= 1e-3 * abs(expected[index]), (contender.name, index, found)
        wrk(url, contender.path, bodies, seconds=1)
        used = processor_seconds(pid)
        output = wrk(url, contender.path, bodies, seconds=seconds)
        used = processor_seconds(pid) - used
        rate = answered_per_second(output)
        return Run(rate, rate * seconds / used, percentile(output, "50"), percentile(output, "99"), resident_mb(pid))


@contextmanager
def running(contender: Contender) -> Iterator[tuple[str, int]]:
    """Its URL and process, on the server's core; ended with all it started."""
    assert contender.command is not None
    port = free_port()
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CPU, *contender.command(port)],
        env={**os.environ, **contender.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    row = dict.fromkeys(COLUMNS, 1.0)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                ask(url + contender.path, contender.body(row))
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise
                time.sleep(0.05)
        yield url, process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wrk(url: str, path: str, bodies: Path, *, seconds: int) -> str:
    command = ["taskset", "-c", CLIENT_CPU, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}", "--latency"]
    done = subprocess.run(
        [*command, "-s", str(HERE / "servers" / "requests.lua"), url],
        env={**os.environ, "BODIES": str(bodies), "PATH_TO_ASK": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def answered_per_second(output: str) -> float:
    """Requests a second that got their prediction, out of what wrk says."""
    found = re.search(r"(\d+) requests in ", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found, output
    assert rate, output
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return float(rate[1]) * (1 - (int(failed[1]) if failed else 0) / int(found[1]))


def percentile(output: str, share: str) -> float:
    """Milliseconds out of wrk's table of latencies."""
    found = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s)\s*$", output, re.MULTILINE)
    assert found, output
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def ask(url: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


def processes(leader: int) -> list[str]:
    """A process and all that descend from it, in whatever session."""
    found = [str(leader)]
    for pid in found:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        if children.exists():
            found += children.read_text().split()
    return found


def processor_seconds(leader: int) -> float:
    """User and system time of all its processes."""
    ticks = 0
    for pid in processes(leader):
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists():
            continue
        fields = stat.read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_mb(leader: int) -> float:
    """Of all its processes."""
    sizes = []
    for pid in processes(leader):
        status = Path(f"/proc/{pid}/status")
        if status.exists():
            sizes += [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS")]
    return sum(sizes) / 1024


def binary_rows_per_second(bundle: str, *, seconds: int) -> float:
    """Over keep-alive connections of a plain client, on its own core."""
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--model-dir", bundle, "--model-name", "housing"]
    contender = Contender(
        "Penstock",
        "/v1/models/housing:predict",
        lambda port: [*command, "--access-log-rate", "0.01", "--port", str(port)],
    )
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
    with running(contender) as (url, _):
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
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", "0", "--model-name", "housing"]
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--model-dir", bundle], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            ask(f"{url}/v1/models/housing:predict", {"instances": [dict.fromkeys(COLUMNS, 1.0)]})
            return time.perf_counter() - started
        finally:
            process.terminate()


def make_bundle(folder: Path) -> str:
    """The lab's network with weights drawn at random, and a profile to watch drift against."""
    rng = np.random.default_rng(7)
    columns = tuple(Column(name=name, type=DataType.FLOAT) for name in COLUMNS)
    graph = GraphBuilder()
    inputs = [graph.input(column.name, column.type) for column in columns]
    value = graph.cast(graph.node("Concat", inputs, axis=1), TensorProto.FLOAT)
    value = graph.node("Div", [value, graph.constant(HIGHEST[None, :], np.float32)])
    for size_in, size_out in ((9, 10), (10, 10), (10, 1)):
        weights = graph.constant(rng.normal(size=(size_in, size_out)), np.float32)
        value = graph.node("MatMul", [value, weights])
        value = graph.node("Add", [value, graph.constant(rng.normal(size=(size_out,)), np.float32)])
        if size_out > 1:
            value = graph.node("Relu", [value])
    dollars = graph.node(
        "Add", [graph.node("Mul", [value, graph.constant(1000.0, np.float32)]), graph.constant(22500.0, np.float32)]
    )
    graph.output("predictions", dollars, TensorProto.FLOAT, (None, 1))
    output = OutputTensor(name="predictions", dtype="float32", shape=(None, 1))
    manifest = Manifest(
        format_version=1,
        kind=BundleKind.GRAPH,
        task=Task.REGRESSION,
        signature=Signature(inputs=columns, outputs=(output,), ignored=("CHAS", "RAD", "MEDV")),
        graph_inputs=columns,
        created="2026-01-01T00:00:00Z",
        operator_domains=graph.operator_domains,
    )
    profiles = tuple(
        ColumnProfile(
            name=name, type=DataType.FLOAT, rows=506, missing=0, quantiles=tuple(np.linspace(0, top, 129).tolist())
        )
        for name, top in zip(COLUMNS, HIGHEST, strict=True)
    )
    with BundleWriter(str(folder)) as writer:
        writer.write("model.onnx", graph.build().SerializeToString())
        writer.write("profile.json", TableProfile(rows=506, columns=profiles).to_json())
        writer.publish(manifest)
    return str(folder)


def make_rows() -> list[dict[str, float]]:
    values = np.random.default_rng(1).uniform(0, HIGHEST, size=(ROWS, len(COLUMNS))).round(4)
    return [dict(zip(COLUMNS, row, strict=True)) for row in values.tolist()]


def expected_answers(bundle: str, rows: list[dict[str, float]]) -> list[float]:
    model = load_model(bundle)
    return list(model.predict(model.decode(rows))["predictions"][:, 0].tolist())


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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main(sys.argv[1:])
