"""The core behind every protocol: the catalog, versions loaded when asked, their lanes. Knows no wire format."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

from penstock.errors import DataError, PenstockError, did_you_mean
from penstock.runtime.model import PROFILE_NAME, LoadedModel, load_model, read_file
from penstock.serving.catalog import Catalog, ServedModel, ServedVersion
from penstock.serving.lanes import Lane
from penstock.serving.limits import Limits
from penstock.serving.refusals import Code, Refusal
from penstock.serving.reports import SketchCell
from penstock.serving.sketches import Sketch, references_of

__all__ = ["Service", "Target", "Then"]

Then = Callable[[Lane | Refusal], None]
"""What to do once a version is loaded, or cannot be."""

_LOAD_AGAIN_AFTER_S = 10.0
_CATALOG_WAIT_S = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """The version that a path means. is_named: whether the path says which; if not, it is the default one."""

    model: ServedModel
    version: ServedVersion
    is_named: bool


class Service:
    """Follows the catalog; loads versions when first asked and drops those asked longest ago.

    All methods are for the main loop's thread. Only loading, and calls of slow graphs, happen elsewhere.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        post: Callable[[Callable[[], None]], None],
        refresh: Callable[[], None],
        ran: Callable[[str, int, int], None],
        compared: Callable[[str, ServedVersion, str, float], None],
    ) -> None:
        """post: has a call run in the main loop's thread. refresh: asks for the catalog; `update` gets it.

        ran: told model, version and rows of every call of a graph, on whatever thread.
        compared: told how answers of shadows compare (see `Mirror`), on whatever thread.
        """
        self.compared = compared
        self.limits = limits
        self.catalog: Catalog | None = None
        self.catalog_changes = 0
        self._post = post
        self._refresh = refresh
        self._ran = ran
        self._models: dict[str, ServedModel] = {}
        self._lanes: OrderedDict[int, Lane] = OrderedDict()
        self._loading: dict[int, list[Then]] = {}
        self._failures: dict[int, tuple[float, Refusal]] = {}
        self._parked: list[tuple[float, Callable[[], None]]] = []
        self._loaders = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._runners = ThreadPoolExecutor(4, thread_name_prefix="run")
        self._asked: set[Lane] = set()

    @property
    def project(self) -> str:
        return self.catalog.project if self.catalog else ""

    def update(self, catalog: Catalog) -> None:
        """Serves this catalog from now on. A version it no longer names is dropped after the answers it owes."""
        self.catalog = catalog
        self.catalog_changes += 1
        self._models = {model.name: model for model in catalog.models}
        known = {version.id for model in catalog.models for version in model.versions}
        for gone in [key for key in self._lanes if key not in known]:
            del self._lanes[gone]
        self._failures = {key: failure for key, failure in self._failures.items() if key in known}
        if len(catalog.models) <= self.limits.loaded_versions:
            for model in catalog.models:
                for version in model.versions:
                    if version.number == model.default:
                        self.with_lane(model.name, version, lambda _: None)
        parked, self._parked = self._parked, []
        for _, call in parked:
            call()

    def model(self, name: str) -> ServedModel | None:
        return self._models.get(name)

    @property
    def loaded_versions(self) -> int:
        return len(self._lanes)

    def sketches(self) -> list[SketchCell]:
        """What the loaded versions were asked about since the last call."""
        return [
            SketchCell(lane.model_name, lane.version.number, columns)
            for lane in self._lanes.values()
            if lane.sketch is not None and (columns := lane.sketch.collect())
        ]

    @property
    def model_names(self) -> list[str]:
        return list(self._models)

    def find(self, model_name: str, wanted: str | None) -> Target:
        """The model's version of that name or number, or the default one. Raises Refusal."""
        model = self._models.get(model_name)
        if model is None:
            hint = did_you_mean(model_name, self._models)
            raise Refusal(Code.NOT_FOUND, f"there is no model {model_name!r} in project {self.project}{hint}")
        if wanted is None and model.default is None:
            raise Refusal(Code.NOT_FOUND, f"model {model_name!r} has no versions yet")
        for version in model.versions:
            if wanted in (version.name, str(version.number)) or (wanted is None and version.number == model.default):
                return Target(model, version, is_named=wanted is not None)
        hint = did_you_mean(str(wanted), [version.name for version in model.versions])
        raise Refusal(Code.NOT_FOUND, f"model {model_name!r} has no version {wanted!r}{hint}")

    def find_only(self) -> Target:
        """The default version of the only model, for protocols whose paths name none. Raises Refusal."""
        if len(self._models) == 1:
            return self.find(next(iter(self._models)), None)
        told = ", ".join(sorted(self._models)[:20]) or "none"
        raise Refusal(
            Code.NOT_FOUND,
            f"this path is for servers with one model, and this one has {len(self._models)}: {told}; ask "
            "/v1/models/NAME:predict, or serve one with --model",
        )

    def failure(self, version: ServedVersion) -> Refusal | None:
        """Why a version could not be loaded, if that was tried."""
        failed = self._failures.get(version.id)
        return failed[1] if failed else None

    def lane(self, version: ServedVersion) -> Lane | None:
        """The version, if it is loaded."""
        lane = self._lanes.get(version.id)
        if lane is not None:
            self._lanes.move_to_end(version.id)
            self._asked.add(lane)
        return lane

    def with_lane(self, model_name: str, version: ServedVersion, then: Then) -> None:
        """Calls `then` with the version, once it is loaded."""
        lane = self.lane(version)
        if lane is not None:
            then(lane)
            return
        failed = self._failures.get(version.id)
        if failed is not None and monotonic() - failed[0] < _LOAD_AGAIN_AFTER_S:
            then(failed[1])
        elif version.id in self._loading:
            self._loading[version.id].append(then)
        else:
            self._loading[version.id] = [then]
            self._loaders.submit(self._load, model_name, version)

    def after_refresh(self, call: Callable[[], None]) -> None:
        """Calls once the newest catalog is here: for requests that met a version on its way out."""
        self._parked.append((monotonic() + _CATALOG_WAIT_S, call))
        self._refresh()

    def flush(self) -> None:
        """Runs what was asked in this turn."""
        if self._asked:
            for lane in self._asked:
                lane.flush()
            self._asked.clear()

    def heartbeat(self) -> None:
        """Lets requests go on that waited too long for a catalog."""
        now = monotonic()
        overdue = [call for until, call in self._parked if until < now]
        self._parked = [(until, call) for until, call in self._parked if until >= now]
        for call in overdue:
            call()

    def close(self) -> None:
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._runners.shutdown(wait=False, cancel_futures=True)

    def _load(self, model_name: str, version: ServedVersion) -> None:
        """In the loader's thread."""
        sketch = None
        try:
            loaded: LoadedModel | Refusal = load_model(version.bundle_uri)
            if isinstance(loaded, LoadedModel):
                sketch = _sketch(loaded)
        except Exception as error:
            if not isinstance(error, PenstockError):
                _log.exception("version %s of %s cannot be loaded", version.number, model_name)
            loaded = Refusal(Code.UNAVAILABLE, f"version {version.number} of {model_name} cannot be loaded: {error}")
        self._post(lambda: self._take(model_name, version, loaded, sketch))

    def _take(
        self, model_name: str, version: ServedVersion, loaded: LoadedModel | Refusal, sketch: Sketch | None
    ) -> None:
        waiting = self._loading.pop(version.id)
        if isinstance(loaded, Refusal):
            _log.warning("%s", loaded.message)
            self._failures[version.id] = (monotonic(), loaded)
            for then in waiting:
                then(loaded)
            return
        self._failures.pop(version.id, None)
        lane = Lane(
            version,
            loaded,
            model_name=model_name,
            limits=self.limits,
            pool=self._runners,
            post=self._post,
            ran=self._ran,
            sketch=sketch,
        )
        model = self._models.get(model_name)
        if model is not None and any(known.id == version.id for known in model.versions):
            self._lanes[version.id] = lane
            while len(self._lanes) > self.limits.loaded_versions:
                self._lanes.popitem(last=False)
        self._asked.add(lane)
        for then in waiting:
            then(lane)


def _sketch(model: LoadedModel) -> Sketch | None:
    """Counts of what the model is asked about; None where the bundle has no profile to compare them with."""
    if PROFILE_NAME not in model.manifest.files:
        return None
    # Here, because a bundle without a profile does not need it.
    from penstock.data.profile import TableProfile

    try:
        profile = TableProfile.from_json(read_file(model.uri, model.manifest, PROFILE_NAME))
    except DataError as error:
        _log.warning("no drift is watched for %s: %s", model.uri, error)
        return None
    references = references_of(model.manifest, profile)
    return Sketch(references, model.rows.names) if references else None
