"""The job server of a Ray cluster over its REST API, so that neither a supervisor nor a laptop needs Ray itself.

See https://docs.ray.io/en/latest/cluster/running-applications/job-submission/rest.html.
"""

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Literal

from penstock.errors import ServiceError
from penstock.jobs.ray_address import check_address

__all__ = ["RayJob", "RayJobs", "RayServe"]

_TIMEOUT_S = 30.0

RayStatus = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]


@dataclass(frozen=True)
class RayJob:
    """What the server says of a job. message: its own words. exit_code: of its driver, None where that is not known."""

    status: RayStatus
    message: str
    exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")


class RayJobs:
    """Every method raises ServiceError, with `status` None when the server cannot be reached."""

    def __init__(self, address: str, *, token: str | None) -> None:
        self._url = check_address(address)
        self._token = token

    def upload(self, name: str, archive: bytes) -> str:
        """Puts a zip beside the cluster's jobs; returns the URI to use as `working_dir`."""
        self._call("PUT", f"/api/packages/gcs/{name}", body=archive)
        return f"gcs://{name}"

    def submit(
        self,
        *,
        submission_id: str,
        entrypoint: str,
        working_dir: str,
        variables: dict[str, str],
        metadata: dict[str, str],
    ) -> None:
        body = {
            "submission_id": submission_id,
            "entrypoint": entrypoint,
            "runtime_env": {"working_dir": working_dir, "env_vars": variables},
            "metadata": metadata,
        }
        self._call("POST", "/api/jobs/", body=json.dumps(body).encode(), kind="application/json")

    def get(self, submission_id: str) -> RayJob:
        found = json.loads(self._call("GET", f"/api/jobs/{submission_id}"))
        return RayJob(found["status"], str(found.get("message") or ""), found.get("driver_exit_code"))

    def log(self, submission_id: str) -> str:
        """Everything that the job's driver has printed."""
        found: Any = json.loads(self._call("GET", f"/api/jobs/{submission_id}/logs"))
        return str(found.get("logs") or "")

    def stop(self, submission_id: str) -> None:
        """Asks for the job's end, which comes later."""
        self._call("POST", f"/api/jobs/{submission_id}/stop")

    def version(self) -> str:
        return str(json.loads(self._call("GET", "/api/version"))["ray_version"])

    def _call(self, method: str, path: str, *, body: bytes | None = None, kind: str = "application/zip") -> bytes:
        headers = {"Content-Type": kind} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(f"{self._url}{path}", data=body, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - http(s), checked
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            reason = error.read().decode("utf-8", "replace").strip().splitlines()
            error.close()
            hint = "; set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH" if error.code in (401, 403) else ""
            raise ServiceError(
                f"the Ray cluster at {self._url} answered {error.code} to {method} {path}: "
                f"{reason[-1] if reason else error.reason}{hint}",
                status=error.code,
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason_text = getattr(error, "reason", None) or error
            raise ServiceError(f"the Ray cluster at {self._url} cannot be reached: {reason_text}") from None


class RayServe(RayJobs):
    """The applications of Ray Serve on a cluster, through the same server."""

    def put_application(self, application: dict[str, Any], *, port: int) -> None:
        """Deploys an application beside those that are there. port: of Ray Serve's proxies, where they first start."""
        found = self._applications()
        others = [
            one["deployed_app_config"]
            for name, one in found.get("applications", {}).items()
            if name != application["name"] and one.get("deployed_app_config")
        ]
        body = {
            "proxy_location": "EveryNode",
            "http_options": {"host": "0.0.0.0", "port": port},  # noqa: S104 - replicas want a token
            "applications": [*others, application],
        }
        self._call("PUT", "/api/serve/applications/", body=json.dumps(body).encode(), kind="application/json")

    def application(self, name: str) -> dict[str, Any]:
        """What the cluster says of an application; nothing where there is none."""
        found = self._applications().get("applications", {}).get(name, {})
        return dict(found)

    def _applications(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._call("GET", "/api/serve/applications/"))
        return found
