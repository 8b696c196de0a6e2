"""What a training job is asked to do: ML Engine's TrainingInput, from a config file, flags or an HTTP body."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

from penstock.errors import ConfigError, UsageError, did_you_mean

__all__ = [
    "SCALE_TIERS",
    "AcceleratorConfig",
    "ReplicaConfig",
    "ScaleTier",
    "Scheduling",
    "TrainingInput",
    "check_job_id",
    "parse_job",
    "parse_scale_tier",
    "seconds_of",
]

ScaleTier = Literal["BASIC", "STANDARD_1", "PREMIUM_1", "BASIC_GPU", "BASIC_TPU", "CUSTOM"]
SCALE_TIERS: tuple[str, ...] = get_args(ScaleTier)

_JOB_ID = re.compile(r"[A-Za-z]\w{0,127}", re.ASCII)
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_DURATION = re.compile(r"\d+(\.\d{1,9})?s")
_MAX_PACKAGES = 100
_MAX_COUNT = 10_000


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class AcceleratorConfig(_Message, frozen=True, kw_only=True, omit_defaults=True):
    """count: GPUs on each machine. type: kept; every GPU that is there serves."""

    count: int = 0
    type: str = ""


class ReplicaConfig(_Message, frozen=True, kw_only=True, omit_defaults=True):
    """What ML Engine could vary between roles. Only the accelerators mean something without containers."""

    accelerator_config: AcceleratorConfig | None = None
    image_uri: str = ""
    container_command: list[str] = []
    container_args: list[str] = []
    disk_config: dict[str, Any] = {}
    tpu_tf_version: str = ""


class Scheduling(_Message, frozen=True, kw_only=True, omit_defaults=True):
    """max_running_time, max_wait_time: seconds with an `s`, such as "7200s"; the second only while queued.

    memory_limit_mb, max_restarts: Penstock's own: bound on the memory of all the job's processes together, and how
    often the job is started again from its last checkpoint after it lost a process.
    """

    max_running_time: str = "604800s"
    max_wait_time: str = ""
    priority: int = 0
    memory_limit_mb: int = 0
    max_restarts: int = 3


class TrainingInput(_Message, frozen=True, kw_only=True, omit_defaults=True):
    """One training job. Field names are ML Engine's; machine types are resolved in `machines`."""

    scale_tier: ScaleTier = "BASIC"
    master_type: str = ""
    worker_type: str = ""
    parameter_server_type: str = ""
    evaluator_type: str = ""
    worker_count: int = 0
    parameter_server_count: int = 0
    evaluator_count: int = 0
    master_config: ReplicaConfig | None = None
    worker_config: ReplicaConfig | None = None
    parameter_server_config: ReplicaConfig | None = None
    evaluator_config: ReplicaConfig | None = None
    package_uris: list[str] = []
    python_module: str = ""
    args: list[str] = []
    hyperparameters: dict[str, Any] | None = None
    region: str = ""
    job_dir: str = ""
    runtime_version: str = ""
    python_version: str = ""
    scheduling: Scheduling = Scheduling()
    service_account: str = ""
    network: str = ""
    encryption_config: dict[str, Any] = {}
    use_chief_in_tf_config: bool = False
    enable_web_access: bool = False

    def check(self) -> None:
        """Raises UsageError naming the field that keeps this from being a job."""
        if not _MODULE.fullmatch(self.python_module):
            raise UsageError(
                f"pythonModule (--module-name) is {self.python_module!r}; expected dotted names such as trainer.task"
            )
        if len(self.package_uris) > _MAX_PACKAGES:
            raise UsageError(
                f"packageUris names {len(self.package_uris)} packages; at most {_MAX_PACKAGES} are allowed"
            )
        self._check_replicas()
        for role in ("master", "worker", "parameter_server", "evaluator"):
            config: ReplicaConfig | None = getattr(self, f"{role}_config")
            if config and (config.image_uri or config.container_command or config.container_args):
                raise UsageError(
                    f"{_camel(role)}Config names a container; jobs run Python packages, so name pythonModule and "
                    "packageUris (or --module-name and --package-path) instead"
                )
        for name in ("max_running_time", "max_wait_time"):
            text = getattr(self.scheduling, name)
            if text and not _DURATION.fullmatch(text):
                raise UsageError(f"scheduling.{_camel(name)} is {text!r}; expected seconds such as 7200s")
        for name in ("memory_limit_mb", "max_restarts"):
            if getattr(self.scheduling, name) < 0:
                raise UsageError(f"scheduling.{_camel(name)} is below 0")

    def _check_replicas(self) -> None:
        named = {
            _camel(name): getattr(self, name)
            for role in ("master", "worker", "parameter_server", "evaluator")
            for name in (f"{role}_type", f"{role}_count")
            if hasattr(self, name)
        }
        given = [name for name, value in named.items() if value]
        if self.scale_tier != "CUSTOM":
            if given:
                raise UsageError(
                    f"{given[0]} goes with scaleTier CUSTOM only, and scaleTier is {self.scale_tier}; "
                    "set scaleTier: CUSTOM, or leave it out"
                )
            return
        if not self.master_type:
            raise UsageError("scaleTier CUSTOM needs masterType, the machine of the master, such as standard")
        for role in ("worker", "parameter_server", "evaluator"):
            count = getattr(self, f"{role}_count")
            if not 0 <= count <= _MAX_COUNT:
                raise UsageError(f"{_camel(role)}Count is {count}; expected 0 to {_MAX_COUNT:,}")
            if count and not getattr(self, f"{role}_type"):
                raise UsageError(f"{_camel(role)}Count is {count}, so {_camel(role)}Type must name their machine")


