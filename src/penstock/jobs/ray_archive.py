"""A plan and everything that it needs, as the zip that a Ray cluster unpacks beside the job's driver."""

import hashlib
import io
import shlex
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from penstock.errors import TrainingError
from penstock.jobs.machines import Replica
from penstock.jobs.ray_address import check_address
from penstock.jobs.ray_client import RayJobs
from penstock.jobs.ray_plan import EXPERIMENT_NAME, PLAN_NAME, Plan, PlannedReplica
from penstock.store import blobs

__all__ = ["driver_command", "planned_replicas", "ship"]

_LARGEST_BYTES = 100 * 1024 * 1024


def ship(ray: RayJobs, plan: Plan, *, experiment: str = "") -> str:
    """Uploads the plan; returns the URI to use as the job's working_dir. The same plan makes the same bytes.

    plan: its packages are URIs; those of this machine go along. experiment: a file that goes along.
    Raises TrainingError for a package that is not there or is too large, and ServiceError.
    """
    contents: dict[str, bytes] = {}
    packages = []
    for number, uri in enumerate(plan.packages):
        if not blobs.is_local(uri):
            packages.append(uri)
            continue
        path = blobs.local_path(uri)
        if not path.is_file():
            raise TrainingError(f"there is no package {uri}")
        inner = f"packages/{number}/{path.name}"
        contents[inner] = path.read_bytes()
        packages.append(inner)
    if experiment:
        contents[EXPERIMENT_NAME] = Path(experiment).read_bytes()
    contents[PLAN_NAME] = msgspec.json.encode(msgspec.structs.replace(plan, packages=packages))
    if sum(map(len, contents.values())) > _LARGEST_BYTES:
        raise TrainingError("the packages hold more than the 100 MB that Ray ships; name a --staging-bucket instead")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, data in contents.items():
            archive.writestr(zipfile.ZipInfo(inner, (1980, 1, 1, 0, 0, 0)), data)
    # The cluster keeps archives by name: the digest makes it this one's.
    return ray.upload(f"_ray_pkg_{hashlib.sha256(buffer.getvalue()).hexdigest()[:32]}.zip", buffer.getvalue())


def planned_replicas(replicas: Sequence[Replica]) -> list[PlannedReplica]:
    return [
        PlannedReplica(
            role=one.role,
            index=one.index,
            machine_type=one.machine_type,
            cpus=one.machine.cpus,
            gpus=one.machine.gpus,
            tpus=one.machine.tpus,
        )
        for one in replicas
    ]


def driver_command(cluster: str) -> str:
    """The shell command that runs a job's driver over there, with the interpreter that has Penstock.

    Behind loopback is a cluster of this machine, or a tunnel's other end, where this process's interpreter is not.
    """
    driver = "-m penstock.jobs.ray_driver"
    if urlsplit(check_address(cluster)).hostname not in ("127.0.0.1", "localhost", "::1"):
        return f"python {driver}"
    here = shlex.quote(sys.executable)
    return f"if {here} -c 'import penstock' 2>/dev/null; then exec {here} {driver}; else exec python {driver}; fi"
