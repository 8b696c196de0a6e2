"""What every test shares: a home of its own, and the data that lies beside the checkout where there is some."""

import compileall
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest

from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import FORMAT_VERSION, BundleKind, Label, Manifest, OutputTensor, Signature, Task
from penstock.data.schema import Column, DataType
from penstock.settings import Settings, load_settings

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
IS_FULL = bool(os.environ.get("PENSTOCK_NO_SKIPS"))
"""Whether this is `make check-full`, which draws more examples of what Hypothesis composes."""


hypothesis.settings.register_profile("penstock", deadline=None)  # how long an example takes says nothing
hypothesis.settings.load_profile("penstock")


def pytest_configure(config: pytest.Config) -> None:
    """Compiles Penstock once: under PYTHONDONTWRITEBYTECODE each of the many processes would compile it anew.

    And hears Ctrl-C, as do the processes that tests interrupt: what a shell starts in the background would not.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(REPOSITORY / "src" / "penstock", quiet=2)


@pytest.hookimpl(optionalhook=True)  # without xdist nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each test goes to whichever worker is free, but all that start a Ray cluster to one, by the names of their files.

    Clusters on one machine share ports and a folder. Marks of xdist's own would do; pytest 9.2 makes them go unheard.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            words = Path(nodeid.partition("::")[0]).stem.split("_")
            return "ray" if "ray" in words else nodeid

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh PENSTOCK_HOME; no test touches the user's."""
    for name in [name for name in os.environ if name.startswith("PENSTOCK_") and name != "PENSTOCK_NO_SKIPS"]:
        monkeypatch.delenv(name)
    folder = tmp_path / "penstock-home"
    monkeypatch.setenv("PENSTOCK_HOME", str(folder))
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle whose files hold no model: for what handles bundles without running them."""

    def make(name: str = "bundle", *, graph: bytes = b"graph", **facts: object) -> Path:
        rooms = Column(name="RM", type=DataType.FLOAT)
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            kind=BundleKind.TRAINED,
            task=Task.REGRESSION,
            signature=Signature(
                inputs=(rooms,), outputs=(OutputTensor(name="predictions", dtype="float32", shape=(None, 1)),)
            ),
            graph_inputs=(rooms,),
            created="2026-11-23T12:00:00Z",
            label=Label(name="MEDV", unit="dollars"),
            metrics={"average_loss": 2.5},
            estimator="DNNRegressor",
            parameters={"hidden_units": [10, 10]},
            data_digest="d1" * 32,
            global_step=3000,
        )
        with BundleWriter(str(tmp_path / name)) as writer:
            writer.write("model.onnx", graph)
            writer.write("trainer/model.keras", b"weights")
            writer.publish(msgspec.structs.replace(manifest, **facts))
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def prediction_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a real `penstock serve`, whose model "houses" answers 1000 * RM + TAX; TAX may be missing."""
    from onnx import TensorProto

    from penstock.export.graph import GraphBuilder
    from penstock.flows.publish import publish

    folder = tmp_path_factory.mktemp("served")
    graph = GraphBuilder()
    scaled = graph.node("Mul", [graph.input("RM", DataType.FLOAT), graph.constant([1000.0], "float64")])
    total = graph.node("Add", [scaled, graph.input("TAX", DataType.FLOAT)])
    graph.output("predictions", graph.cast(total, TensorProto.FLOAT), TensorProto.FLOAT, (None, 1))
    columns = (
        Column(name="RM", type=DataType.FLOAT),
        Column(name="TAX", type=DataType.INTEGER, nullable=True),
    )
    with BundleWriter(str(folder / "bundle")) as writer:
        writer.write("model.onnx", graph.build().SerializeToString())
        writer.publish(
            Manifest(
                format_version=FORMAT_VERSION,
                kind=BundleKind.TRAINED,
                task=Task.REGRESSION,
                signature=Signature(
                    inputs=columns, outputs=(OutputTensor(name="predictions", dtype="float32", shape=(None, 1)),)
                ),
                graph_inputs=columns,
                created="2026-11-23T12:00:00Z",
                operator_domains=graph.operator_domains,
            )
        )
    environ = {**os.environ, "PENSTOCK_HOME": str(folder / "home")}
    publish(str(folder / "bundle"), model="houses", settings=load_settings(environ))
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.terminate()
            server.wait(timeout=20)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the checkout."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not there: this test reads real data sets that do not ship with the project")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests do hundreds of things: on a loaded machine they take what they take."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """`make check-full` allows no skip but a GPU's."""
    report = yield
    if report.skipped and IS_FULL and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which check-full does not allow: {report.longrepr}"
    return report
