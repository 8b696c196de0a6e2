"""Predictions a second of one replica on Ray Serve: Penstock's, deployed behind HAProxy, next to Ray Serve's own.

The same model, rows and client as in `serving`. Ray's controller, proxy and replica share the server's core.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.housing import COLUMNS, ROWS, expected_answers, make_bundle, make_rows
from benchmarks.load import (
    CONNECTIONS,
    SERVER_CPU,
    Contender,
    Run,
    ask,
    free_port,
    measure,
    measure_running,
    ours,
)
from benchmarks.report import report, version_of
from penstock.flows.local_cluster import FAST_SERVING

HERE = Path(__file__).resolve().parent
TOKEN = "a-token-of-the-benchmark"
TURNS = 3
WITHIN_S = 120.0
PLAIN = "Ray Serve, as its guide writes it"
FAST = "Ray Serve, behind HAProxy"
# Ray would write a token into the user's home folder.
QUIET = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def main(arguments: list[str]) -> None:
    """arguments: seconds a run, default 5: about 6 minutes in all."""
    seconds = int(arguments[0]) if arguments else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder / "bundle")
        rows = make_rows()
        expected = expected_answers(bundle, rows)
        found: dict[str, list[Run]] = {}
        with deployed(bundle, folder) as (url, pid):
            for _ in range(TURNS):
                run = measure_running(ours(bundle), url, pid, rows, expected, folder, seconds=seconds, token=TOKEN)
                keep(found, "Penstock on Ray", run)
        for name, settings in ((PLAIN, {}), (FAST, FAST_SERVING)):
            contender = Contender(name, "/predict", plain_ray(bundle), {**QUIET, **settings})
            for _ in range(TURNS):
                try:
                    keep(found, name, measure(contender, rows, expected, folder, seconds=seconds))
                except Exception as error:
                    # A mode of Ray's that does not run here must not cost the figures of the others.
                    print(f"{name} is left out: {error!r}", file=sys.stderr, flush=True)
                    break
    medians = {name: statistics.median(run.requests_s for run in runs) for name, runs in found.items()}
    report(
        "serving_on_ray",
        "One-row predictions a second of one replica on Ray Serve",
        ["server", "requests/s", "of the runs", "requests/CPU s", "p50 ms", "p99 ms", "Penstock over it"],
        [
            [
                name,
                f"{medians[name]:,.0f}",
                f"{min(run.requests_s for run in runs):,.0f}–{max(run.requests_s for run in runs):,.0f}",
                f"{statistics.median(run.requests_cpu_s for run in runs):,.0f}",
                f"{statistics.median(run.p50_ms for run in runs):.2f}",
                f"{statistics.median(run.p99_ms for run in runs):.2f}",
                f"{medians['Penstock on Ray'] / medians[name]:.1f}",
            ]
            for name, runs in found.items()
        ],
        [
            f"{CONNECTIONS} connections of wrk, {ROWS:,} different one-row JSON bodies with named columns, {seconds} s "
            f"a run, medians of {TURNS}; all of Ray on core 0, client on core 1.",
            "Penstock with metrics, limits, tokens and drift sketches, through HAProxy; Ray Serve with none of these, "
            "with its own proxy, and with the settings of `penstock cluster local --serve` (HAProxy, one loop).",
            f"{version_of('ray')}; load average at the end {os.getloadavg()[0]:.1f}.",
        ],
    )


def keep(found: dict[str, list[Run]], name: str, run: Run) -> None:
    found.setdefault(name, []).append(run)
    print(f"{name}: {run}", file=sys.stderr, flush=True)


def plain_ray(bundle: str) -> Callable[[int], list[str]]:
    onnx = str(Path(bundle) / "model.onnx")
    return lambda port: [sys.executable, str(HERE / "servers" / "ray_server.py"), onnx, str(port)]


@contextmanager
def deployed(bundle: str, folder: Path) -> Iterator[tuple[str, int]]:
    """The URL of the model, deployed with one replica, and the process from which the whole cluster descends."""
    environment = {**os.environ, "PENSTOCK_HOME": str(folder / "home"), "PENSTOCK_SERVER_TOKEN": TOKEN}
    penstock = [sys.executable, "-m", "penstock.cli.main"]
    jobs_port, port = free_port(), free_port()
    log = folder / "cluster.log"
    with log.open("w") as written:
        cluster = subprocess.Popen(
            ["taskset", "-c", SERVER_CPU, *penstock, "cluster", "local", "--serve", "--port", str(jobs_port)],
            env=environment,
            stdout=written,
            stderr=written,
        )
    try:
        until = time.monotonic() + WITHIN_S
        while "runs at" not in log.read_text():
            if cluster.poll() is not None or time.monotonic() > until:
                sys.exit(f"the cluster did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        for words in (
            ["models", "create", "housing"],
            ["versions", "create", "v1", "--model", "housing", "--origin", bundle],
            ["deploy", "housing", "--cluster", f"http://127.0.0.1:{jobs_port}", "--port", str(port)],
        ):
            subprocess.run([*penstock, *words], env=environment, check=True, timeout=WITHIN_S + 120)
        url = f"http://127.0.0.1:{port}"
        row = dict.fromkeys(COLUMNS, 1.0)
        while True:
            try:
                ask(f"{url}/v1/models/housing:predict", {"instances": [row]}, token=TOKEN)
                break
            except OSError:
                if time.monotonic() > until + WITHIN_S:
                    raise
                time.sleep(0.2)
        time.sleep(2)  # HAProxy is told of the replica's own port a moment later
        yield url, cluster.pid
    finally:
        cluster.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            cluster.wait(60)
        cluster.kill()


if __name__ == "__main__":
    main(sys.argv[1:])
