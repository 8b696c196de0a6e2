"""Writes what Kubernetes needs to run the image of `--to docker`: plain objects, and an InferenceService for KServe."""

import re
from typing import Any

from penstock.bundle.folder import find_bundle
from penstock.errors import UsageError
from penstock.export.exported import Exported
from penstock.flows.export_docker import IMAGE_PORT, USER_ID
from penstock.registry.names import check_name
from penstock.runtime.model import load_model
from penstock.store import blobs
from penstock.store.staging import StagedFolder

__all__ = ["export_kubernetes", "inference_service", "object_name", "plain_objects"]

_PLAIN, _KSERVE = "deployment.yaml", "inferenceservice.yaml"
_BUSY_PERCENT = 70
_IMAGE = re.compile(r"[a-z0-9]([a-z0-9._/:@-]*[a-z0-9])?", re.IGNORECASE)


def export_kubernetes(
    bundle_uri: str, *, output: str, model_name: str, image: str | None = None, replicas: tuple[int, int] = (1, 4)
) -> Exported:
    """Writes the folder `output`: a Deployment with its Service and HorizontalPodAutoscaler, and an InferenceService.

    image: where the cluster finds the image; default the name that `--to docker` proposes. replicas: fewest and most.
    Raises as `load_model` does, UsageError for an image or a name that Kubernetes does not take.
    """
    import yaml

    check_name(model_name, of="model")
    load_model(find_bundle(bundle_uri))
    name = object_name(model_name)
    image = image or f"{model_name.lower()}:latest"
    if not _IMAGE.fullmatch(image):
        raise UsageError(f"--image is {image!r}; expected a reference such as registry.example.com/team/{name}:1")
    low, high = replicas
    place = blobs.absolute(output)
    with StagedFolder(place, last=_PLAIN) as staged:
        objects = plain_objects(name, image, replicas=(max(low, 1), high))
        (staged.path / _PLAIN).write_text(yaml.safe_dump_all(objects, sort_keys=False), encoding="utf-8")
        service = inference_service(name, image, replicas=replicas)
        (staged.path / _KSERVE).write_text(yaml.safe_dump(service, sort_keys=False), encoding="utf-8")
        files = tuple(blobs.list_files(str(staged.path)))
        staged.publish()
    return Exported(
        target="kubernetes",
        place=place,
        files=files,
        notes=(
            f"the image {image} is what penstock export --to docker builds; push it to where the cluster pulls from",
            f"callers' token: kubectl create secret generic {name}-token --from-literal=token=TOKEN",
            f"with KServe: kubectl apply -f {blobs.join(place, _KSERVE)}",
        ),
        next_command=f"kubectl apply -f {blobs.join(place, _PLAIN)}",
    )


def object_name(model_name: str) -> str:
    """The model's name as Kubernetes takes it (RFC 1123). Raises UsageError where nothing of it is left."""
    name = re.sub(r"[^a-z0-9]+", "-", model_name.lower()).strip("-")[:52].rstrip("-")
    if not name or not name[0].isalpha():
        raise UsageError(
            f"{model_name!r} is no name for Kubernetes' objects; give --name one that starts with a letter"
        )
    return name


def plain_objects(name: str, image: str, *, replicas: tuple[int, int]) -> list[dict[str, Any]]:
    """A Deployment, its Service and its HorizontalPodAutoscaler."""
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "penstock"}
    selector = {"app.kubernetes.io/name": name}
    low, high = replicas
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": selector},
            # A new version is ready before an old one stops, so that no request fails for it.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": labels}, "spec": _pod(name, image, container="server", port="http")},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    }
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": low,
            "maxReplicas": max(low, high),
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": _BUSY_PERCENT},
                    },
                }
            ],
        },
    }
    return [deployment, service, autoscaler]


def inference_service(name: str, image: str, *, replicas: tuple[int, int]) -> dict[str, Any]:
    """KServe's InferenceService with the image as its predictor. It scales to none where the fewest replicas are 0."""
    low, high = replicas
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "penstock"}},
        "spec": {
            "predictor": {
                "minReplicas": low,
                "maxReplicas": max(low, high, 1),
                # KServe knows its own container by this name, and HTTP/1.1 by that of the port.
                **_pod(name, image, container="kserve-container", port="http1"),
            }
        },
    }


def _pod(name: str, image: str, *, container: str, port: str) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/healthz", "port": IMAGE_PORT}, "periodSeconds": 5}
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER_ID, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 45,
        "containers": [
            {
                "name": container,
                "image": image,
                "ports": [{"name": port, "containerPort": IMAGE_PORT, "protocol": "TCP"}],
                "env": [
                    {
                        "name": "PENSTOCK_SERVER_TOKEN",
                        "valueFrom": {"secretKeyRef": {"name": f"{name}-token", "key": "token"}},
                    }
                ],
                "readinessProbe": probe,
                "livenessProbe": {**probe, "periodSeconds": 15, "failureThreshold": 4},
                "resources": {"requests": {"cpu": "1", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
