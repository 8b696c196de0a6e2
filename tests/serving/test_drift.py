"""Drift of what callers send from what a model was trained on."""

import doctest
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from tests.runtime.bundles import linear_bundle, mixed_bundle
from tests.serving.servers import RunningServer, run_server, wait_until
from tests.serving.test_metrics import metrics

from penstock.bundle.folder import read_manifest
from penstock.cli.monitor import monitor
from penstock.data.columns import ColumnBatch
from penstock.data.profile import ColumnProfile, TableProfile, ValueCount
from penstock.data.schema import MISSING_STRING, MISSING_TIMESTAMP, DataType
from penstock.errors import ServiceError, UsageError
from penstock.runtime.model import load_model
from penstock.serving import drift
from penstock.serving.drift import DriftBook, jensen_shannon, stability_index
from penstock.serving.drift_alarm import DriftOptions
from penstock.serving.reports import ColumnSketch, SketchCell
from penstock.serving.sketches import Sketch, references_of


def numbers(name: str, *, missing: int = 0, data_type: DataType = DataType.FLOAT) -> ColumnProfile:
    """1,000 rows, those present evenly between 0 and 100."""
    quantiles = tuple(np.linspace(0, 100, 129).tolist())
    return ColumnProfile(name=name, type=data_type, rows=1000, missing=missing, distinct=900, quantiles=quantiles)


def few(name: str, data_type: DataType, values: dict[Any, int], *, missing: int = 0) -> ColumnProfile:
    counts = tuple(ValueCount(value, count) for value, count in values.items())
    rows = sum(values.values()) + missing
    return ColumnProfile(name=name, type=data_type, rows=rows, missing=missing, values=counts, are_values_complete=True)


def test_examples_hold() -> None:
    assert doctest.testmod(drift).failed == 0


def test_every_value_is_counted_in_the_bin_of_the_profile(tmp_path: Path) -> None:
    bundle = mixed_bundle(tmp_path / "mixed")
    profile = TableProfile(
        rows=1000,
        columns=(
            numbers("age", missing=200),
            few("rooms", DataType.INTEGER, {2: 250, 3: 500, 4: 250}),
            few("town", DataType.STRING, {"Bern": 600, "Basel": 300}, missing=100),
            few("owner", DataType.BOOLEAN, {True: 750, False: 250}),
            numbers("sold", data_type=DataType.TIMESTAMP),
            few("zone", DataType.FLOAT, {1: 1000}),  # of another type: nothing to compare
            numbers("price"),  # no input of the model
        ),
    )
    references = references_of(read_manifest(bundle), profile)
    assert [reference.column.name for reference in references] == ["age", "town", "rooms", "sold", "owner"]
    for reference in references:
        assert sum(reference.shares) == pytest.approx(1.0)
    shares = {reference.column.name: reference.shares for reference in references}
    assert shares["age"][:-1] == pytest.approx([0.08] * 10, abs=0.01)
    assert shares["age"][-1] == 0.2
    assert shares["town"] == pytest.approx((0.6, 0.3, 0.0, 0.1))

    model = load_model(bundle)
    sketch = Sketch(references, model.rows.names)
    nan, missing_time = float("nan"), MISSING_TIMESTAMP
    sketch.see_batch(
        ColumnBatch(
            model.decoder.schema,
            {
                "age": np.array([5.0, 10.0, 95.0, 1000.0, nan]),
                "town": np.array(["Bern", "Bern", "Genf", MISSING_STRING, ""], dtype=object),
                "rooms": np.array([2.0, 3.0, 4.0, 9.0, 1.0]),
                "sold": np.array([5, 15, missing_time, -3, 200], dtype=np.int64),
                "owner": np.array([1.0, 0.0, 0.0, 1.0, nan]),
                "zone": np.array(["a"] * 5, dtype=object),
            },
        )
    )
    found = {column.name: column.counts for column in sketch.collect()}
    assert found["age"] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1]
    assert found["town"] == [2, 0, 2, 1]
    assert found["rooms"] == [2, 1, 1, 1, 0]
    assert found["sold"] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]
    assert found["owner"] == [2, 2, 0, 1]
    assert sketch.collect() == []


def test_rows_and_batches_count_alike(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "linear")
    model = load_model(bundle)
    references = references_of(read_manifest(bundle), TableProfile(rows=1000, columns=(numbers("C"), numbers("A"))))
    rows = np.random.default_rng(0).normal(50, 40, size=(3000, 3))
    by_row, by_batch = Sketch(references, model.rows.names), Sketch(references, model.rows.names)
    for part in np.array_split(rows, 700):
        by_row.see_rows(part)
    arrays = {name: rows[:, place] for place, name in enumerate("ABC")}
    by_batch.see_batch(ColumnBatch(model.decoder.schema, arrays))
    found = by_row.collect()
    assert found == by_batch.collect()
    assert [sum(column.counts) for column in found] == [3000, 3000]


