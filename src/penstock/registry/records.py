"""What the registry knows of a model, of a version, and of where a version came from."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from penstock.bundle.manifest import Label, Manifest

__all__ = [
    "MOST_PATHS",
    "AutoScaling",
    "ExplanationConfig",
    "Lineage",
    "ManualScaling",
    "Model",
    "Requested",
    "SampledShapley",
    "ScalingMetric",
    "UnfinishedVersion",
    "Version",
    "VersionState",
    "lineage_of",
]

MOST_PATHS = 1_000
"""Random orders of the columns that one explanation may try."""


class VersionState(StrEnum):
    """In the words of ML Engine. Only READY versions have a bundle; the others are of `UnfinishedVersion`."""

    CREATING = "CREATING"
    READY = "READY"
    FAILED = "FAILED"
    DELETING = "DELETING"


class Lineage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Where a version came from. All but the last two fields are the bundle's own account (see `Manifest`).

    exported: when the bundle was written, RFC 3339.
    configuration: the experiment that trained it, as it was given.
    job: the job that trained it.
    """

    kind: str
    exported: str
    task: str | None = None
    estimator: str | None = None
    parameters: dict[str, Any] = {}
    label: Label | None = None
    metrics: dict[str, float] = {}
    global_step: int | None = None
    data_digest: str | None = None
    made_with: dict[str, str] = {}
    configuration: dict[str, Any] | None = None
    job: str | None = None


class ScalingMetric(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """name: CPU_USAGE or GPU_DUTY_CYCLE; target: in per cent."""

    name: str
    target: int


class AutoScaling(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """Between how many servers a version wants to be spread, and by which measure."""

    min_nodes: int = 0
    max_nodes: int = 0
    metrics: tuple[ScalingMetric, ...] = ()


class ManualScaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On how many servers a version wants to be."""

    nodes: int


class SampledShapley(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """num_paths: random orders of the columns that are tried for each row, where a caller names no number."""

    num_paths: Annotated[int, msgspec.Meta(ge=1, le=MOST_PATHS)]


class ExplanationConfig(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """How a version's predictions are explained: the one of the API's ways that fits columns of a table."""

    sampled_shapley_attribution: SampledShapley | None = None


class Requested(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """How the creator of a version wanted it served, in the fields of the ML Engine API."""

    framework: str = ""
    runtime_version: str = ""
    python_version: str = ""
    machine_type: str = ""
    auto_scaling: AutoScaling | None = None
    manual_scaling: ManualScaling | None = None
    explanation_config: ExplanationConfig | None = None

    @property
    def explanation_paths(self) -> int | None:
        """Random orders of the columns an explanation tries, None for the server's own number."""
        way = self.explanation_config.sampled_shapley_attribution if self.explanation_config else None
        return way.num_paths if way else None


@dataclass(frozen=True, kw_only=True)
class Version:
    """A registered version, ready to be served.

    id: unique over all models, never used again; with it a server tells a model that was deleted and made anew.
    number: counts up within the model, never used again while the model exists.
    origin_uri: the bundle that was registered, as a historical record; bundle_uri: the registry's own copy of it.
    bundle_digest: SHA-256 of its `bundle.json`, which holds the digests of every other file.
    """

    id: int
    project: str
    model: str
    number: int
    name: str
    is_default: bool
    description: str
    labels: dict[str, str]
    requested: Requested
    created: datetime
    origin_uri: str
    bundle_uri: str
    bundle_digest: str
    lineage: Lineage

    @property
    def state(self) -> VersionState:
        return VersionState.READY


@dataclass(frozen=True, kw_only=True)
class UnfinishedVersion:
    """A version on its way in or out. state: FAILED when the process that worked on it is gone."""

    project: str
    model: str
    number: int
    name: str
    state: VersionState
    started: datetime
    origin_uri: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A name under which versions are served. default_version: the one meant when none is named."""

    project: str
    name: str
    description: str
    labels: dict[str, str]
    regions: tuple[str, ...]
    logging: bool
    console_logging: bool
    created: datetime
    default_version: Version | None


def lineage_of(manifest: Manifest, *, configuration: dict[str, Any] | None, job: str | None) -> Lineage:
    """The lineage of a version with this bundle."""
    return Lineage(
        kind=manifest.kind,
        exported=manifest.created,
        task=manifest.task,
        estimator=manifest.estimator,
        parameters=manifest.parameters,
        label=manifest.label,
        metrics=manifest.metrics,
        global_step=manifest.global_step,
        data_digest=manifest.data_digest,
        made_with=manifest.versions,
        configuration=configuration,
        job=job,
    )
