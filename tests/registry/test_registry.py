"""The registry's rules, on SQLite and a folder. What each kind of store must do as well is in tests/seams."""

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.bundle.folder import verify
from penstock.errors import (
    AlreadyExistsError,
    BundleError,
    NotFoundError,
    PreconditionError,
    StoreError,
    UsageError,
)
from penstock.registry.records import Requested, VersionState
from penstock.registry.registry import Registry, open_registry
from penstock.settings import Settings

MakeBundle = Callable[..., Path]


@pytest.fixture
def registry(settings: Settings) -> Generator[Registry]:
    with open_registry(settings) as opened:
        yield opened


def files_under(home: Path) -> set[str]:
    artifacts = home / "artifacts"
    return {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()}


def test_a_version_is_a_whole_copy_of_its_bundle_with_its_lineage(
    registry: Registry, make_bundle: MakeBundle, home: Path
) -> None:
    bundle = make_bundle()
    registry.create_model("housing_prices", description="Boston", labels={"team": "data"}, regions=["europe-west1"])
    version = registry.create_version(
        "housing_prices",
        "v1",
        str(bundle),
        description="first",
        labels={"stage": "test"},
        requested=Requested(runtime_version="1.4"),
        configuration={"label": "MEDV"},
        job="train_1",
    )
    assert (version.number, version.name, version.state, version.is_default) == (1, "v1", VersionState.READY, True)
    assert version.bundle_uri == str(home / "artifacts" / "local" / "housing_prices" / "1")
    assert verify(version.bundle_uri) == verify(str(bundle))
    assert version.origin_uri == str(bundle)
    assert version.requested == Requested(runtime_version="1.4")
    assert version.lineage.estimator == "DNNRegressor"
    assert version.lineage.metrics == {"average_loss": 2.5}
    assert version.lineage.data_digest == "d1" * 32
    assert version.lineage.configuration == {"label": "MEDV"}
    assert version.lineage.job == "train_1"
    assert registry.resolve("housing_prices") == version
    assert registry.get_model("housing_prices").default_version == version
    (bundle / "model.onnx").unlink()
    verify(version.bundle_uri)


def test_only_the_first_version_becomes_default_by_itself(registry: Registry, make_bundle: MakeBundle) -> None:
    bundle = str(make_bundle())
    registry.create_model("m")
    registry.create_version("m", "v1", bundle)
    assert not registry.create_version("m", "v2", bundle).is_default
    assert registry.resolve("m").name == "v1"
    assert registry.set_default("m", "v2").is_default
    assert registry.resolve("m").number == 2
    assert [version.is_default for version in registry.list_versions("m").items] == [False, True]


def test_a_version_is_found_by_number_and_by_name(registry: Registry, make_bundle: MakeBundle) -> None:
    registry.create_model("m")
    first = registry.create_version("m", "one", str(make_bundle()))
    for called in (1, "1", "one", None, "0001"):
        assert registry.resolve("m", called) == first


@pytest.mark.parametrize("called", [2, "2", "two", "onee", "0", "-1", "9" * 40, "²", "", "../1"])
def test_a_version_that_is_not_there_is_said_so(registry: Registry, make_bundle: MakeBundle, called: str | int) -> None:
    registry.create_model("m")
    registry.create_version("m", "one", str(make_bundle()))
    with pytest.raises(NotFoundError, match=r"model 'm' has no version .*one"):
        registry.resolve("m", called)


def test_unnamed_versions_are_named_after_their_number(registry: Registry, make_bundle: MakeBundle) -> None:
    bundle = str(make_bundle())
    registry.create_model("m")
    assert registry.create_version("m", None, bundle).name == "v1"
    assert registry.create_version("m", "v3", bundle).number == 2
    assert registry.create_version("m", None, bundle).name == "v4", "v3 is taken"


def test_numbers_are_not_used_again(registry: Registry, make_bundle: MakeBundle) -> None:
    bundle = str(make_bundle())
    registry.create_model("m")
    registry.create_version("m", "v1", bundle)
    registry.create_version("m", "v2", bundle)
    registry.delete_version("m", "v2")
    assert registry.create_version("m", "v2", bundle).number == 3


