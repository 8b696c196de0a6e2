"""A Ray cluster on this machine, to try what a job does on one: on loopback, behind a token, gone at Ctrl-C."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from penstock.errors import MissingExtraError, PenstockError, ServiceError
from penstock.jobs.local_runner import free_addresses
from penstock.jobs.processes import become_subreaper, descendants, end_all
from penstock.jobs.ray_client import RayJobs
from penstock.jobs.ray_plan import FIXED_CLUSTER
from penstock.settings import Settings, ray_token_file

__all__ = ["FAST_SERVING", "run_local_cluster"]

_START_S = 90.0
_PRETENDED_CPUS = 64
_HOST = "127.0.0.1"

FAST_SERVING = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
}
"""Settings with which Ray Serve is fastest: 275 requests a second of one replica without, 5,900 with them."""


def run_local_cluster(
    settings: Settings,
    *,
    port: int,
    ready: Callable[[str], None],
    cpus: int | None = None,
    elastic: int = 0,
    serves: bool = False,
) -> None:
    """Starts the cluster, calls `ready` with its address, and returns once it was stopped.

    elastic: instead of one machine, up to so many pretended ones of four cores, each started when a job needs it and
        ended when idle, by Ray's own autoscaler.
    serves: set Ray Serve up as it is fastest: HAProxy in front, requests answered on the replicas' own loops. Both then
        listen on all interfaces.
    cpus: cores that Ray is told of; by default 64, so that every scale tier finds its machines, on shared cores.
    Raises MissingExtraError, or ServiceError when it does not start.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("cluster", "a local Ray cluster")
    token_file = ray_token_file(settings.home)
    token = _token(token_file)
    become_subreaper()
    # Ray makes a token file in the user's home folder unless it is told how to authenticate.
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file)}
    if serves:
        environment |= FAST_SERVING
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--node-ip-address={_HOST}", f"--dashboard-host={_HOST}", f"--dashboard-port={port}"]
    with ExitStack() as reserved:
        agent, client = (one.rpartition(":")[2] for one in free_addresses(2, reserved))
    # At Ray's own numbers a second cluster on the machine gets no agent, and without one it takes no job.
    command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
    folder = None
    if elastic:
        config = settings.home / "ray" / "autoscaling.json"
        config.write_text(json.dumps(_autoscaling(elastic)))
        # The pretended machines look for their head at this port and no other.
        command += [f"--autoscaling-config={config}", "--num-cpus=0", "--port=6379"]
        environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    else:
        # In Ray's own folder a job looks for the cluster that started last on the machine, whichever took it. The name
        # is short because sockets lie in it.
        folder = tempfile.mkdtemp(prefix="penstock-ray-", dir="/tmp")
        command += [
            f"--num-cpus={cpus or _PRETENDED_CPUS}",
            "--port=0",
            f"--temp-dir={folder}",
            f"--resources={json.dumps({FIXED_CLUSTER: 1})}",
        ]
    usual = signal.signal(signal.SIGTERM, _interrupt)
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        address = f"http://{_HOST}:{port}"
        _wait_for(RayJobs(address, token=token), process)
        ready(address)
        process.wait()
        raise ServiceError(f"the Ray cluster ended by itself with status {process.returncode}")
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, usual)

        def left() -> set[int]:
            process.poll()
            return descendants(awaited={process.pid})

        end_all(left, grace_s=10.0)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _autoscaling(machines: int) -> dict[str, Any]:
    """Ray's launcher configuration, in the form that its fake provider takes."""
    provider = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    return {
        "cluster_name": "penstock-elastic",
        "max_workers": machines,
        "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "external",
            "module": provider,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "machine": {"resources": {"CPU": 4}, "node_config": {}, "min_workers": 0, "max_workers": machines},
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 100.0,
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


def _token(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text().strip()


def _wait_for(server: RayJobs, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            server.version()
            return
        except PenstockError as error:
            if process.poll() is not None:
                raise ServiceError(f"Ray did not start: it ended with status {process.returncode}") from None
            if time.monotonic() > until:
                raise ServiceError(f"Ray did not start within {_START_S:.0f} s: {error}") from None
        time.sleep(0.2)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
