"""Prometheus metrics, over all workers and those that are gone."""

import os
import re
import signal
import time
from pathlib import Path

import httpx
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import run_server, wait_until

from penstock.serving.metrics import Ledger
from penstock.serving.reports import BatchCell, Load, Report, RequestCell

ROW = {"A": 1, "B": 2, "C": 3}


def metrics(url: str) -> dict[str, float]:
    """Samples by name and labels, from a fresh connection, so that any worker may answer."""
    answer = httpx.get(f"{url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return parse(answer.text)


def parse(text: str) -> dict[str, float]:
    samples = {}
    typed: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            typed.add(line.split()[2])
        elif not line.startswith("#"):
            found = re.fullmatch(r'([a-z_]+)(\{([a-z_]+="(?:[^"\\]|\\.)*",?)*\})? ([0-9.e+-]+)', line)
            assert found, line
            assert found[1] in typed or re.sub(r"_(bucket|sum|count)$", "", found[1]) in typed, line
            assert found[1] + (found[2] or "") not in samples, f"{line} is there twice"
            samples[found[1] + (found[2] or "")] = float(found[4])
    return samples


PREDICTED = 'penstock_requests_total{protocol="tensorflow_serving",model="linear",version="1",status="200"}'


def test_every_request_is_counted_whichever_worker_answered_and_whoever_is_killed(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    with run_server(tmp_path, "--model-dir", bundle, "--model-name", "linear", "--workers", "2") as server:
        wait_until(lambda: metrics(server.url)["penstock_workers"] == 2)
        for _ in range(50):
            body = {"instances": [ROW, ROW]}
            assert httpx.post(f"{server.url}/v1/models/linear:predict", json=body).status_code == 200
        httpx.post(f"{server.url}/v1/models/linear:predict", json={"instances": [{"A": 1}]})
        httpx.get(f"{server.url}/v1/models/other")
        time.sleep(1)  # workers report twice a second; what one had not, dies with it
        os.kill(server.worker_pids[0], signal.SIGKILL)
        wait_until(lambda: metrics(server.url)["penstock_workers_lost_total"] == 1)
        wait_until(lambda: metrics(server.url)["penstock_workers"] == 2)
        found = metrics(server.url)
    assert found[PREDICTED] == 50
    labels = 'protocol="tensorflow_serving",model="linear",version="1"'
    assert found[f"penstock_instances_total{{{labels}}}"] == 100
    assert found[f"penstock_request_seconds_count{{{labels}}}"] == 50
    assert found[f'penstock_request_seconds_bucket{{{labels},le="+Inf"}}'] == 50
    assert 0 < found[f"penstock_request_seconds_sum{{{labels}}}"] < 50
    assert found['penstock_batch_instances_sum{model="linear",version="1"}'] == 100
    assert found['penstock_requests_total{protocol="tensorflow_serving",status="400"}'] == 1
    assert found['penstock_requests_total{protocol="tensorflow_serving",status="404"}'] == 1
    assert found["penstock_workers_started_total"] == 3
    assert found["penstock_models"] == 1


def test_tensorflow_servings_path_has_them_too(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    with run_server(tmp_path, "--model-dir", bundle, "--model-name", "linear") as server:
        assert parse(server.client.get("/monitoring/prometheus/metrics").text)["penstock_workers_started_total"] == 1
        assert server.client.post("/metrics").status_code == 405


def test_sums_and_cumulative_buckets() -> None:
    def report(status: int, latencies: list[int]) -> Report:
        cell = RequestCell("p", 'a"b\\', 3, status, sum(latencies), 7, 0.5, latencies + [0] * 11)
        return Report(Load(0.5, 1, 0, 0.0, 1), [cell], [BatchCell("m", 1, 2, 5, [1, 0, 1] + [0] * 11)])

    ledger = Ledger()
    for one in (report(200, [1, 2, 0, 1]), report(200, [1, 0, 0, 0]), report(400, [0, 0, 0, 9])):
        ledger.add(one)
    found = parse(ledger.text({"penstock_x": ("A gauge.", 1.5)}))
    labels = 'protocol="p",model="a\\"b\\\\",version="3"'
    assert found[f'penstock_requests_total{{{labels},status="200"}}'] == 5
    assert found[f'penstock_request_seconds_bucket{{{labels},le="0.0005"}}'] == 2
    assert found[f'penstock_request_seconds_bucket{{{labels},le="0.001"}}'] == 4
    assert found[f'penstock_request_seconds_bucket{{{labels},le="0.005"}}'] == 14
    assert found[f"penstock_request_seconds_count{{{labels}}}"] == 14
    assert found[f"penstock_request_seconds_sum{{{labels}}}"] == 1.5
    assert found['penstock_batch_instances_bucket{model="m",version="1",le="4"}'] == 6
    assert found["penstock_x"] == 1.5
