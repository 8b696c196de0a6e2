"""What a trainer is told through its environment: TF_CONFIG, CLOUD_ML_*, and where JAX and torch meet.

The layout of TF_CONFIG and of CLOUD_ML_JOB is ML Engine's; see https://cloud.google.com/ai-platform/training/docs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.jobs.machines import Replica
from penstock.jobs.training_input import TrainingInput

__all__ = ["trainer_arguments", "trainer_environment"]

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def trainer_arguments(training: TrainingInput, *, job_dir: str) -> list[str]:
    """The command line of the trainer's module: its own arguments, then --job-dir."""
    return [*training.args, *(["--job-dir", job_dir] if job_dir else [])]


def trainer_environment(
    replica: Replica,
    *,
    addresses: Mapping[str, str],
    coordinator: str,
    training: TrainingInput,
    job_id: str,
    trial: str | None = None,
) -> dict[str, str]:
    """The variables of one replica.

    addresses: task name to `host:port`, of every replica. coordinator: `host:port` that rank 0 may listen on.
    trial: number of the tuning trial, as text; variables that announce tuning are left unset without one.
    """
    chief = "chief" if training.use_chief_in_tf_config else "master"
    cluster: dict[str, list[str]] = {}
    for task_name, address in addresses.items():
        role = task_name.partition("-")[0]
        if role != "evaluator":
            cluster.setdefault(chief if role == "master" else role, []).append(address)
    job = {_snake(name): value for name, value in msgspec.to_builtins(training).items()}
    task: dict[str, Any] = {"type": chief if replica.role == "master" else replica.role, "index": replica.index}
    if trial is not None:
        task["trial"] = trial
    config = {"cluster": cluster, "task": task, "job": job, "environment": "cloud"}
    variables = {
        "TF_CONFIG": json.dumps(config),
        "CLOUD_ML_JOB": json.dumps(job),
        "CLOUD_ML_JOB_ID": job_id,
        "PYTHONUNBUFFERED": "1",
    }
    if trial is not None:
        variables["CLOUD_ML_TRIAL_ID"] = trial
    return {**variables, **_coordination(replica, list(addresses), coordinator)}


def _coordination(replica: Replica, task_names: Sequence[str], coordinator: str) -> dict[str, str]:
    """Rank and meeting point, for a ring of more than one: a lone process that finds them would wait for others."""
    ring = [name for name in task_names if name.partition("-")[0] in ("master", "worker")]
    if len(ring) < 2 or replica.task_name not in ring:
        return {}
    host, _, port = coordinator.rpartition(":")
    rank = str(ring.index(replica.task_name))
    return {
        "JAX_COORDINATOR_ADDRESS": coordinator,
        "JAX_NUM_PROCESSES": str(len(ring)),
        "JAX_PROCESS_ID": rank,
        "MASTER_ADDR": host,
        "MASTER_PORT": port,
        "WORLD_SIZE": str(len(ring)),
        "RANK": rank,
        # A replica is a machine of its own: it sees only its own GPUs.
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
    }


def _snake(name: str) -> str:
    return _CAPITAL.sub("_", name).lower()