def seconds_of(duration: str) -> float | None:
    """Seconds of a duration such as "7200s"; None for an empty one."""
    return float(duration.removesuffix("s")) if duration else None


def check_job_id(job_id: str) -> str:
    """The name, if a job may have it. Raises UsageError."""
    if not _JOB_ID.fullmatch(job_id):
        raise UsageError(
            f"a job cannot be called {job_id!r}; expected a letter, then letters, digits and underscores, "
            "128 characters at most"
        )
    return job_id


def parse_job(content: Any, *, name: str) -> tuple[TrainingInput, dict[str, str]]:
    """The training input and the labels of a Job as a config file or an HTTP body holds it.

    Field names may be camelCase or snake_case, and whole numbers strings, as in ML Engine's JSON.
    name: of the file, for messages. Raises ConfigError.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{name} holds no job; expected trainingInput with scaleTier, pythonModule and the like")
    job = {_camel(str(key)): value for key, value in content.items()}
    known = ["jobId", "labels", "trainingInput", "etag"]
    for key in job:
        if key == "predictionInput":
            raise ConfigError(f"{name} holds a predictionInput; this command submits training jobs")
        if key not in known:
            raise ConfigError(f"{name} holds {key!r}; a job may give {', '.join(known)}{did_you_mean(key, known)}")
    labels = job.get("labels") or {}
    if not isinstance(labels, Mapping) or not all(isinstance(value, str) for value in labels.values()):
        raise ConfigError(f"{name}: labels must be names with texts")
    section = job.get("trainingInput") or {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"{name}: trainingInput must be a section of fields")
    return _training_input(section, name=name), {str(key): str(value) for key, value in labels.items()}


def parse_scale_tier(text: str, *, name: str) -> str:
    """The tier as the API writes it; later gclouds write it in lower case with hyphens. Raises ConfigError."""
    tier = text.upper().replace("-", "_")
    if tier not in SCALE_TIERS:
        raise ConfigError(
            f"{name} is {text!r}; expected one of {', '.join(SCALE_TIERS)}{did_you_mean(tier, SCALE_TIERS)}"
        )
    return tier


def _training_input(section: Mapping[Any, Any], *, name: str) -> TrainingInput:
    fields = _canonical(section)
    if "scaleTier" in fields:
        fields["scaleTier"] = parse_scale_tier(str(fields["scaleTier"]), name=f"{name}: scaleTier")
    if isinstance(fields.get("args"), list):
        fields["args"] = [str(one) for one in fields["args"]]
    known = [field.encode_name for field in msgspec.structs.fields(TrainingInput)]
    for key in fields:
        if key not in known:
            raise ConfigError(f"{name}: trainingInput has no field {key!r}{did_you_mean(key, known)}")
    try:
        return msgspec.convert(fields, TrainingInput, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: trainingInput: {str(error).replace('`$.', '`')}") from None


def _canonical(section: Mapping[Any, Any]) -> dict[str, Any]:
    """Field names in camelCase, in sections of known shape too; what users name themselves is left alone."""
    fields: dict[str, Any] = {}
    for key, value in section.items():
        name = _camel(str(key))
        nested = name.endswith("Config") or name == "scheduling"
        fields[name] = _canonical(value) if nested and isinstance(value, Mapping) else value
        if name in ("runtimeVersion", "pythonVersion") and value is not None:
            fields[name] = str(value)  # YAML reads 1.4 as a number
    return fields


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
