"""Under constant load: versions change, minutes pass; nothing fails that should not."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import RunningServer, run_server

from penstock.registry.registry import open_registry
from penstock.settings import Settings

ROW = {"A": 1, "B": 2, "C": 3}


class Callers:
    """Ask all the time. answers: what they got, with the moments between which it was answered."""

    def __init__(self, server: RunningServer, count: int = 4) -> None:
        self._url = server.url
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(count)
        self.problems: list[str] = []
        self.answers: list[tuple[float, float, float]] = []
        self._running = [self._pool.submit(self._ask) for _ in range(count)]

    def stop(self) -> None:
        self._stop.set()
        for one in self._running:
            one.result()
        self._pool.shutdown()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                asked = time.monotonic()
                answer = client.post("/v1/models/linear:predict", json={"instances": [ROW]})
                if answer.status_code != 200:
                    self.problems.append(f"{answer.status_code} {answer.text}")
                    continue
                self.answers.append((asked, time.monotonic(), answer.json()["predictions"][0][0]))


@contextmanager
def calling(server: RunningServer) -> Iterator[Callers]:
    callers = Callers(server)
    try:
        yield callers
    finally:
        callers.stop()


@pytest.mark.slow
def test_a_hundred_switches_fail_no_request_and_none_is_answered_by_a_wrong_version(
    tmp_path: Path, settings: Settings
) -> None:
    with open_registry(settings) as registry:
        registry.create_model("linear")
        for number in (1, 2):
            registry.create_version(
                "linear", f"v{number}", linear_bundle(tmp_path / str(number), offset=1000.0 * number)
            )
        switches: list[tuple[float, float, float]] = [(0.0, 0.0, 1321.0)]
        with run_server(tmp_path, "--workers", "2", "--access-log-rate", "0") as server, calling(server) as callers:
            for turn in range(100):
                before = time.monotonic()
                number = 2 - turn % 2
                registry.set_default("linear", f"v{number}")
                switches.append((before, time.monotonic() + 3.0, 321.0 + 1000.0 * number))
                time.sleep(0.2 if turn % 10 else 3.5)
        assert callers.problems == []
        assert len(callers.answers) > 500
    for asked, answered, value in callers.answers:
        # Any default of the seconds before may still answer: servers follow within a moment.
        allowed = {
            of
            for index, (began, _, of) in enumerate(switches)
            if began <= answered and in_force(switches, index, asked)
        }
        assert value in allowed, (asked, value, allowed)


def in_force(switches: list[tuple[float, float, float]], index: int, asked: float) -> bool:
    """Whether a default may have answered a request of that moment: the next one's was not yet everywhere."""
    return index + 1 == len(switches) or asked <= switches[index + 1][1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_thousand_versions_are_routable_and_few_are_loaded(tmp_path: Path, settings: Settings) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    with open_registry(settings) as registry:
        for model in range(10):
            registry.create_model(f"m{model}")
            for number in range(100):
                registry.create_version(f"m{model}", f"v{number}", bundle)
    with run_server(tmp_path, "--access-log-rate", "0") as server:
        luck = random.Random(1)
        for _ in range(40):
            model, number = luck.randrange(10), luck.randrange(100)
            answer = server.client.post(
                f"/v1/projects/{settings.project}/models/m{model}/versions/v{number}:predict", json={"instances": [ROW]}
            )
            assert answer.json() == {"predictions": [{"predictions": [321.0]}]}
        loaded = [line for line in server.client.get("/metrics").text.splitlines() if "loaded_versions " in line]
        assert 0 < float(loaded[-1].split()[-1]) <= 60


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seconds", [30, 600])
def test_memory_stays_flat(tmp_path: Path, seconds: int) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    words = ("--model-dir", bundle, "--model-name", "linear", "--access-log-rate", "0")
    with run_server(tmp_path, *words) as server, calling(server) as callers:
        time.sleep(seconds / 5)
        (pid,) = server.worker_pids
        callers.answers.clear()
        before = resident_mb(pid)
        until = time.monotonic() + seconds * 4 / 5
        while time.monotonic() < until:
            time.sleep(1)
            del callers.answers[:-100]
        after = resident_mb(pid)
        assert server.worker_pids == [pid]
    assert callers.problems == []
    assert after < before * 1.1 + 5, (before, after)


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
