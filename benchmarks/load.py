"""A server under load: started on one core, asked by wrk from another, and what it used for its answers."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.housing import COLUMNS, ROWS

__all__ = [
    "CLIENT_CPU",
    "CONNECTIONS",
    "SERVER_CPU",
    "Contender",
    "Load",
    "Run",
    "answered_per_second",
    "ask",
    "free_port",
    "measure",
    "measure_running",
    "ours",
    "percentile",
    "processor_seconds",
    "resident_mb",
    "running",
    "wrk",
]

LUA = Path(__file__).resolve().parent / "servers" / "requests.lua"
CONNECTIONS = 64
SERVER_CPU, CLIENT_CPU = "0", "1"
_START_WITHIN_S = 90.0


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
class Load:
    """What wrk sends. bodies: a file of one JSON body a line. token: sent with each, where one is asked for.

    pause_ms: mean wait of a connection between an answer and its next request, drawn evenly up to twice that; 0 sends
        as fast as answers come.
    """

    bodies: Path
    token: str = ""
    pause_ms: float = 0.0


@dataclass(frozen=True)
class Run:
    """requests_s: answered each second. requests_cpu_s: for each second of processor time that the server used.

    p50_ms, p99_ms: of the latency. resident_mb: of all its processes. largest_mb: of the largest of them.
    """

    requests_s: float
    requests_cpu_s: float
    p50_ms: float
    p99_ms: float
    resident_mb: float
    largest_mb: float


def ours(bundle: str) -> Contender:
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--model-dir", bundle, "--model-name", "housing"]
    return Contender(
        "Penstock",
        "/v1/models/housing:predict",
        lambda port: [*command, "--access-log-rate", "0.01", "--port", str(port)],
    )


def measure(
    contender: Contender, rows: list[dict[str, float]], expected: list[float], folder: Path, *, seconds: int
) -> Run:
    """Starts it, checks a sample of its answers, and loads it."""
    with running(contender) as (url, pid):
        return measure_running(contender, url, pid, rows, expected, folder, seconds=seconds)


def measure_running(
    contender: Contender,
    url: str,
    pid: int,
    rows: list[dict[str, float]],
    expected: list[float],
    folder: Path,
    *,
    seconds: int,
    token: str = "",
) -> Run:
    """The same of a server whose first process is `pid`."""
    load = Load(folder / "bodies", token)
    load.bodies.write_text("".join(json.dumps(contender.body(row)) + "\n" for row in rows))
    for index in range(0, ROWS, 37):
        found = contender.answer(ask(url + contender.path, contender.body(rows[index]), token=token))
        assert abs(found - expected[index]) <= 1e-3 * abs(expected[index]), (contender.name, index, found)
    wrk(url, contender.path, load, seconds=2)
    used = processor_seconds(pid)
    output = wrk(url, contender.path, load, seconds=seconds)
    used = max(processor_seconds(pid) - used, 0.01)
    rate = answered_per_second(output)
    sizes = resident_mb(pid)
    return Run(
        *(rate, rate * seconds / used, percentile(output, "50"), percentile(output, "99")), sum(sizes), max(sizes)
    )


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
        until = time.monotonic() + _START_WITHIN_S
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
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)


def wrk(url: str, path: str, load: Load, *, seconds: int) -> str:
    """What wrk says after so many seconds."""
    command = [
        "taskset",
        "-c",
        CLIENT_CPU,
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}",
        "--timeout",
        "10s",
        "--latency",
    ]
    done = subprocess.run(
        [*command, "-s", str(LUA), url],
        env={
            **os.environ,
            "BODIES": str(load.bodies),
            "PATH_TO_ASK": path,
            "TOKEN": load.token,
            "PAUSE_MS": f"{load.pause_ms:g}",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
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


def ask(url: str, body: dict[str, Any], *, token: str = "") -> dict[str, Any]:
    headers = {"content-type": "application/json"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
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


def resident_mb(leader: int) -> list[float]:
    """Of each of its processes."""
    sizes = []
    for pid in processes(leader):
        status = Path(f"/proc/{pid}/status")
        if status.exists():
            lines = status.read_text().splitlines()
            sizes += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")]
    return sizes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
