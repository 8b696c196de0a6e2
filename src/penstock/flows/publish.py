"""Registers a bundle as a version of a model."""

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from penstock.bundle.folder import bundle_digest, find_bundle
from penstock.errors import AlreadyExistsError, NotFoundError
from penstock.flows.import_model import import_file, is_foreign
from penstock.registry.names import check_name
from penstock.registry.records import Requested, Version
from penstock.registry.registry import Registry, open_registry
from penstock.settings import Settings
from penstock.store import blobs

__all__ = ["check_can_publish", "publish"]


def check_can_publish(model: str, *, version_name: str | None = None, settings: Settings) -> None:
    """Finds out before a long training what would keep its result from being registered.

    Raises UsageError for a name that cannot be used, AlreadyExistsError for a version that is there already, StoreError
    for a store that cannot be opened.
    """
    check_name(model, of="model")
    if version_name is not None:
        check_name(version_name, of="version")
    with open_registry(settings) as registry:
        if version_name is None:
            return
        with suppress(NotFoundError):
            registry.resolve(model, version_name)
            raise AlreadyExistsError(
                f"model {model!r} has a version {version_name!r} already; choose another name, or delete it first: "
                f"penstock versions delete {version_name} --model {model}"
            )


def publish(
    origin_uri: str,
    *,
    model: str,
    settings: Settings,
    version_name: str | None = None,
    set_default: bool = False,
    make_model: bool = True,
    description: str = "",
    labels: Mapping[str, str] | None = None,
    requested: Requested | None = None,
    configuration: Mapping[str, Any] | None = None,
    job: str | None = None,
    progress: blobs.Progress | None = None,
    source_uri: str | None = None,
) -> Version:
    """Registers the bundle at `origin_uri`, or the newest in the folders right inside it, and returns its version.

    A TensorFlow SavedModel's folder, and a model file that `import_file` takes, are made a bundle first.

    version_name: None for `v` and its number; then a bundle that the model has already is not registered twice, so that
        a run which was killed after registering can be repeated.
    source_uri: what the bundle was made of, kept as the version's origin.
    set_default: make it the default also when it is not the model's first version.
    make_model: make the model when there is none of that name.

    Raises as `Registry.create_version` does.
    """
    if is_foreign(origin_uri):
        with tempfile.TemporaryDirectory(prefix="penstock-import-") as folder:
            import_file(origin_uri, output=f"{folder}/bundle")
            return publish(
                f"{folder}/bundle",
                model=model,
                settings=settings,
                version_name=version_name,
                set_default=set_default,
                make_model=make_model,
                description=description,
                labels=labels,
                requested=requested,
                configuration=configuration,
                job=job,
                progress=progress,
                source_uri=origin_uri,
            )
    uri = find_bundle(origin_uri)
    with open_registry(settings) as registry:
        if make_model:
            _make_model(registry, model)
        version = _already_there(registry, model, uri) if version_name is None else None
        if version is None:
            version = registry.create_version(
                model,
                version_name,
                uri,
                description=description,
                labels=labels,
                requested=requested,
                configuration=configuration,
                job=job,
                progress=progress,
                source_uri=source_uri,
            )
        if set_default and not version.is_default:
            version = registry.set_default(model, version.number)
        return version


def _make_model(registry: Registry, name: str) -> None:
    try:
        registry.get_model(name)
    except NotFoundError:
        with suppress(AlreadyExistsError):  # another process was faster, or the name differs in case: told by the next
            registry.create_model(name)


def _already_there(registry: Registry, model: str, uri: str) -> Version | None:
    digest = bundle_digest(uri)
    for version in registry.list_versions(model).items:
        if version.bundle_digest == digest:
            return version
    return None
