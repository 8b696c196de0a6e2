"""Machine types as named shapes, and scale tiers as the replicas that they ask for."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from penstock.errors import ConfigError, PreconditionError, UsageError, did_you_mean
from penstock.jobs.training_input import AcceleratorConfig, ReplicaConfig, TrainingInput

__all__ = [
    "BUILT_IN",
    "Machine",
    "Replica",
    "check_here",
    "cores_here",
    "gpus_here",
    "load_machines",
    "machine_named",
    "replicas_of",
]

_MOST_HERE = 200
"""Replicas on one machine: PREMIUM_1 has 31; a count with a digit too many would bring the machine down."""

Role = Literal["master", "worker", "ps", "evaluator"]


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a replica asks for. units: its price in ML units, the 2017 service's measure of cost."""

    cpus: int
    memory_gb: float
    gpus: int = 0
    tpus: int = 0
    units: float = 1.0


@dataclass(frozen=True)
class Replica:
    """One process of a job. task_name: what its logs are kept under."""

    role: Role
    index: int
    machine_type: str
    machine: Machine

    @property
    def task_name(self) -> str:
        return f"{self.role}-replica-{self.index}"


# Shapes and units as ML Engine documented them in 2017 (and, for the V100 types, in 2018).
BUILT_IN: Mapping[str, Machine] = {
    "standard": Machine(cpus=4, memory_gb=15, units=1),
    "large_model": Machine(cpus=8, memory_gb=52, units=3),
    "complex_model_s": Machine(cpus=8, memory_gb=7.2, units=2),
    "complex_model_m": Machine(cpus=16, memory_gb=14.4, units=3),
    "complex_model_l": Machine(cpus=32, memory_gb=28.8, units=6),
    "standard_gpu": Machine(cpus=8, memory_gb=30, gpus=1, units=3),
    "complex_model_m_gpu": Machine(cpus=16, memory_gb=60, gpus=4, units=12),
    "complex_model_l_gpu": Machine(cpus=32, memory_gb=120, gpus=8, units=24),
    "standard_p100": Machine(cpus=8, memory_gb=30, gpus=1, units=4.5),
    "complex_model_m_p100": Machine(cpus=16, memory_gb=60, gpus=4, units=18),
    "standard_v100": Machine(cpus=8, memory_gb=30, gpus=1, units=6),
    "large_model_v100": Machine(cpus=8, memory_gb=52, gpus=1, units=6.5),
    "complex_model_m_v100": Machine(cpus=16, memory_gb=60, gpus=4, units=24),
    "complex_model_l_v100": Machine(cpus=32, memory_gb=120, gpus=8, units=48),
    "cloud_tpu": Machine(cpus=4, memory_gb=15, tpus=8, units=10),
}

_N1 = re.compile(r"n1-(standard|highmem|highcpu)-(1|2|4|8|16|32|64|96)")
_N1_GB_PER_CPU = {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}

# Who runs on what in the tiers of fixed size; the counts are those of reference pages of the time.
_TIERS: Mapping[str, Sequence[tuple[Role, str, int]]] = {
    "BASIC": [("master", "standard", 1)],
    "STANDARD_1": [("master", "complex_model_s", 1), ("worker", "standard", 4), ("ps", "standard", 3)],
    "PREMIUM_1": [("master", "complex_model_m", 1), ("worker", "complex_model_m", 19), ("ps", "large_model", 11)],
    "BASIC_GPU": [("master", "standard_gpu", 1)],
    "BASIC_TPU": [("master", "cloud_tpu", 1)],
}


def load_machines(path: Path) -> dict[str, Machine]:
    """The built-in machine types, with those of a YAML file over them: name to cpus, memory_gb, gpus, tpus, units.

    A file that is not there adds nothing. Raises ConfigError.
    """
    machines = dict(BUILT_IN)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return machines
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"machine types {str(path)!r} cannot be read: {error}") from None
    import yaml

    try:
        own = msgspec.convert(yaml.safe_load(text) or {}, dict[str, Machine])
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}; expected NAME: {{cpus: 8, memory_gb: 32, gpus: 0}}") from None
    return {**machines, **own}


