"""What a Ray cluster is told of a job, and the words in which its driver answers."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from penstock.errors import PreconditionError
from penstock.jobs.training_input import TrainingInput

__all__ = [
    "ANSWER_PREFIX",
    "EXPERIMENT_NAME",
    "FIXED_CLUSTER",
    "PLAN_NAME",
    "Answer",
    "Plan",
    "PlannedReplica",
    "PlannedTrial",
    "ReplicaRequest",
    "amounts",
    "answer_in",
    "check_fixed",
    "wanted_by",
]

PLAN_NAME = "penstock-job.json"
EXPERIMENT_NAME = "experiment.yaml"
"""An experiment that goes along; every replica finds it in its own folder."""

FIXED_CLUSTER = "penstock_fixed"
"""Resource by which a cluster says that no machine will join it: what it lacks is refused and not waited for."""

ANSWER_PREFIX = "@penstock "
"""Marks the driver's lines that hold an Answer; whatever else it prints is Ray's."""


class PlannedReplica(msgspec.Struct, frozen=True, kw_only=True):
    """task_name: as in the log. cpus, gpus: what Ray is to reserve."""

    role: str
    index: int
    machine_type: str
    cpus: int
    gpus: int
    tpus: int = 0

    @property
    def resources(self) -> dict[str, int]:
        """What Ray is to set aside for it, in Ray's names."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "TPU": self.tpus}
        return {name: amount for name, amount in asked.items() if amount}

    @property
    def task_name(self) -> str:
        return f"{self.role}-replica-{self.index}"


class PlannedTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial of a tuning is told besides. number: as text. tag: of the metric. folders: of its summaries."""

    number: str
    tag: str
    folders: list[str] = []


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The job. packages: archives beside the plan, and URIs that the nodes fetch themselves.

    trial: where the job is one trial of a tuning; its parameters are among the arguments.
    """

    job_id: str
    training: TrainingInput
    arguments: list[str]
    replicas: list[PlannedReplica]
    packages: list[str]
    marker: str
    max_restarts: int
    grace_s: float
    penstock_version: str
    trial: PlannedTrial | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A log entry (task_name, message, severity, time), or news: the job runs, what it measured, or why it failed.

    reports: (step, value) of a trial's metric; values as text, for one that is not a number is none in JSON.
    """

    task_name: str = ""
    message: str = ""
    severity: str = "INFO"
    time: str = ""
    is_running: bool = False
    failure: str = ""
    exit_status: int | None = None
    reports: list[tuple[int, str]] = []


class ReplicaRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's `penstock.jobs.replica` is told on its standard input."""

    task_name: str
    module: str
    arguments: list[str]
    variables: dict[str, str]
    packages: list[str]
    marker: str
    folder: str
    home: str
    grace_s: float
    trial: PlannedTrial | None = None


def wanted_by(replicas: Sequence[PlannedReplica]) -> dict[str, int]:
    """What they ask for together, in Ray's names."""
    wanted: Counter[str] = Counter()
    for one in replicas:
        wanted.update(one.resources)
    return dict(wanted)


def check_fixed(replicas: Sequence[PlannedReplica], there: Mapping[str, float]) -> None:
    """Raises PreconditionError for what a cluster without an autoscaler will never have. there: what it has now."""
    lacking = {name: amount for name, amount in wanted_by(replicas).items() if there.get(name, 0) < amount}
    has = {name: there.get(name, 0) for name in lacking}
    if FIXED_CLUSTER in there and lacking:
        raise PreconditionError(
            f"the job asks for {amounts(lacking)} and this cluster has {amounts(has)}; "
            "use a smaller scale tier, or a cluster whose autoscaler may start such machines"
        )


def answer_in(line: str) -> Answer | None:
    """The Answer that a line of the driver's output holds; maybe behind a progress bar, which ends no line."""
    _, prefix, text = f"\r{line}".partition(f"\r{ANSWER_PREFIX}")
    return msgspec.json.decode(text, type=Answer) if prefix else None


def amounts(resources: Mapping[str, float]) -> str:
    """In words, such as "36 cores and 1 GPU"."""
    words = {"CPU": "core", "GPU": "GPU", "TPU": "TPU chip"}
    return " and ".join(f"{amount:g} {words[name]}{'' if amount == 1 else 's'}" for name, amount in resources.items())
