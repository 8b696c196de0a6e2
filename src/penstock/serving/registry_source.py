"""The catalog of a registry: every model and version of a project."""

import logging

from penstock.errors import ConfigError, NotFoundError
from penstock.registry.records import Model
from penstock.registry.registry import Registry, open_registry
from penstock.serving.catalog import Catalog, CatalogSource, ServedModel, ServedVersion
from penstock.serving.traffic import traffic_of
from penstock.settings import Settings

__all__ = ["RegistrySource", "open_registry_source"]

_log = logging.getLogger(__name__)


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
        models = [model for model in self._registry.list_models().items if self._only in (None, model.name)]
        return Catalog(self._registry.project, tuple(map(self._served, models)))

    def _served(self, model: Model) -> ServedModel:
        versions = [
            ServedVersion(
                version.id, version.number, version.name, version.bundle_uri, version.requested.explanation_paths
            )
            for version in self._registry.list_versions(model.name).items
        ]
        try:
            traffic, shadow = traffic_of(model.labels, {version.number for version in versions})
        except ConfigError as error:
            _log.warning("model %s: %s; its default version gets all requests", model.name, error)
            traffic, shadow = (), None
        default = None if model.default_version is None else model.default_version.number
        return ServedModel(model.name, default, tuple(versions), traffic, shadow)


def open_registry_source(settings: Settings, *, only: str | None = None) -> RegistrySource:
    """The catalog of the registry that the settings name. Raises NotFoundError when there is no model `only`."""
    return RegistrySource(open_registry(settings), only=only)


_registry_source_is_a_source: type[CatalogSource] = RegistrySource
