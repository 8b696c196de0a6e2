"""The catalog of a registry: every model and version of a project."""

from penstock.errors import NotFoundError
from penstock.registry.registry import Registry, open_registry
from penstock.serving.catalog import Catalog, CatalogSource, ServedModel, ServedVersion
from penstock.settings import Settings

__all__ = ["RegistrySource", "open_registry_source"]


class RegistrySource:
    """Follows a registry by its revision number, one small query a look."""

    def __init__(self, registry: Registry, *, only: str | None = None) -> None:
        """only: the one model to serve, None for all. Raises NotFoundError when there is no such model."""
        if only is not None:
            registry.get_model(only)
        self._registry = registry
        self._only = only
        self._revision: int | None = None

    def changed(self) -> bool:
        return self._registry.revision() != self._revision

    def read(self) -> Catalog:
        while True:
            revision = self._registry.revision()
            try:
                catalog = self._read()
            except NotFoundError:
                continue  # a model went away between the queries
            if self._registry.revision() == revision:
                self._revision = revision
                return catalog

    def close(self) -> None:
        self._registry.close()

    def _read(self) -> Catalog:
        return Catalog(
            self._registry.project,
            tuple(
                ServedModel(
                    model.name,
                    None if model.default_version is None else model.default_version.number,
                    tuple(
                        ServedVersion(version.id, version.number, version.name, version.bundle_uri)
                        for version in self._registry.list_versions(model.name).items
                    ),
                )
                for model in self._registry.list_models().items
                if self._only in (None, model.name)
            ),
        )


def open_registry_source(settings: Settings, *, only: str | None = None) -> RegistrySource:
    """The catalog of the registry that the settings name. Raises NotFoundError when there is no model `only`."""
    return RegistrySource(open_registry(settings), only=only)


_registry_source_is_a_source: type[CatalogSource] = RegistrySource
