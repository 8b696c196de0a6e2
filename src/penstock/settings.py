"""The environment, read once into one value. No other module reads environment variables."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from penstock.errors import UsageError

__all__ = ["Settings", "TaskVariables", "load_settings", "load_task_variables", "ray_token_file"]

ENGINE_PORT = 8080
SERVING_REST_PORT = 8501
SERVING_GRPC_PORT = 8500

_PROJECT_PATTERN = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]|[a-z]")


@dataclass(frozen=True, kw_only=True)
class VertexContainer:
    """What Vertex AI tells a container that it runs: `AIP_HTTP_PORT` and the routes and model that go with it."""

    port: int
    predict_route: str | None
    health_route: str | None
    storage_uri: str | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where Penstock keeps its state, and which project it works in.

    home: folder of the metadata store and of local artifacts (`PENSTOCK_HOME`, default `~/.penstock`).
    project: owner of models and jobs (`PENSTOCK_PROJECT`, default `local`).
    database_url: SQLAlchemy URL of the metadata store (`PENSTOCK_DATABASE_URL`, default a SQLite file in `home`).
    artifacts_uri: folder or `gs://`/`s3://` URI under which registered bundles are kept (`PENSTOCK_ARTIFACTS`).
    memory_limit_mb: bound on DuckDB's memory (`PENSTOCK_MEMORY_LIMIT_MB`); above it operators spill to disk.
    training_memory_mb: bound on the memory of a training (`PENSTOCK_TRAINING_MEMORY_MB`, default: half of the
        machine's); a table that does not fit is read in batches.
    threads: bound on compute threads (`PENSTOCK_THREADS`, default: all cores).
    server_url: prediction server that clients talk to (`PENSTOCK_SERVER_URL`).
    token: bearer token that clients send (`PENSTOCK_TOKEN`), None for none.
    server_token: bearer token that a prediction server asks for (`PENSTOCK_SERVER_TOKEN`), None for none.
    allowed_hosts: further names of a prediction server on this machine (`PENSTOCK_ALLOWED_HOSTS`, parted by commas).
    vertex: where and what a prediction server is to serve in a container of Vertex AI, None outside of one.
    job_slots: jobs that run at once on this machine (`PENSTOCK_JOB_SLOTS`, default: half of its cores).
    job_grace_s: seconds that a cancelled job has to save its work (`PENSTOCK_JOB_GRACE_S`).
    ray_address: Ray cluster that jobs go to (`PENSTOCK_RAY_ADDRESS`), None for this machine.
    ray_token: what its job server asks for (`RAY_AUTH_TOKEN`, or the file `RAY_AUTH_TOKEN_PATH`), None for none.
    """

    home: Path
    project: str
    database_url: str
    artifacts_uri: str
    memory_limit_mb: int
    training_memory_mb: int
    threads: int
    server_url: str
    token: str | None
    server_token: str | None
    allowed_hosts: tuple[str, ...]
    vertex: VertexContainer | None
    job_slots: int
    job_grace_s: int
    ray_address: str | None
    ray_token: str | None = field(repr=False)