def test_the_measures() -> None:
    assert stability_index([0.25] * 4, [0.25] * 4) == 0.0
    assert jensen_shannon([0.25] * 4, [0.25] * 4) == 0.0
    assert stability_index([1.0, 0.0], [0.0, 1.0]) > 10
    then, now = [0.1, 0.2, 0.7], [0.3, 0.3, 0.4]
    expected = sum((b - a) * np.log(b / a) for a, b in zip(then, now, strict=True))
    assert stability_index(then, now) == pytest.approx(expected)
    middle = (np.array(then) + np.array(now)) / 2
    halves = [sum(p * np.log2(p / m) for p, m in zip(side, middle, strict=True)) for side in (then, now)]
    assert jensen_shannon(then, now) == pytest.approx(sum(halves) / 2)


def test_the_window_slides_and_few_rows_raise_no_alarm() -> None:
    book = DriftBook(window_s=600, threshold=0.2, least_rows=100)

    def cell(*counts: int) -> SketchCell:
        return SketchCell("m", 1, [ColumnSketch("x", [0.5, 0.5, 0.0], list(counts))])

    book.add(cell(0, 50, 0), now=0)
    (version,) = book.look(now=1)
    assert (version.rows, version.columns[0].is_drifting) == (50, False)
    assert version.columns[0].psi > 0.2
    book.add(cell(0, 50, 0), now=5)
    book.add(cell(50, 50, 0), now=300)
    (version,) = book.look(now=301)
    assert (version.rows, version.columns[0].is_drifting) == (200, True)
    (version,) = book.look(now=650)
    assert (version.rows, version.columns[0].psi) == (100, 0.0)
    assert book.look(now=1000) == []


@pytest.fixture
def webhook() -> Generator[tuple[str, list[dict[str, Any]]]]:
    """A URL, and what was posted there."""
    posted: list[dict[str, Any]] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/drift", posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_drift_is_seen_told_and_over(tmp_path: Path, webhook: tuple[str, list[dict[str, Any]]]) -> None:
    url, posted = webhook
    profile = TableProfile(rows=1000, columns=(numbers("A"), numbers("B"), numbers("C"))).to_json()
    bundle = linear_bundle(tmp_path / "bundle", files={"profile.json": profile})
    rng = np.random.default_rng(0)

    def ask(server: RunningServer, shift: float, times: int) -> None:
        for _ in range(times):
            rows = rng.uniform(0, 100, size=(200, 3))
            rows[:, 1] = rows[:, 1] / 4 + shift
            body = {"instances": [dict(zip("ABC", row, strict=True)) for row in rows.tolist()]}
            assert server.client.post("/v1/models/linear:predict", json=body).status_code == 200

    arguments = ("--model-dir", bundle, "--model-name", "linear", "--workers", "2", "--drift-webhook", url)
    with run_server(tmp_path, *arguments) as server:
        assert server.client.get("/monitoring/drift/linear").json() == {"versions": []}
        ask(server, 75, times=10)
        wait_until(lambda: bool(posted))
        (version,) = server.client.get("/monitoring/drift/linear").json()["versions"]
        assert version["rows"] == 2000
        first, *others = version["columns"]
        assert (first["column"], first["is_drifting"]) == ("B", True)
        assert first["psi"] > 1
        assert all(column["psi"] < 0.05 and not column["is_drifting"] for column in others)
        assert [(event["event"], event["model"], event["column"]) for event in posted] == [
            ("drift_started", "linear", "B")
        ]
        assert metrics(server.url)['penstock_drift_psi{model="linear",version="1",column="B"}'] > 1
        done = CliRunner().invoke(monitor, ["linear", "--server", server.url], obj={}, catch_exceptions=False)
        assert done.stdout.splitlines()[1].split()[0] == "B"
        assert "drifting" in done.stdout.splitlines()[1]
        for start in (0, 25, 50):  # together with the first quarter, all values are there again
            ask(server, start, times=10)
        wait_until(lambda: len(posted) == 2)
        assert posted[1]["event"] == "drift_ended"
        assert server.client.get("/monitoring/drift/other").status_code == 404
        assert server.client.get("/monitoring/other").status_code == 404
        with pytest.raises(ServiceError, match="there is no model 'liner'"):
            CliRunner().invoke(monitor, ["liner", "--server", server.url], obj={}, catch_exceptions=False)
    with pytest.raises(ServiceError, match="there is no prediction server"):
        CliRunner().invoke(monitor, ["linear", "--server", server.url], obj={}, catch_exceptions=False)


def test_a_webhook_is_an_http_address() -> None:
    with pytest.raises(UsageError, match="file:///etc/passwd"):
        DriftOptions(webhook="file:///etc/passwd")
