"""Registering a bundle in one go."""

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.errors import AlreadyExistsError, BundleError, NotFoundError, UsageError
from penstock.flows.publish import check_can_publish, publish
from penstock.registry.registry import open_registry
from penstock.settings import Settings

MakeBundle = Callable[..., Path]


def test_a_bundle_becomes_the_first_version_of_a_new_model(settings: Settings, make_bundle: MakeBundle) -> None:
    version = publish(
        str(make_bundle()), model="houses", settings=settings, configuration={"label": "MEDV"}, job="train_1"
    )
    assert (version.name, version.number, version.is_default) == ("v1", 1, True)
    assert version.lineage.configuration == {"label": "MEDV"}
    assert version.lineage.job == "train_1"


def test_a_model_is_not_made_when_that_was_not_asked_for(settings: Settings, make_bundle: MakeBundle) -> None:
    with pytest.raises(NotFoundError, match="there is no model 'houses'"):
        publish(str(make_bundle()), model="houses", settings=settings, make_model=False)


def test_the_newest_export_in_a_folder_is_taken(settings: Settings, make_bundle: MakeBundle) -> None:
    make_bundle("Servo/1700000000", graph=b"old")
    newest = make_bundle("Servo/1700000001", graph=b"new")
    version = publish(str(newest.parent), model="houses", settings=settings)
    assert version.origin_uri == str(newest)


def test_a_later_version_becomes_default_only_on_request(settings: Settings, make_bundle: MakeBundle) -> None:
    publish(str(make_bundle("a")), model="m", settings=settings)
    assert not publish(str(make_bundle("b", graph=b"b")), model="m", settings=settings).is_default
    assert publish(str(make_bundle("c", graph=b"c")), model="m", settings=settings, set_default=True).is_default


def test_repeating_a_run_does_not_register_its_bundle_twice(settings: Settings, make_bundle: MakeBundle) -> None:
    bundle = str(make_bundle())
    first = publish(bundle, model="m", settings=settings)
    again = publish(bundle, model="m", settings=settings)
    assert again == first
    named = publish(bundle, model="m", version_name="same_under_another_name", settings=settings)
    assert named.number == 2


def test_a_failed_publication_leaves_no_version(settings: Settings, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    (bundle / "model.onnx").write_bytes(b"altered")
    with pytest.raises(BundleError, match="was altered"):
        publish(str(bundle), model="m", settings=settings)
    with open_registry(settings) as registry:
        assert registry.list_versions("m").items == ()


def test_what_would_keep_a_result_from_being_registered_is_known_beforehand(
    settings: Settings, make_bundle: MakeBundle
) -> None:
    check_can_publish("m", settings=settings)
    check_can_publish("m", version_name="v1", settings=settings)
    publish(str(make_bundle()), model="m", settings=settings)
    check_can_publish("m", settings=settings)
    with pytest.raises(AlreadyExistsError, match="has a version 'v1' already"):
        check_can_publish("m", version_name="v1", settings=settings)
    with pytest.raises(UsageError, match="cannot be the name of a model"):
        check_can_publish("my model", settings=settings)
    with pytest.raises(UsageError, match="cannot be the name of a version"):
        check_can_publish("m", version_name="1", settings=settings)