def machine_named(name: str, machines: Mapping[str, Machine]) -> Machine:
    """The shape of a machine type. Raises UsageError."""
    if name in machines:
        return machines[name]
    if match := _N1.fullmatch(name):
        cpus = int(match[2])
        return Machine(cpus=cpus, memory_gb=cpus * _N1_GB_PER_CPU[match[1]], units=cpus / 4)
    raise UsageError(
        f"there is no machine type {name!r}; there are {', '.join(machines)} and n1-standard-4 and its like"
        f"{did_you_mean(name, machines)}; add your own to machines.yaml in PENSTOCK_HOME"
    )


def replicas_of(training: TrainingInput, machines: Mapping[str, Machine]) -> tuple[Replica, ...]:
    """Every process that the job asks for: the master, then workers, parameter servers and evaluators.

    Raises UsageError for an unknown machine type.
    """
    asked: list[tuple[Role, str, int, ReplicaConfig | None]]
    if training.scale_tier != "CUSTOM":
        asked = [(role, name, count, None) for role, name, count in _TIERS[training.scale_tier]]
    else:
        workers, servers = training.worker_count, training.parameter_server_count
        asked = [
            ("master", training.master_type, 1, training.master_config),
            ("worker", training.worker_type, workers, training.worker_config),
            ("ps", training.parameter_server_type, servers, training.parameter_server_config),
            ("evaluator", training.evaluator_type, training.evaluator_count, training.evaluator_config),
        ]
    replicas: list[Replica] = []
    for role, name, count, config in asked:
        if not count:
            continue
        machine = machine_named(name, machines)
        if config is not None and config.accelerator_config is not None:
            machine = _with_accelerators(machine, config.accelerator_config)
        replicas += [Replica(role, index, name, machine) for index in range(count)]
    return tuple(replicas)


def check_here(replicas: Sequence[Replica], *, cores: int, gpus: int) -> str | None:
    """What to tell the user about running all of them on this machine; None when it is as large as asked.

    Raises PreconditionError for a GPU or a TPU that is not there, and for more replicas than one machine can run.
    """
    wanted = sum(replica.machine.gpus for replica in replicas)
    if wanted > gpus:
        types = Counter(replica.machine_type for replica in replicas if replica.machine.gpus)
        machines = ", ".join(f"{count} x {name}" for name, count in types.items())
        there = f"this machine has {gpus}" if gpus else "this machine has none"
        raise PreconditionError(
            f"the job asks for {wanted} GPU{'s' if wanted > 1 else ''} ({machines}) and {there}; use a scale tier "
            "without GPUs such as BASIC or STANDARD_1, or a cluster that has them: --cluster ADDRESS"
        )
    if any(replica.machine.tpus for replica in replicas):
        raise PreconditionError(
            "the job asks for a TPU and this machine has none; use a scale tier without one such as BASIC, or a "
            "cluster that has it: --cluster ADDRESS"
        )
    if len(replicas) > _MOST_HERE:
        raise PreconditionError(
            f"the job asks for {len(replicas):,} replicas ({_roles(replicas)}) and one machine runs {_MOST_HERE} at "
            "most; lower workerCount and the other counts, or name a cluster: --cluster ADDRESS"
        )
    asked = sum(replica.machine.cpus for replica in replicas)
    if len(replicas) == 1 or asked <= cores:
        return None
    return (
        f"{len(replicas)} replicas ({_roles(replicas)}) ask for {asked} cores; they run as {len(replicas)} processes "
        f"that share the {cores} core{'s' if cores > 1 else ''} of this machine"
    )


def cores_here() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here() -> int:
    """How many NVIDIA GPUs this machine has."""
    folder = Path("/proc/driver/nvidia/gpus")
    if folder.is_dir():
        return sum(1 for _ in folder.iterdir())
    # Containers may hide that folder and still show the devices.
    return sum(1 for device in Path("/dev").glob("nvidia[0-9]*") if device.name[6:].isdecimal())


def _with_accelerators(machine: Machine, accelerator: AcceleratorConfig) -> Machine:
    if accelerator.type.upper().startswith("TPU"):
        return msgspec.structs.replace(machine, tpus=accelerator.count)
    units = machine.units + 2 * max(0, accelerator.count - machine.gpus)
    return msgspec.structs.replace(machine, gpus=accelerator.count, units=units)


def _roles(replicas: Sequence[Replica]) -> str:
    counts = Counter(replica.role for replica in replicas)
    return ", ".join(f"{count} {role}" for role, count in counts.items())
