"""Requests split between versions and mirrored to a shadow."""

import doctest
import json
import os
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.runtime.bundles import linear_bundle
from tests.serving.servers import RunningServer, run_server, wait_until
from tests.serving.test_metrics import PREDICTED, metrics

from penstock.cli.traffic import traffic as command
from penstock.errors import ConfigError, NotFoundError, UsageError
from penstock.registry.registry import Registry, open_registry
from penstock.serving import traffic
from penstock.serving.shadow import difference
from penstock.serving.traffic import parse_weights, traffic_of
from penstock.settings import Settings

ROW = {"A": 1, "B": 2, "C": 3}


@pytest.fixture
def registry(tmp_path: Path, settings: Settings) -> Generator[Registry]:
    """`linear` with v1 to v3, which differ by what they add."""
    with open_registry(settings) as found:
        found.create_model("linear")
        for number in (1, 2, 3):
            found.create_version("linear", None, linear_bundle(tmp_path / str(number), offset=number))
        yield found


def run(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(command, ["linear", *arguments, "--format", "json"], obj={}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["model"] == "linear"
    return {row["version"]: (row["share"], row["shadow"]) for row in found["traffic"]}


def answers(server: RunningServer, path: str = "/v1/models/linear:predict", times: int = 200) -> dict[float, int]:
    """How often each prediction came."""
    counts: dict[float, int] = {}
    for _ in range(times):
        answer = server.client.post(path, json={"instances": [ROW]})
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["predictions"]
        value = found["predictions"][0] if isinstance(found, dict) else found[0]
        counts[value] = counts.get(value, 0) + 1
    return counts


def test_examples_hold() -> None:
    assert doctest.testmod(traffic).failed == 0


def test_requests_are_split_by_weight_and_back(tmp_path: Path, registry: Registry) -> None:
    with run_server(tmp_path, "--access-log-rate", "0") as server:
        assert answers(server, times=20) == {322.0: 20}
        assert run("v1=1", "2=3") == {"v1": (0.25, 0.0), "v2": (0.75, 0.0), "v3": (0.0, 0.0)}
        wait_until(lambda: 323.0 in answers(server, times=20))
        for path in ("/v1/models/linear:predict", "/v1/projects/local/models/linear:predict"):
            counts = answers(server, path)
            assert set(counts) == {322.0, 323.0}
            assert 20 < counts[322.0] < 85  # a quarter of 200, with odds against of less than one in a million
        assert answers(server, "/v1/models/linear/versions/3:predict", times=20) == {324.0: 20}
        registry.set_default("linear", 3)
        registry.delete_version("linear", 2)
        wait_until(lambda: answers(server, times=20) == {322.0: 20})
        assert run("--clear") == {"v1": (0.0, 0.0), "v3": (1.0, 0.0)}
        wait_until(lambda: answers(server, times=20) == {324.0: 20})


def test_a_shadow_is_compared_and_never_answers(tmp_path: Path, registry: Registry) -> None:
    registry.create_version("linear", "twin", linear_bundle(tmp_path / "twin", offset=1))
    broken = registry.create_version("linear", "broken", linear_bundle(tmp_path / "broken", offset=1))
    os.truncate(Path(broken.bundle_uri) / "model.onnx", 10)
    label = 'penstock_shadow_requests_total{model="linear",version="%d",outcome="%s"}'
    with run_server(tmp_path, "--access-log-rate", "0") as server:
        for shadow, number, outcome in [("v2", 2, "different"), ("twin", 4, "same"), ("broken", 5, "failed")]:
            run("--shadow", shadow)
            key = label % (number, outcome)
            wait_until(partial(is_compared, server, key))
            before = metrics(server.url)[key]
            assert answers(server, times=50) == {322.0: 50}
            bad = server.client.post("/v1/models/linear:predict", json={"instances": [{}]})
            assert bad.status_code == 400
            assert metrics(server.url)[key] == before + 50
        found = metrics(server.url)
        assert found[PREDICTED] >= 150
        assert not any('version="2",status' in name for name in found)
        different = label % (2, "different")
        mean = found[different.replace("requests", "difference")] / found[different]
        assert mean == pytest.approx(1 / 323, rel=1e-3)


def is_compared(server: RunningServer, key: str) -> bool:
    return answers(server, times=20) == {322.0: 20} and key in metrics(server.url)


def test_a_share_of_the_requests_is_mirrored(tmp_path: Path, registry: Registry) -> None:
    assert run("--shadow", "v2=0.25", "v1=1") == {"v1": (1.0, 0.0), "v2": (0.0, 0.25), "v3": (0.0, 0.0)}
    key = 'penstock_shadow_requests_total{model="linear",version="2",outcome="different"}'
    with run_server(tmp_path, "--access-log-rate", "0") as server:
        assert answers(server, times=200) == {322.0: 200}
        assert 20 < metrics(server.url)[key] < 85


def test_what_cannot_be_is_refused(registry: Registry) -> None:
    for arguments, error in [
        (["v9=1"], NotFoundError),
        (["v1=x"], ConfigError),
        (["v1=-1"], ConfigError),
        (["v1"], NotFoundError),
        (["--shadow", "v1=2"], UsageError),
        (["--clear", "v1=1"], UsageError),
    ]:
        with pytest.raises(error):
            run(*arguments)
    assert registry.get_model("linear").labels == {}


@pytest.mark.parametrize("text", ["", "1", "1=", "x=1", "1=nan", "1=inf", "1=0", "1=1,1=2", "1=1;2=2"])
def test_texts_that_are_no_weights_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_weights(text)


def test_versions_that_are_gone_get_nothing() -> None:
    labels = {"penstock.traffic": "1=1,2=3", "penstock.shadow": "9=1", "team": "data"}
    assert traffic_of(labels, {2, 3}) == (((2, 3.0),), None)
    assert traffic_of(labels, {9}) == ((), (9, 1.0))
    assert traffic_of({}, {1}) == ((), None)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (b"[1.0]", b"[1.0]", 0.0),
        (b"[100]", b"[101.0]", 1 / 101),
        (b"[0.0]", b"[1e-9]", 1e-9),
        (b'{"a": [NaN, "x", true]}', b'{"a":[NaN,"x",true]}', 0.0),
        (b"[NaN]", b"[1]", float("inf")),
        (b"[true]", b"[1]", float("inf")),
        (b"[1]", b"[1, 2]", float("inf")),
        (b'{"a": 1}', b'{"b": 1}', float("inf")),
        (b'["x"]', b'["y"]', float("inf")),
        (b'{"model_version": "1", "a": 1}', b'{"model_version": "2", "a": 1}', 0.0),
        (b"binary", b"other", float("inf")),
    ],
)
def test_differences(one: bytes, other: bytes, expected: float) -> None:
    assert difference(one, other) == pytest.approx(expected)
