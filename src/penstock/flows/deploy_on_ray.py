"""A registered model becomes an application of Ray Serve, placed and scaled by the cluster."""

import time
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.errors import PreconditionError, ServiceError
from penstock.jobs.ray_client import RayServe
from penstock.registry.records import Requested
from penstock.registry.registry import open_registry
from penstock.serving.exposure import require_token
from penstock.serving.ray_core import ReplicaSettings
from penstock.serving.tokens import Grant
from penstock.settings import Settings

__all__ = ["deploy_on_ray", "replicas_of_version"]

_WITHIN_S = 180.0
_ONGOING = 256
_MOST_REPLICAS = 10


def deploy_on_ray(
    model: str,
    *,
    settings: Settings,
    cluster: str,
    grants: tuple[Grant, ...],
    replicas: tuple[int, int] | None = None,
    port: int = 8501,
    say: Callable[[str], None],
) -> None:
    """Deploys the model's versions; returns once they answer.

    grants: tokens of which callers must send one: Ray's replicas and its HAProxy listen on all interfaces.
    replicas: fewest and most; None for those of the default version's scaling. Other applications stay as they are.
    Raises NotFoundError for no such model, UsageError without a token, ServiceError when it does not start.
    """
    require_token("0.0.0.0", bool(grants))  # noqa: S104 - where Ray listens
    with open_registry(settings) as registry:
        found = registry.get_model(model)
        if found.default_version is None:
            raise PreconditionError(f"model {model!r} has no versions yet; create one: penstock versions create")
        low, high = replicas or replicas_of_version(found.default_version.requested)
    told = ReplicaSettings(home=str(settings.home), project=settings.project, model=model, grants=grants)
    name = f"penstock-{settings.project}-{model}"
    deployment: dict[str, Any] = {"name": "penstock", "max_ongoing_requests": _ONGOING}
    if low == high:
        deployment["num_replicas"] = low
    else:
        deployment["autoscaling_config"] = {
            "min_replicas": low,
            "max_replicas": high,
            "target_ongoing_requests": _ONGOING // 4,
        }
    application = {
        "name": name,
        "route_prefix": "/",
        "import_path": "penstock.serving.ray_replica:build",
        "args": msgspec.to_builtins(told),
        "deployments": [deployment],
        # A new value each time: Ray would take the same request again, after a failure, as one already answered.
        "runtime_env": {"env_vars": {"PENSTOCK_DEPLOYED": str(time.time_ns())}},
    }
    ray = RayServe(cluster, token=settings.ray_token)
    before = ray.application(name).get("last_deployed_time_s")
    ray.put_application(application, port=port)
    say(f"deploying {model} on {cluster} with {low} to {high} replicas")
    until = time.monotonic() + _WITHIN_S
    while True:
        state = ray.application(name)
        is_new = state.get("last_deployed_time_s") != before
        if is_new and state.get("status") == "RUNNING":
            return
        if (is_new and state.get("status") == "DEPLOY_FAILED") or time.monotonic() > until:
            raise ServiceError(f"Ray Serve did not start {name}: {_reason(state)}")
        time.sleep(0.5)


def _reason(state: dict[str, Any]) -> str:
    """The last line of what went wrong in a replica, which Ray tells with its whole traceback."""
    told = [str(one.get("message") or "") for one in state.get("deployments", {}).values()]
    lines = [line for text in [str(state.get("message") or ""), *told] for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"its status is {state.get('status', 'unknown')}"


def replicas_of_version(requested: Requested) -> tuple[int, int]:
    """Fewest and most replicas out of a version's `autoScaling` or `manualScaling`; one without either."""
    if requested.manual_scaling is not None and requested.manual_scaling.nodes:
        return requested.manual_scaling.nodes, requested.manual_scaling.nodes
    if requested.auto_scaling is not None:
        low = requested.auto_scaling.min_nodes or 0
        return low, max(getattr(requested.auto_scaling, "max_nodes", 0) or _MOST_REPLICAS, low, 1)
    return 1, 1
