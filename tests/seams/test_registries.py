"""What the registry must do on every database and every place for artifacts."""

import multiprocessing
import threading
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from penstock.bundle.folder import copy_bundle, verify
from penstock.errors import AlreadyExistsError, NotFoundError, PreconditionError, StoreError
from penstock.registry.records import VersionState
from penstock.registry.registry import Registry, open_registry
from penstock.settings import Settings
from penstock.store import blobs
from penstock.store.database import open_database
from penstock.store.owner import this_process
from penstock.store.tables import unfinished

MakeBundle = Callable[..., Path]


@pytest.fixture
def stored(settings: Settings, database_url: str, artifacts_uri: str) -> Settings:
    return replace(settings, database_url=database_url, artifacts_uri=artifacts_uri)


@pytest.fixture
def registry(stored: Settings) -> Generator[Registry]:
    with open_registry(stored) as opened:
        yield opened


def test_the_life_of_a_version(registry: Registry, make_bundle: MakeBundle, artifacts_uri: str) -> None:
    bundle = make_bundle()
    registry.create_model("m", description="été 🏠", labels={"a": "1"})
    first = registry.create_version("m", "v1", str(bundle), labels={"b": "2"}, configuration={"x": [1, None, "é"]})
    second = registry.create_version("m", None, first.bundle_uri)
    assert (second.name, second.number, second.origin_uri) == ("v2", 2, first.bundle_uri)
    assert verify(first.bundle_uri) == verify(second.bundle_uri) == verify(str(bundle))
    assert registry.resolve("m") == first
    assert first.lineage.configuration == {"x": [1, None, "é"]}
    assert registry.list_models().items[0].default_version == first
    registry.set_default("m", "v2")
    registry.delete_version("m", "v1")
    with pytest.raises(NotFoundError):
        registry.resolve("m", "v1")
    assert not blobs.exists(first.bundle_uri)
    with pytest.raises(PreconditionError):
        registry.delete_model("m")
    registry.delete_version("m", 2)
    registry.delete_model("m")
    assert registry.list_models().items == ()
    assert not blobs.exists(second.bundle_uri)


def test_names_are_taken_once(registry: Registry, make_bundle: MakeBundle) -> None:
    registry.create_model("m")
    with pytest.raises(AlreadyExistsError):
        registry.create_model("M")
    registry.create_version("m", "v1", str(make_bundle()))
    with pytest.raises(AlreadyExistsError):
        registry.create_version("m", "v1", str(make_bundle("b")))
    assert len(registry.list_versions("m").items) == 1


def note_of_another(stored: Settings, owner: str) -> None:
    """Leaves what a process leaves that was killed between its copy and its row."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    with open_database(stored) as database, database.write("registry") as connection:
        connection.execute(
            unfinished.insert().values(
                change="create",
                project="local",
                model="m",
                number=1,
                name="v1",
                origin_uri="/somewhere",
                started=long_ago,
                owner=owner,
                renewed=long_ago,
            )
        )


GONE = "-".join([this_process().split("-")[0], "4194305", "1"])


@pytest.mark.parametrize("owner", [GONE, "otherhost01-77-88"])
def test_what_a_dead_process_left_is_cleared_by_the_next_change(
    stored: Settings, registry: Registry, make_bundle: MakeBundle, artifacts_uri: str, owner: str
) -> None:
    registry.create_model("m")
    orphan = blobs.join(artifacts_uri, "local", "m", "1")
    copy_bundle(str(make_bundle()), orphan)
    note_of_another(stored, owner)
    (left,) = registry.list_unfinished("m")
    assert (left.name, left.state) == ("v1", VersionState.FAILED)
    assert "is gone" in (left.error or "")
    with pytest.raises(NotFoundError):
        registry.resolve("m", "v1")
    version = registry.create_version("m", "v1", str(make_bundle("b")))
    assert registry.list_unfinished("m") == []
    assert registry.list_versions("m").items == (version,)
    verify(version.bundle_uri)


def test_what_a_living_process_works_on_is_left_alone(
    stored: Settings, registry: Registry, make_bundle: MakeBundle, artifacts_uri: str
) -> None:
    registry.create_model("m")
    copy_bundle(str(make_bundle()), blobs.join(artifacts_uri, "local", "m", "1"))
    note_of_another(stored, this_process())
    assert [version.state for version in registry.list_unfinished("m")] == [VersionState.CREATING]
    with pytest.raises(AlreadyExistsError, match="is being created by another process"):
        registry.create_version("m", "v1", str(make_bundle("b")))
    with pytest.raises(NotFoundError, match="version 'v1' is being created"):
        registry.resolve("m")
    with pytest.raises(PreconditionError, match="version 'v1' of model 'm' is being created"):
        registry.delete_model("m")
    assert registry.create_version("m", None, str(make_bundle("c"))).number == 2
    verify(blobs.join(artifacts_uri, "local", "m", "1"))


def test_a_process_that_was_taken_for_dead_registers_nothing(
    stored: Settings, registry: Registry, make_bundle: MakeBundle
) -> None:
    registry.create_model("m")

    def be_taken_for_dead(_size_bytes: int) -> None:
        with open_database(stored) as database, database.write("registry") as connection:
            connection.execute(update(unfinished).values(owner=GONE))
        with open_registry(stored) as other:
            other.sweep()

    with pytest.raises(StoreError, match="gave up on version 'v1'"):
        registry.create_version("m", "v1", str(make_bundle()), progress=be_taken_for_dead)
    assert registry.list_versions("m").items == ()
    assert registry.list_unfinished("m") == []


def create_some(stored: Settings, bundle: str, count: int) -> None:
    with open_registry(stored) as registry:
        for _ in range(count):
            registry.create_version("m", None, bundle)


def test_versions_that_are_created_at_once_share_the_numbers(
    stored: Settings, make_bundle: MakeBundle, artifacts_uri: str
) -> None:
    bundle = str(make_bundle())
    with open_registry(stored) as registry:
        registry.create_model("m")
    # The object store in memory is that of one process.
    start = threading.Thread if artifacts_uri.startswith("memory:") else multiprocessing.get_context("spawn").Process
    workers = [start(target=create_some, args=(stored, bundle, 4)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with open_registry(stored) as registry:
        versions = registry.list_versions("m").items
        assert [version.number for version in versions] == list(range(1, 13))
        assert [version.name for version in versions] == [f"v{number}" for number in range(1, 13)]
        assert sum(version.is_default for version in versions) == 1
        for version in versions:
            verify(version.bundle_uri)
