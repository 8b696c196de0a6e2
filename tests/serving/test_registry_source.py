"""A server that follows the registry: new versions, default versions and deletions, without a restart."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import RunningServer, run_server, wait_until

from penstock.registry.registry import Registry, open_registry
from penstock.settings import Settings

ROW = {"A": 1, "B": 2, "C": 3}


def predicted(server: RunningServer, version: int | None = None) -> float | int:
    """The prediction, or the HTTP status where there is none."""
    answer = server.predict("linear", ROW, version=version)
    return float(answer.json()["predictions"][0][0]) if answer.status_code == 200 else answer.status_code


def publish(registry: Registry, folder: Path, offset: float) -> int:
    return registry.create_version("linear", None, linear_bundle(folder / f"bundle-{offset}", offset=offset)).number


def test_an_empty_registry_is_served_and_followed(tmp_path: Path, settings: Settings) -> None:
    with run_server(tmp_path) as server, open_registry(settings) as registry:
        assert predicted(server) == 404
        assert server.client.get("/healthz").status_code == 200
        registry.create_model("linear")
        assert predicted(server) == 404
        publish(registry, tmp_path, 1)
        assert wait_until(lambda: predicted(server) == 322.0) < 2.0
        publish(registry, tmp_path, 2)
        assert wait_until(lambda: predicted(server, 2) == 323.0) < 2.0
        assert predicted(server) == 322.0
        registry.set_default("linear", 2)
        assert wait_until(lambda: predicted(server) == 323.0) < 2.0
        registry.delete_version("linear", 1)
        assert wait_until(lambda: predicted(server, 1) == 404) < 2.0
        registry.delete_version("linear", 2)
        registry.delete_model("linear")
        assert wait_until(lambda: predicted(server) == 404) < 2.0
        assert server.client.get("/v1/models/linear").status_code == 404


def test_a_model_deleted_and_made_anew_is_the_new_one(tmp_path: Path, settings: Settings) -> None:
    with open_registry(settings) as registry:
        registry.create_model("linear")
        publish(registry, tmp_path, 1)
        with run_server(tmp_path) as server:
            assert predicted(server) == 322.0
            registry.delete_version("linear", 1)
            registry.delete_model("linear")
            registry.create_model("linear")
            assert publish(registry, tmp_path, 2) == 1
            wait_until(lambda: predicted(server) == 323.0)


@pytest.mark.parametrize(
    "switches", [6, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=["few", "many"]
)
def test_default_versions_switch_and_go_under_load_without_a_failed_or_wrong_answer(
    tmp_path: Path, settings: Settings, switches: int
) -> None:
    """The version before is deleted right after the switch, so that requests meet versions on their way out."""
    stop = threading.Event()
    problems: list[str] = []
    allowed = {322.0}

    def ask(url: str) -> int:
        asked = 0
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.is_set():
                known = set(allowed)  # an answer may be of the moment it was asked for, or of any until it is here
                answer = client.post("/v1/models/linear:predict", json={"instances": [ROW]})
                known |= allowed
                if answer.status_code != 200 or answer.json()["predictions"][0][0] not in known:
                    problems.append(f"{answer.status_code} {answer.text}, allowed were {known}")
                asked += 1
        return asked

    with open_registry(settings) as registry, ThreadPoolExecutor(4) as pool:
        registry.create_model("linear")
        publish(registry, tmp_path, 1)
        with run_server(tmp_path, "--access-log-rate", "0") as server:
            asking = [pool.submit(ask, server.url) for _ in range(4)]
            for number in range(2, switches + 2):
                assert publish(registry, tmp_path, number) == number
                allowed.add(321.0 + number)
                registry.set_default("linear", number)
                registry.delete_version("linear", number - 1)
                wait_until(lambda number=number: predicted(server) == 321.0 + number)  # type: ignore[misc]
                allowed.discard(320.0 + number)
            stop.set()
            assert sum(request.result() for request in asking) > 100
            assert server.stop(signal.SIGTERM) == 0
    assert problems == []
