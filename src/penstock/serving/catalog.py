"""What there is to serve: models, their versions, the default one. A server follows a catalog; it never changes it."""

from typing import Protocol

import msgspec

from penstock.bundle.folder import MANIFEST_NAME, find_bundle, read_manifest
from penstock.errors import UsageError
from penstock.registry.names import check_name
from penstock.store import blobs

__all__ = ["Catalog", "CatalogSource", "FolderSource", "ServedModel", "ServedVersion"]


class ServedVersion(msgspec.Struct, frozen=True, array_like=True):
    """A version that can be asked. id: never given to another version, so what was loaded under it stays valid.

    explanation_paths: random orders of the columns an explanation tries, unless asked for another number.
    """

    id: int
    number: int
    name: str
    bundle_uri: str
    explanation_paths: int | None = None


class ServedModel(msgspec.Struct, frozen=True, array_like=True):
    """A model's versions by number.

    default: the number of the one meant when none is named, None without any.
    traffic: versions that share the requests that name none, with their weights; empty where the default has them all.
    shadow: a version that gets a copy of those requests, and of what share of them.
    """

    name: str
    default: int | None
    versions: tuple[ServedVersion, ...]
    traffic: tuple[tuple[int, float], ...] = ()
    shadow: tuple[int, float] | None = None


class Catalog(msgspec.Struct, frozen=True, array_like=True):
    """All there is to serve at one moment."""

    project: str
    models: tuple[ServedModel, ...]


class CatalogSource(Protocol):
    """Where a catalog comes from."""

    def changed(self) -> bool:
        """Whether `read` may answer something else than last time. Cheap: asked a few times a second."""
        ...

    def read(self) -> Catalog:
        """The catalog now."""
        ...

    def close(self) -> None: ...


class FolderSource:
    """One model out of a folder, without a registry.

    A bundle is its version 1. A folder of bundles named by numbers, as exporters write them, is a model with these
    versions, the highest the default; new ones appear as they are written.
    """

    def __init__(self, uri: str, model: str, *, project: str = "local") -> None:
        """Raises UsageError for a name no model may have, NotFoundError or BundleError when nothing is there."""
        self._uri = uri.rstrip("/")
        self._model = check_name(model, of="model")
        self._project = project
        found = find_bundle(self._uri)
        read_manifest(found)
        self._is_bundle = found == self._uri
        if not self._is_bundle and not self._numbered():
            raise UsageError(
                f"the bundles in {uri} are not named by numbers, so they are not versions of one model; "
                f"name one of them, such as {found}"
            )
        self._seen: tuple[str, ...] | None = None

    def changed(self) -> bool:
        return self._seen is None or (not self._is_bundle and self._numbered() != self._seen)

    def read(self) -> Catalog:
        if self._is_bundle:
            self._seen = ()
            versions = [ServedVersion(1, 1, "v1", self._uri)]
        else:
            self._seen = self._numbered()
            versions = [
                ServedVersion(int(name), int(name), f"v{name}", blobs.join(self._uri, name)) for name in self._seen
            ]
        default = versions[-1].number if versions else None
        return Catalog(self._project, (ServedModel(self._model, default, tuple(versions)),))

    def close(self) -> None:
        pass

    def _numbered(self) -> tuple[str, ...]:
        """Folders of bundles that are named by numbers, in ascending order."""
        names = [name for name in blobs.child_folders(self._uri) if name.isdecimal() and int(name) < 2**63]
        whole = [name for name in names if blobs.exists(blobs.join(self._uri, name, MANIFEST_NAME))]
        return tuple(sorted(whole, key=int))


_folder_source_is_a_source: type[CatalogSource] = FolderSource
