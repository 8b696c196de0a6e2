"""The written objects are what Kubernetes' and KServe's schemas allow: the parts of both that they use, by hand.

`additionalProperties` is off everywhere, as with kubectl's strict validation: a misspelt field fails.
"""

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from tests.runtime.bundles import linear_bundle

from penstock.errors import UsageError
from penstock.flows.export_docker import export_docker
from penstock.flows.export_kubernetes import export_kubernetes, object_name


def fields(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"}
PORT_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$"}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|Ki|Mi|Gi)?$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
METADATA = fields(("name",), name=NAME, labels=TEXTS, annotations=TEXTS)
PROBE = fields(
    (),
    httpGet=fields(("port",), path=TEXT, port={"oneOf": [PORT, PORT_NAME]}),
    **dict.fromkeys(("periodSeconds", "failureThreshold", "timeoutSeconds", "initialDelaySeconds"), NUMBER),
)
CONTAINER = fields(
    ("name", "image"),
    name=NAME,
    image=TEXT,
    ports={
        "type": "array",
        "items": fields(("containerPort",), name=PORT_NAME, containerPort=PORT, protocol={"enum": ["TCP", "UDP"]}),
    },
    env={
        "type": "array",
        "items": fields(
            ("name",), name=TEXT, value=TEXT, valueFrom=fields((), secretKeyRef=fields(("key",), name=NAME, key=TEXT))
        ),
    },
    readinessProbe=PROBE,
    livenessProbe=PROBE,
    resources=fields(
        (),
        requests={"type": "object", "additionalProperties": QUANTITY},
        limits={"type": "object", "additionalProperties": QUANTITY},
    ),
    securityContext=fields(
        (),
        allowPrivilegeEscalation=FLAG,
        readOnlyRootFilesystem=FLAG,
        capabilities=fields((), drop={"type": "array", "items": TEXT}, add={"type": "array", "items": TEXT}),
    ),
    volumeMounts={"type": "array", "items": fields(("name", "mountPath"), name=TEXT, mountPath=TEXT, readOnly=FLAG)},
)
POD = {
    "containers": {"type": "array", "items": CONTAINER, "minItems": 1},
    "volumes": {"type": "array", "items": fields(("name",), name=TEXT, emptyDir=fields())},
    "automountServiceAccountToken": FLAG,
    "terminationGracePeriodSeconds": NUMBER,
    "securityContext": fields(
        (), runAsNonRoot=FLAG, runAsUser=NUMBER, seccompProfile=fields(("type",), type={"enum": ["RuntimeDefault"]})
    ),
}
DEPLOYMENT = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "apps/v1"},
    kind={"const": "Deployment"},
    metadata=METADATA,
    spec=fields(
        ("selector", "template"),
        replicas=NUMBER,
        selector=fields((), matchLabels=TEXTS),
        strategy=fields((), type=TEXT, rollingUpdate=fields((), maxUnavailable=NUMBER, maxSurge=NUMBER)),
        template=fields((), metadata=fields((), labels=TEXTS), spec=fields(("containers",), **POD)),
    ),
)
SERVICE = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "v1"},
    kind={"const": "Service"},
    metadata=METADATA,
    spec=fields(
        (),
        selector=TEXTS,
        ports={
            "type": "array",
            "items": fields(("port",), name=PORT_NAME, port=PORT, targetPort={"oneOf": [PORT, PORT_NAME]}),
        },
    ),
)
AUTOSCALER = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "autoscaling/v2"},
    kind={"const": "HorizontalPodAutoscaler"},
    metadata=METADATA,
    spec=fields(
        ("maxReplicas", "scaleTargetRef"),
        scaleTargetRef=fields(("kind", "name"), apiVersion=TEXT, kind=TEXT, name=NAME),
        minReplicas={"type": "integer", "minimum": 1},
        maxReplicas={"type": "integer", "minimum": 1},
        metrics={
            "type": "array",
            "items": fields(
                ("type",),
                type={"enum": ["Resource"]},
                resource=fields(
                    ("name", "target"),
                    name={"enum": ["cpu", "memory"]},
                    target=fields(("type",), type={"enum": ["Utilization"]}, averageUtilization=NUMBER),
                ),
            ),
        },
    ),
)
INFERENCE_SERVICE = fields(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "serving.kserve.io/v1beta1"},
    kind={"const": "InferenceService"},
    metadata=METADATA,
    spec=fields(
        ("predictor",),
        predictor=fields((), minReplicas={"type": "integer", "minimum": 0}, maxReplicas=NUMBER, **POD),
    ),
)


def test_plain_objects_and_an_inference_service_are_valid_and_belong_together(tmp_path: Path) -> None:
    made = export_kubernetes(
        linear_bundle(tmp_path / "bundle"),
        output=str(tmp_path / "out"),
        model_name="Housing_prices",
        image="registry.example.com/team/housing:1",
        replicas=(0, 8),
    )
    assert made.files == ("deployment.yaml", "inferenceservice.yaml")
    deployment, service, autoscaler = yaml.safe_load_all((tmp_path / "out" / "deployment.yaml").read_text())
    jsonschema.validate(deployment, DEPLOYMENT)
    jsonschema.validate(service, SERVICE)
    jsonschema.validate(autoscaler, AUTOSCALER)
    assert deployment["metadata"]["name"] == "housing-prices"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert service["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (autoscaler["spec"]["minReplicas"], autoscaler["spec"]["maxReplicas"]) == (1, 8)

    kserve = yaml.safe_load((tmp_path / "out" / "inferenceservice.yaml").read_text())
    jsonschema.validate(kserve, INFERENCE_SERVICE)
    predictor = kserve["spec"]["predictor"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (0, 8)
    assert predictor["containers"][0]["image"] == "registry.example.com/team/housing:1"


def test_the_objects_run_the_image_that_docker_builds(tmp_path: Path) -> None:
    bundle = linear_bundle(tmp_path / "bundle")
    docker = export_docker(bundle, output=str(tmp_path / "docker"), model_name="linear")
    export_kubernetes(bundle, output=str(tmp_path / "out"), model_name="linear")
    text = (tmp_path / "docker" / "Dockerfile").read_text()
    deployment = next(yaml.safe_load_all((tmp_path / "out" / "deployment.yaml").read_text()))
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert docker.next_command is not None
    assert f"-t {container['image'].removesuffix(':latest')} " in docker.next_command
    assert f"EXPOSE {container['ports'][0]['containerPort']}" in text
    assert f"USER {pod['securityContext']['runAsUser']}" in text
    assert container["readinessProbe"]["httpGet"]["path"] in text
    assert f"{container['volumeMounts'][0]['mountPath']}/" in text


@pytest.mark.parametrize(("image", "message"), [("; rm -rf /", "--image"), ("a\nb", "--image")])
def test_an_image_that_is_none_is_refused(tmp_path: Path, image: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        export_kubernetes(
            linear_bundle(tmp_path / "bundle"), output=str(tmp_path / "out"), model_name="linear", image=image
        )


def test_names_become_kubernetes_names() -> None:
    assert object_name("Housing_Prices") == "housing-prices"
    assert len(object_name("a" * 200)) <= 52
    with pytest.raises(UsageError, match="--name"):
        object_name("1st")
