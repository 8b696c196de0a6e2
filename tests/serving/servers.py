"""Real prediction servers as processes of their own, ended when a test is done."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

__all__ = ["RunningServer", "penstock_fails", "run_server", "wait_until"]

_START_WITHIN_S = 60.0


class RunningServer:
    """A server that answers. client: an HTTP client with its base URL. log: what it wrote to stderr."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log_path = log
        self.client = httpx.Client(base_url=url, timeout=30)

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")  # the end may be half written

    @property
    def worker_pids(self) -> list[int]:
        done = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in done.stdout.split()]

    def predict(self, model: str, *instances: object, version: int | None = None) -> httpx.Response:
        """Over TensorFlow Serving's protocol."""
        target = f"/v1/models/{model}" if version is None else f"/v1/models/{model}/versions/{version}"
        return self.client.post(f"{target}:predict", json={"instances": instances})

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=45)


@contextmanager
def run_server(
    folder: Path, *arguments: str, code: str | None = None, environment: Mapping[str, str] | None = None
) -> Generator[RunningServer]:
    """`penstock serve` with these arguments on a free port; `folder` takes its log.

    code: run this in place of the command, for settings that it has no flags for.
    """
    log_path = folder / "server.log"
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", "0", *arguments]
    if code is not None:
        command = [sys.executable, "-c", code]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **(environment or {})}
        )
    assert process.stdout is not None
    try:
        line = _read_line(process.stdout)
        assert line.startswith("serving on http"), f"{line!r}; its log: {log_path.read_text()}"
        server = RunningServer(process, line.split()[-1], log_path)
        with server.client:
            yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


def wait_until(holds: Callable[[], bool], *, within_s: float = 60.0) -> float:
    """Waits for a claim to be true; the seconds that took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < within_s, "it did not come true in time"
        time.sleep(0.02)
    return time.monotonic() - started


def _read_line(stream: IO[str]) -> str:
    ready, _, _ = select.select([stream], [], [], _START_WITHIN_S)
    return stream.readline() if ready else ""


def penstock_fails(*words: str) -> str:
    """What the command says as it refuses to run."""
    command = [sys.executable, "-m", "penstock.cli.main", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    return done.stderr
