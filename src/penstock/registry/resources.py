"""Models and versions in the fields of the ML Engine API, version 1, as commands print them and REST answers them.

Source: the schemas GoogleCloudMlV1__Model and GoogleCloudMlV1__Version of the API's discovery document. `number`,
`bundleUri`, `bundleDigest` and `lineage` are Penstock's own; clients of the API pass over fields that they do not know.
"""

from datetime import datetime

import msgspec

from penstock.registry.records import (
    AutoScaling,
    ExplanationConfig,
    Lineage,
    ManualScaling,
    Model,
    UnfinishedVersion,
    Version,
    VersionState,
)

__all__ = ["ModelResource", "VersionResource", "model_resource", "unfinished_resource", "version_resource"]


class VersionResource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`projects.models.versions`. name: in full; times in RFC 3339."""

    name: str
    number: int
    state: VersionState
    is_default: bool = False
    description: str = ""
    labels: dict[str, str] = {}
    deployment_uri: str
    create_time: str
    error_message: str = ""
    framework: str = ""
    runtime_version: str = ""
    python_version: str = ""
    machine_type: str = ""
    auto_scaling: AutoScaling | None = None
    manual_scaling: ManualScaling | None = None
    explanation_config: ExplanationConfig | None = None
    bundle_uri: str = ""
    bundle_digest: str = ""
    lineage: Lineage | None = None


class ModelResource(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`projects.models`. name: in full."""

    name: str
    description: str = ""
    labels: dict[str, str] = {}
    regions: tuple[str, ...] = ()
    online_prediction_logging: bool = False
    online_prediction_console_logging: bool = False
    create_time: str
    default_version: VersionResource | None = None


def model_resource(model: Model) -> ModelResource:
    """The model in the fields of the API."""
    return ModelResource(
        name=f"projects/{model.project}/models/{model.name}",
        description=model.description,
        labels=model.labels,
        regions=model.regions,
        online_prediction_logging=model.logging,
        online_prediction_console_logging=model.console_logging,
        create_time=_rfc3339(model.created),
        default_version=None if model.default_version is None else version_resource(model.default_version),
    )


def version_resource(version: Version) -> VersionResource:
    """The version in the fields of the API."""
    return VersionResource(
        **msgspec.structs.asdict(version.requested),
        name=f"projects/{version.project}/models/{version.model}/versions/{version.name}",
        number=version.number,
        state=version.state,
        is_default=version.is_default,
        description=version.description,
        labels=version.labels,
        deployment_uri=version.origin_uri,
        create_time=_rfc3339(version.created),
        bundle_uri=version.bundle_uri,
        bundle_digest=version.bundle_digest,
        lineage=version.lineage,
    )


def unfinished_resource(version: UnfinishedVersion) -> VersionResource:
    """A version that is being created or deleted, or whose creation was cut off."""
    return VersionResource(
        name=f"projects/{version.project}/models/{version.model}/versions/{version.name}",
        number=version.number,
        state=version.state,
        deployment_uri=version.origin_uri,
        create_time=_rfc3339(version.started),
        error_message=version.error or "",
    )


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