def test_a_model_made_anew_has_versions_that_can_be_told_from_the_old_ones(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    registry.create_model("m")
    old = registry.create_version("m", "v1", str(make_bundle("a")))
    registry.delete_version("m", "v1")
    registry.delete_model("m")
    registry.create_model("m")
    new = registry.create_version("m", "v1", str(make_bundle("b", graph=b"another")))
    assert old.number == new.number
    assert old.id != new.id
    assert old.bundle_digest != new.bundle_digest


def test_files_that_the_store_does_not_know_are_never_written_over(
    registry: Registry, make_bundle: MakeBundle, home: Path
) -> None:
    foreign = home / "artifacts" / "local" / "m" / "1"
    foreign.mkdir(parents=True)
    (foreign / "bundle.json").write_text("someone else's")
    registry.create_model("m")
    version = registry.create_version("m", None, str(make_bundle()))
    assert (version.number, version.name) == (2, "v2")
    assert (foreign / "bundle.json").read_text() == "someone else's"


def test_the_default_version_is_deleted_only_when_it_is_the_last(registry: Registry, make_bundle: MakeBundle) -> None:
    bundle = str(make_bundle())
    registry.create_model("m")
    registry.create_version("m", "v1", bundle)
    registry.create_version("m", "v2", bundle)
    with pytest.raises(PreconditionError, match="penstock versions set-default v2 --model m"):
        registry.delete_version("m", "v1")
    registry.delete_version("m", "v2")
    registry.delete_version("m", "v1")
    assert registry.get_model("m").default_version is None
    with pytest.raises(NotFoundError, match="model 'm' has no versions yet"):
        registry.resolve("m")
    assert registry.create_version("m", "v1", bundle).is_default


def test_a_model_is_deleted_only_without_versions(registry: Registry, make_bundle: MakeBundle, home: Path) -> None:
    registry.create_model("m")
    registry.create_version("m", "v1", str(make_bundle()))
    with pytest.raises(PreconditionError, match="model 'm' has 1 version"):
        registry.delete_model("m")
    registry.delete_version("m", 1)
    registry.delete_model("m")
    with pytest.raises(NotFoundError, match="make it: penstock models create m"):
        registry.get_model("m")
    assert list((home / "artifacts" / "local").iterdir()) == []


def test_deleting_a_version_deletes_its_files(registry: Registry, make_bundle: MakeBundle, home: Path) -> None:
    registry.create_model("m")
    registry.create_version("m", "v1", str(make_bundle()))
    assert "local/m/1/bundle.json" in files_under(home)
    registry.delete_version("m", "v1")
    assert files_under(home) == set()
    assert registry.list_unfinished("m") == []


@pytest.mark.parametrize(
    "name", ["", "1", "1st", "a/b", "a:b", "..", ".", "a b", "-x", "_x", "modèle", "模型", "a\n", "a" * 129, "a\0"]
)
def test_names_that_paths_cannot_carry_are_refused(registry: Registry, make_bundle: MakeBundle, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        registry.create_model(name)
    registry.create_model("m")
    with pytest.raises(UsageError, match="cannot be the name of a version"):
        registry.create_version("m", name, str(make_bundle()))
    assert registry.list_versions("m").items == ()


@pytest.mark.parametrize("taken", ["m", "M"])
def test_a_model_name_is_taken_in_either_case(registry: Registry, taken: str) -> None:
    registry.create_model("m")
    with pytest.raises(AlreadyExistsError, match="has a model called"):
        registry.create_model(taken)


def test_a_taken_version_name_is_refused(registry: Registry, make_bundle: MakeBundle, home: Path) -> None:
    bundle = str(make_bundle())
    registry.create_model("m")
    registry.create_version("m", "v1", bundle)
    before = files_under(home)
    with pytest.raises(AlreadyExistsError, match="penstock versions delete v1 --model m"):
        registry.create_version("m", "v1", bundle)
    assert files_under(home) == before


def test_what_is_no_whole_bundle_is_not_registered(registry: Registry, make_bundle: MakeBundle, home: Path) -> None:
    bundle = make_bundle()
    registry.create_model("m")
    with pytest.raises(NotFoundError, match="there is no folder"):
        registry.create_version("m", "v1", str(bundle / "nowhere"))
    (bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"was altered: model\.onnx"):
        registry.create_version("m", "v1", str(bundle))
    (bundle / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        registry.create_version("m", "v1", str(bundle))
    (bundle / "bundle.json").unlink()
    with pytest.raises(BundleError, match="is not a bundle"):
        registry.create_version("m", "v1", str(bundle))
    assert registry.list_versions("m").items == ()
    assert registry.list_unfinished("m") == []
    assert files_under(home) == set()


def test_an_unknown_model_names_the_closest(registry: Registry, make_bundle: MakeBundle) -> None:
    registry.create_model("housing_prices")
    for call in (
        lambda: registry.get_model("housing_price"),
        lambda: registry.delete_model("housing_price"),
        lambda: registry.resolve("housing_price"),
        lambda: registry.list_versions("housing_price"),
        lambda: registry.update_model("housing_price", description="x"),
        lambda: registry.create_version("housing_price", "v1", str(make_bundle())),
    ):
        with pytest.raises(NotFoundError, match="did you mean 'housing_prices'"):
            call()


def test_updates_change_only_what_they_name(registry: Registry, make_bundle: MakeBundle) -> None:
    registry.create_model("m", description="old", labels={"a": "1", "b": "2"})
    model = registry.update_model("m", labels={"b": None, "c": "3"})
    assert (model.description, model.labels) == ("old", {"a": "1", "c": "3"})
    registry.create_version("m", "v1", str(make_bundle()), labels={"x": "1"})
    version = registry.update_version("m", 1, description="better 🏠 é")
    assert (version.description, version.labels) == ("better 🏠 é", {"x": "1"})
    assert registry.resolve("m").description == "better 🏠 é"


def test_too_many_labels_are_refused(registry: Registry) -> None:
    with pytest.raises(UsageError, match="there are 65 labels"):
        registry.create_model("m", labels={f"k{i}": "" for i in range(65)})


def test_every_change_raises_the_revision_and_no_reading_does(registry: Registry, make_bundle: MakeBundle) -> None:
    seen = [registry.revision()]

    def changed() -> bool:
        seen.append(registry.revision())
        return seen[-1] > seen[-2]

    registry.create_model("m")
    assert changed()
    registry.create_version("m", "v1", str(make_bundle()))
    assert changed()
    registry.create_version("m", "v2", str(make_bundle("other")))
    assert changed()
    registry.set_default("m", "v2")
    assert changed()
    registry.update_version("m", "v1", description="x")
    assert changed()
    registry.delete_version("m", "v1")
    assert changed()
    registry.list_models()
    registry.list_versions("m")
    registry.resolve("m")
    assert not changed()


def test_projects_do_not_see_each_other(settings: Settings, make_bundle: MakeBundle) -> None:
    with open_registry(settings) as mine, open_registry(replace(settings, project="other")) as theirs:
        mine.create_model("m")
        theirs.create_model("m", description="theirs")
        mine.create_version("m", "v1", str(make_bundle()))
        assert theirs.list_versions("m").items == ()
        assert mine.get_model("m").description == ""
        theirs.delete_model("m")
        assert mine.resolve("m").name == "v1"


def test_pages_and_filters(registry: Registry, make_bundle: MakeBundle) -> None:
    for name in ("bikes", "houses", "taxis", "Trains"):
        registry.create_model(name, labels={"team": "a" if name < "h" else "b"})
    first = registry.list_models(page_size=3)
    assert [model.name for model in first.items] == ["Trains", "bikes", "houses"]
    registry.create_model("cars")
    second = registry.list_models(page_size=3, page_token=first.next_page_token)
    assert [model.name for model in second.items] == ["taxis"]
    assert second.next_page_token is None
    found = registry.list_models(matching="labels.team=b AND name:t*").items
    assert [model.name for model in found] == ["taxis"]
    bundle = str(make_bundle())
    for number in range(1, 12):
        registry.create_version("cars", None, bundle, labels={"parity": "even"} if number % 2 == 0 else {})
    page = registry.list_versions("cars", page_size=4, matching="labels.parity:*")
    assert [version.number for version in page.items] == [2, 4, 6, 8]
    page = registry.list_versions("cars", page_token=page.next_page_token, matching="labels.parity:*")
    assert [version.number for version in page.items] == [10]


def test_a_home_that_was_moved_still_finds_its_bundles(
    settings: Settings, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    with open_registry(settings) as registry:
        registry.create_model("m")
        registry.create_version("m", "v1", str(make_bundle()))
    moved = settings.home.rename(tmp_path / "moved")
    elsewhere = replace(
        settings,
        home=moved,
        database_url=f"sqlite:///{moved / 'penstock.db'}",
        artifacts_uri=str(moved / "artifacts"),
    )
    with open_registry(elsewhere) as registry:
        verify(registry.resolve("m").bundle_uri)


def test_files_that_cannot_be_deleted_do_not_keep_the_version_registered(
    registry: Registry, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    bundle = str(make_bundle())
    registry.create_model("m")
    registry.create_version("m", "v1", bundle)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuse)
        with pytest.raises(StoreError, match="no longer registered, but its files are still there"):
            registry.delete_version("m", "v1")
    assert registry.list_versions("m").items == ()
    assert [version.state for version in registry.list_unfinished("m")] == [VersionState.DELETING]
    assert registry.create_version("m", "v1", bundle).number == 2


def test_a_rollback_goes_to_the_default_before_and_a_second_one_comes_back(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    registry.create_model("m", labels={"penstock.traffic": "1=90,3=10", "team": "data"})
    bundle = str(make_bundle())
    for name in ("v1", "v2", "v3"):
        registry.create_version("m", name, bundle)
    with pytest.raises(PreconditionError, match="no earlier default"):
        registry.roll_back("m")
    registry.set_default("m", "v3")
    registry.set_default("m", "v3")
    assert registry.roll_back("m", without_labels=["penstock.traffic"]).name == "v1"
    assert registry.get_model("m").labels == {"team": "data"}
    assert registry.roll_back("m").name == "v3"
    registry.delete_version("m", "v1")
    with pytest.raises(PreconditionError, match="no earlier default"):
        registry.roll_back("m")
