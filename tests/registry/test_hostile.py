"""The registry where the machine does not play along: full and read-only disks, many versions, odd content."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from penstock.bundle.folder import verify
from penstock.registry.registry import open_registry
from penstock.settings import Settings
from penstock.store.database import open_database
from penstock.store.tables import models, versions

MakeBundle = Callable[..., Path]


def in_process(code: str, *words: str, **environ: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


CREATE_WITHOUT_ROOM = """
import resource, sys
from penstock.errors import StoreError
from penstock.registry.registry import open_registry
from penstock.settings import load_settings
with open_registry(load_settings()) as registry:
    registry.create_model("m")
    registry.create_version("m", "v1", sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
    try:
        registry.create_version("m", "v2", sys.argv[2])
    except StoreError as error:
        print(error)
    registry.create_version("m", "v3", sys.argv[1])
"""


def test_a_bundle_that_does_not_fit_leaves_nothing(settings: Settings, make_bundle: MakeBundle) -> None:
    small, large = make_bundle("small"), make_bundle("large", graph=b"x" * 3_000_000)
    said = in_process(CREATE_WITHOUT_ROOM, str(small), str(large))
    assert "cannot write" in said
    assert "model.onnx: File too large" in said
    with open_registry(settings) as registry:
        found = registry.list_versions("m").items
        assert [(version.name, version.number) for version in found] == [("v1", 1), ("v3", 2)]
        folder = Path(found[0].bundle_uri).parent
        assert sorted(path.name for path in folder.iterdir()) == ["1", "2"]
        assert registry.list_unfinished("m") == []


USE_READ_ONLY = """
import os, sys
from penstock.errors import StoreError
from penstock.registry.registry import open_registry
from penstock.settings import load_settings
from penstock.bundle.folder import verify
with open_registry(load_settings()) as registry:
    registry.create_model("m")
    registry.create_version("m", "v1", sys.argv[1])
home = load_settings().home
for parent, folders, files in os.walk(home):
    os.chmod(parent, 0o555)
    for file in files:
        os.chmod(os.path.join(parent, file), 0o444)
if os.geteuid() == 0:
    os.setuid(65534)  # to root nothing is read-only
with open_registry(load_settings()) as registry:
    print([model.name for model in registry.list_models().items], registry.resolve("m").name)
    verify(registry.resolve("m").bundle_uri)
    for change in (
        lambda: registry.create_model("n"),
        lambda: registry.create_version("m", "v2", registry.resolve("m").bundle_uri),
        lambda: registry.set_default("m", "v1"),
        lambda: registry.delete_version("m", "v1"),
    ):
        try:
            change()
        except StoreError as error:
            print("readonly" in str(error))
"""


@pytest.fixture
def open_to_all() -> Generator[Path]:
    """A folder that another user can enter, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-read-only-"))
    folder.chmod(0o755)
    yield folder
    for place in folder.rglob("*"):
        if place.is_dir():
            place.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_home_can_be_read_and_says_that_it_is(make_bundle: MakeBundle, open_to_all: Path) -> None:
    said = in_process(USE_READ_ONLY, str(make_bundle()), PENSTOCK_HOME=str(open_to_all / "home"))
    assert said.splitlines() == ["['m'] v1", "True", "True", "True", "True"]


def test_hundreds_of_versions_are_listed_at_once(settings: Settings, make_bundle: MakeBundle) -> None:
    count = 1_000
    with open_registry(settings) as registry:
        registry.create_model("m")
        first = registry.create_version("m", "v1", str(make_bundle()))
    with open_database(settings) as database, database.write("registry") as connection:
        row = connection.execute(select(versions)).one()._asdict()
        del row["id"]
        more = [{**row, "number": number, "name": f"v{number}"} for number in range(2, count + 1)]
        connection.execute(insert(versions), more)
        connection.execute(models.update().values(next_number=count + 1))
    with open_registry(settings) as registry:
        started = time.perf_counter()
        found = registry.list_versions("m").items
        listed_s = time.perf_counter() - started
        assert len(found) == count
        assert found[0] == first
        started = time.perf_counter()
        assert registry.resolve("m", count // 2).name == f"v{count // 2}"
        resolved_s = time.perf_counter() - started
        assert registry.create_version("m", None, str(make_bundle("b"))).number == count + 1
    assert listed_s < 2, "20 ms on an idle machine"
    assert resolved_s < 0.5, "1 ms on an idle machine"


def test_text_of_any_kind_is_kept(settings: Settings, make_bundle: MakeBundle) -> None:
    text = "Ünïcode 🏠 \u2028 'quotes\" \\ %s {x} \t\n; DROP TABLE models; --"
    bundle = make_bundle("données 🏠", metrics={text: 1.0}, parameters={text: [text]})
    with open_registry(settings) as registry:
        registry.create_model("m", description=text, labels={text[:40]: text})
        version = registry.create_version("m", "v1", str(bundle), description=text, configuration={text: {text: None}})
        assert registry.get_model("m").description == text
        assert registry.get_model("m").labels == {text[:40]: text}
        assert registry.resolve("m") == version
        assert version.lineage.metrics == {text: 1.0}
        assert version.lineage.configuration == {text: {text: None}}
        assert version.origin_uri == str(bundle)
        verify(version.bundle_uri)


def test_a_home_with_an_odd_name_works(
    settings: Settings, make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock.settings import load_settings

    monkeypatch.setenv("PENSTOCK_HOME", str(tmp_path / "ho me % é ?#x"))
    with open_registry(load_settings()) as registry:
        registry.create_model("m")
        verify(registry.create_version("m", "v1", str(make_bundle())).bundle_uri)
    assert (tmp_path / "ho me % é ?#x" / "penstock.db").exists()


def test_a_link_planted_in_the_artifacts_is_not_followed(
    settings: Settings, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").touch()
    with open_registry(settings) as registry:
        registry.create_model("m")
        version = registry.create_version("m", "v1", str(make_bundle()))
        shutil.rmtree(version.bundle_uri)
        Path(version.bundle_uri).symlink_to(victim)
        registry.delete_version("m", "v1")
    assert (victim / "kept").exists()
    assert not Path(version.bundle_uri).is_symlink()


def test_a_registered_bundle_that_was_altered_is_found_out(settings: Settings, make_bundle: MakeBundle) -> None:
    from penstock.errors import BundleError

    with open_registry(settings) as registry:
        registry.create_model("m")
        version = registry.create_version("m", "v1", str(make_bundle()))
        (Path(version.bundle_uri) / "model.onnx").write_bytes(b"altered")
        with pytest.raises(BundleError, match=r"was altered: model\.onnx"):
            registry.create_version("m", "v2", version.bundle_uri)
        registry.delete_version("m", "v1")


def test_a_bundle_whose_numbers_json_cannot_hold_is_refused_when_written(make_bundle: MakeBundle) -> None:
    from penstock.errors import BundleError

    with pytest.raises(BundleError, match="does not describe a bundle"):
        make_bundle(metrics={"loss": float("nan")})
