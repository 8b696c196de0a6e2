"""Workers that come and go: none of it fails a request."""

import os
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import RunningServer, run_server, wait_until

ROW = {"A": 1, "B": 2, "C": 3}
EXPECTED = {"predictions": [[321.0]]}


def scaling_server(bundle: str, *, minimum: int, maximum: int, idle_s: float, calm_s: float, target_s: float) -> str:
    return f"""
import logging
from penstock.serving.autoscaler import Scale
from penstock.serving.catalog import FolderSource
from penstock.serving.server import Server, ServerOptions
logging.basicConfig()
scale = Scale(minimum={minimum}, maximum={maximum}, idle_s={idle_s}, calm_s={calm_s}, latency_target_s={target_s})
options = ServerOptions(port=0, scale=scale, access_log_rate=0)
server = Server(options, ready=lambda url: print("serving on", url, flush=True))
server.run(lambda: FolderSource({bundle!r}, "linear"))
"""


class Load:
    """Callers that ask all the time over connections they keep, and what went wrong."""

    def __init__(self, server: RunningServer, callers: int) -> None:
        self._url = server.url
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(callers)
        self.problems: list[str] = []
        self.answers = 0
        self._callers = [self._pool.submit(self._ask) for _ in range(callers)]

    def stop(self) -> None:
        self._stop.set()
        for caller in self._callers:
            caller.result()
        self._pool.shutdown()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                try:
                    answer = client.post("/v1/models/linear:predict", json={"instances": [ROW]})
                except httpx.HTTPError as error:
                    self.problems.append(repr(error))
                    continue
                if answer.status_code != 200 or answer.json() != EXPECTED:
                    self.problems.append(f"{answer.status_code} {answer.text}")
                self.answers += 1


def test_from_one_to_none_and_back_on_the_next_request(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    code = scaling_server(bundle, minimum=0, maximum=1, idle_s=1, calm_s=1, target_s=0.05)
    with run_server(tmp_path, code=code) as server:
        for _ in range(2):
            assert server.predict("linear", ROW).json() == EXPECTED
            wait_until(lambda: server.worker_pids == [])
            time.sleep(0.3)
            assert server.worker_pids == []
        started = time.monotonic()
        assert httpx.post(f"{server.url}/v1/models/linear:predict", json={"instances": [ROW]}).json() == EXPECTED
        assert time.monotonic() - started < 5


def test_under_load_workers_come_and_afterwards_go_and_no_request_fails(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    code = scaling_server(bundle, minimum=0, maximum=3, idle_s=1, calm_s=0.5, target_s=0.000001)
    with run_server(tmp_path, code=code) as server:
        load = Load(server, callers=8)
        wait_until(lambda: len(server.worker_pids) == 3, within_s=20)
        load.stop()
        wait_until(lambda: server.worker_pids == [], within_s=30)
        assert load.answers > 100
        assert load.problems == []
        assert "Traceback" not in server.log


@pytest.mark.slow
def test_workers_that_are_drained_under_load_fail_no_request(tmp_path: Path) -> None:
    """Up on slow answers, down because few are needed: again and again, under constant load."""
    bundle = linear_bundle(tmp_path / "bundle")
    code = f"""
import itertools
import logging
from penstock.serving.catalog import FolderSource
from penstock.serving.server import Server, ServerOptions
logging.basicConfig()
server = Server(ServerOptions(port=0, access_log_rate=0), ready=lambda url: print("serving on", url, flush=True))
looks = itertools.count()
server._autoscaler.look = lambda loads, now: 2 if next(looks) // 16 % 2 else 1
server.run(lambda: FolderSource({bundle!r}, "linear"))
"""
    with run_server(tmp_path, code=code) as server:
        load = Load(server, callers=6)
        seen: set[int] = set()
        until = time.monotonic() + 60
        while len(seen) < 4 and time.monotonic() < until:
            seen.update(server.worker_pids)
            time.sleep(0.1)
        assert len(seen) >= 4
        load.stop()
        assert load.answers > 100
        assert load.problems == []


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.slow)], ids=["few", "many"])
def test_a_killed_worker_fails_only_what_it_was_answering(tmp_path: Path, kills: int) -> None:
    callers = 6
    bundle = linear_bundle(tmp_path / "bundle")
    arguments = ("--model-dir", bundle, "--model-name", "linear", "--workers", "2", "--access-log-rate", "0")
    with run_server(tmp_path, *arguments) as server:
        load = Load(server, callers=callers)
        chosen = random.Random(7)
        for _ in range(kills):
            wait_until(lambda: len(server.worker_pids) == 2)
            time.sleep(chosen.uniform(0.2, 1.0))
            os.kill(chosen.choice(server.worker_pids), signal.SIGKILL)
        time.sleep(0.5)
        load.stop()
        # A kill cuts at most each caller's one connection; requests that wait for a connection are not touched.
        assert len(load.problems) <= kills * callers
        assert all("RemoteProtocolError" in one or "ReadError" in one or "WriteError" in one for one in load.problems)
        assert load.answers > 100
        assert server.predict("linear", ROW).json() == EXPECTED
