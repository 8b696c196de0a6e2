"""Models and versions in the API's fields."""

import json
from datetime import UTC, datetime

import msgspec

from penstock.registry.records import (
    AutoScaling,
    Lineage,
    Model,
    Requested,
    ScalingMetric,
    UnfinishedVersion,
    Version,
    VersionState,
)
from penstock.registry.resources import model_resource, unfinished_resource, version_resource

MOMENT = datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC)
VERSION = Version(
    id=7,
    project="local",
    model="m",
    number=3,
    name="v3",
    is_default=True,
    description="third",
    labels={"a": "1"},
    requested=Requested(
        runtime_version="1.4",
        auto_scaling=AutoScaling(min_nodes=1, metrics=(ScalingMetric(name="CPU_USAGE", target=60),)),
    ),
    created=MOMENT,
    origin_uri="/exports/1",
    bundle_uri="/artifacts/local/m/3",
    bundle_digest="d" * 64,
    lineage=Lineage(kind="trained", exported="2026-11-23T11:00:00Z", data_digest="e" * 64),
)


def plain(resource: msgspec.Struct) -> dict[str, object]:
    """As a client of the API reads it."""
    content = json.loads(msgspec.json.encode(resource))
    assert isinstance(content, dict)
    return content


def test_a_version_has_the_fields_of_the_api() -> None:
    assert plain(version_resource(VERSION)) == {
        "name": "projects/local/models/m/versions/v3",
        "number": 3,
        "state": "READY",
        "isDefault": True,
        "description": "third",
        "labels": {"a": "1"},
        "deploymentUri": "/exports/1",
        "createTime": "2026-11-23T12:00:00.000005Z",
        "runtimeVersion": "1.4",
        "autoScaling": {"minNodes": 1, "metrics": [{"name": "CPU_USAGE", "target": 60}]},
        "bundleUri": "/artifacts/local/m/3",
        "bundleDigest": "d" * 64,
        "lineage": {"kind": "trained", "exported": "2026-11-23T11:00:00Z", "dataDigest": "e" * 64},
    }


def test_a_model_holds_its_default_version_whole() -> None:
    model = Model(
        project="local",
        name="m",
        description="",
        labels={},
        regions=("us-central1",),
        logging=False,
        console_logging=True,
        created=MOMENT,
        default_version=VERSION,
    )
    resource = plain(model_resource(model))
    assert resource.pop("defaultVersion") == plain(version_resource(VERSION))
    assert resource == {
        "name": "projects/local/models/m",
        "regions": ["us-central1"],
        "onlinePredictionConsoleLogging": True,
        "createTime": "2026-11-23T12:00:00.000005Z",
    }


def test_an_unfinished_version_says_what_became_of_it() -> None:
    unfinished = UnfinishedVersion(
        project="local",
        model="m",
        number=4,
        name="v4",
        state=VersionState.FAILED,
        started=MOMENT,
        origin_uri="/exports/2",
        error="killed",
    )
    assert plain(unfinished_resource(unfinished)) == {
        "name": "projects/local/models/m/versions/v4",
        "number": 4,
        "state": "FAILED",
        "deploymentUri": "/exports/2",
        "createTime": "2026-11-23T12:00:00.000005Z",
        "errorMessage": "killed",
    }