def load_settings(environ: Mapping[str, str] | None = None, *, project: str | None = None) -> Settings:
    """Settings from environment variables; `project` is put before PENSTOCK_PROJECT.

    Raises UsageError naming the variable that cannot be used.
    """
    env = os.environ if environ is None else environ
    home = Path(env.get("PENSTOCK_HOME") or "~/.penstock").expanduser().absolute()
    told = "--project" if project is not None else "PENSTOCK_PROJECT"
    project = project or env.get("PENSTOCK_PROJECT") or "local"
    if not _PROJECT_PATTERN.fullmatch(project):
        raise UsageError(
            f"{told} is {project!r}; expected lower-case letters, digits and hyphens, starting with a letter"
        )
    return Settings(
        home=home,
        project=project,
        database_url=env.get("PENSTOCK_DATABASE_URL") or f"sqlite:///{home / 'penstock.db'}",
        artifacts_uri=env.get("PENSTOCK_ARTIFACTS") or str(home / "artifacts"),
        memory_limit_mb=_positive_int(env, "PENSTOCK_MEMORY_LIMIT_MB", 2_000),
        training_memory_mb=_positive_int(env, "PENSTOCK_TRAINING_MEMORY_MB", _half_of_memory_mb()),
        threads=_positive_int(env, "PENSTOCK_THREADS", os.cpu_count() or 1),
        server_url=env.get("PENSTOCK_SERVER_URL") or f"http://127.0.0.1:{SERVING_REST_PORT}",
        token=env.get("PENSTOCK_TOKEN") or None,
        server_token=env.get("PENSTOCK_SERVER_TOKEN") or None,
        allowed_hosts=tuple(filter(None, map(str.strip, env.get("PENSTOCK_ALLOWED_HOSTS", "").split(",")))),
        vertex=_vertex_container(env),
        job_slots=_positive_int(env, "PENSTOCK_JOB_SLOTS", max(1, (os.cpu_count() or 1) // 2)),
        job_grace_s=_positive_int(env, "PENSTOCK_JOB_GRACE_S", 10),
        ray_address=env.get("PENSTOCK_RAY_ADDRESS") or None,
        ray_token=_ray_token(env, home),
    )


@dataclass(frozen=True, kw_only=True)
class TaskVariables:
    """What a job tells each of its processes. Empty outside of jobs.

    task_type: master, chief, worker, ps or evaluator, of `TF_CONFIG`. coordinator: `host:port` where rank 0 listens.
    rank, size: of the ring of master and workers. addresses: `host:port` of the ring, by rank.
    """

    task_type: str = ""
    coordinator: str = ""
    rank: int = 0
    size: int = 1
    addresses: tuple[str, ...] = ()


def load_task_variables(environ: Mapping[str, str] | None = None) -> TaskVariables:
    """This process's task in its job. Raises UsageError for variables that cannot be read."""
    env = os.environ if environ is None else environ
    try:
        config = json.loads(env.get("TF_CONFIG") or "{}")
        cluster = config.get("cluster", {})
        return TaskVariables(
            task_type=str(config.get("task", {}).get("type", "")),
            coordinator=env.get("JAX_COORDINATOR_ADDRESS", ""),
            rank=int(env.get("JAX_PROCESS_ID", "0")),
            size=int(env.get("JAX_NUM_PROCESSES", "1")),
            addresses=tuple(str(one) for role in ("chief", "master", "worker") for one in cluster.get(role, [])),
        )
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"TF_CONFIG, JAX_PROCESS_ID and JAX_NUM_PROCESSES do not name a task: {error}") from None


def ray_token_file(home: Path) -> Path:
    """Where `penstock cluster local` keeps the token of its cluster."""
    return home / "ray" / "token"


def _ray_token(env: Mapping[str, str], home: Path) -> str | None:
    if token := env.get("RAY_AUTH_TOKEN"):
        return token
    named = env.get("RAY_AUTH_TOKEN_PATH")
    try:
        return Path(named or ray_token_file(home)).expanduser().read_text().strip() or None
    except OSError as error:
        if named:
            raise UsageError(f"RAY_AUTH_TOKEN_PATH is {named!r}, which cannot be read: {error.strerror}") from None
        return None


def _vertex_container(env: Mapping[str, str]) -> VertexContainer | None:
    if not env.get("AIP_HTTP_PORT"):
        return None
    return VertexContainer(
        port=_positive_int(env, "AIP_HTTP_PORT", 8080),
        predict_route=env.get("AIP_PREDICT_ROUTE") or None,
        health_route=env.get("AIP_HEALTH_ROUTE") or None,
        storage_uri=env.get("AIP_STORAGE_URI") or None,
    )


def _half_of_memory_mb() -> int:
    """Half of this machine's memory, or of what its container may use."""
    limits = []
    with suppress(ValueError, OSError, AttributeError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(1_000, min(limits, default=8_000_000_000) // 2_000_000)


def _positive_int(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or int(text) == 0:
        raise UsageError(f"{name} is {text!r}; expected a whole number above 0")
    return int(text)
