"""`penstock jobs submit training`: ML Engine's flags, a config file beneath them, and a job that runs on its own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.gcloud import LABELS, NAMES, ignored_option, project_flags
from penstock.cli.jobs import echo_log
from penstock.cli.main import LazyGroup
from penstock.cli.output import echo_json, echo_note, format_option, settings_of
from penstock.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from penstock.jobs.training_input import TrainingInput

__all__ = ["echo_submitted", "stream_job", "submit"]


@click.group(
    cls=LazyGroup,
    short_help="Submit a training or a batch prediction.",
    lazy={"prediction": ("penstock.cli.jobs_submit_prediction:prediction", "Submit a batch prediction.")},
)
def submit() -> None:
    """Submit a job."""


@submit.command(short_help="Submit a trainer package, or an experiment, as a job.")
@click.argument("job")
@click.option("--module-name", metavar="M", help="Module to run, such as trainer.task.")
@click.option("--package-path", metavar="DIR", help="Folder of the trainer's package; it is built and shipped.")
@click.option("--packages", type=NAMES, default="", help="Further archives to install, local or as URIs.")
@click.option("--experiment", metavar="FILE", help="An experiment file to train instead of a package.")
@click.option("--job-dir", metavar="URI", help="Where the training writes; passed to it as --job-dir.")
@click.option("--staging-bucket", metavar="URI", help="Where packages are put; default: under the job-dir.")
@click.option("--scale-tier", metavar="TIER", help="BASIC, STANDARD_1, PREMIUM_1, BASIC_GPU, BASIC_TPU or CUSTOM.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="A Job as YAML or JSON; flags win.")
@click.option("--region", metavar="R", help="Kept for the record.")
@click.option("--runtime-version", metavar="V", help="Kept for the record.")
@click.option("--python-version", metavar="V", help="Kept for the record.")
@click.option("--labels", type=LABELS, help="Labels to find it by.")
@click.option("--cluster", metavar="ADDRESS", help="Ray cluster to run on (PENSTOCK_RAY_ADDRESS); default: here.")
@click.option("--memory-limit-mb", type=click.IntRange(1), metavar="MB", help="End the job when it holds more.")
@click.option("--max-running-time", metavar="7200s", help="End the job when it has run that long.")
@click.option("--stream-logs", is_flag=True, help="Stay, and print the job's log on stderr until it is over.")
@ignored_option("--async", reason="that is how jobs are submitted unless --stream-logs is given", is_flag=True)
@project_flags
@format_option
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGS]")
@click.pass_context
def training(ctx: click.Context, /, job: str, arguments: tuple[str, ...], output_format: str, **given: Any) -> None:
    """Run module M of a package, with ARGS, as the job JOB: here, or on a Ray cluster.

    With --stream-logs the exit status is 1 unless the job succeeds.
    """
    from penstock.flows.submit_training import Submission, submit_training

    settings = settings_of(ctx)
    if given["experiment"] and (given["module_name"] or given["package_path"] or given["packages"]):
        raise UsageError("--experiment trains an experiment file; it goes without --module-name and packages")
    content, labels = _configured(given["config"])
    submission = Submission(
        job_id=job,
        training=_training_input(content, given, arguments),
        labels={**labels, **(given["labels"] or {})},
        package_path=given["package_path"],
        packages=given["packages"],
        staging_uri=given["staging_bucket"],
        experiment=given["experiment"],
        folder=Path.cwd(),
        cluster=given["cluster"],
    )
    notice = submit_training(submission, settings=settings)
    if notice:
        echo_note(f"note: {notice}")
    echo_note(f"Job [{job}] submitted successfully.")
    if given["stream_logs"]:
        sys.exit(stream_job(job, ctx, output_format))
    echo_submitted(job, output_format)


def echo_submitted(job: str, output_format: str) -> None:
    """Says how to follow a job that goes on by itself, and prints it as gcloud does."""
    echo_note(
        "Your job is still active. You may view the status of your job with the command\n\n"
        f"  $ penstock jobs describe {job}\n\n"
        "or continue streaming the logs with the command\n\n"
        f"  $ penstock jobs stream-logs {job}\n"
    )
    if output_format == "json":
        echo_json({"jobId": job, "state": "QUEUED"})
    else:
        click.echo(f"jobId: {job}\nstate: QUEUED")


def _configured(path: Path | None) -> "tuple[TrainingInput, dict[str, str]]":
    from penstock.jobs.training_input import parse_job

    if path is None:
        return parse_job({}, name="the job")
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {str(path)!r} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"--config {path} is not YAML: {' '.join(str(error).split())}") from None
    return parse_job(content, name=str(path))


def _training_input(configured: "TrainingInput", given: dict[str, Any], arguments: tuple[str, ...]) -> "TrainingInput":
    """The config file's input with the flags over it."""
    import msgspec

    from penstock.jobs.training_input import parse_scale_tier

    flags: dict[str, Any] = {
        "python_module": given["module_name"],
        "job_dir": given["job_dir"],
        "region": given["region"],
        "runtime_version": given["runtime_version"],
        "python_version": given["python_version"],
        "args": list(arguments),
    }
    if given["scale_tier"]:
        flags["scale_tier"] = parse_scale_tier(given["scale_tier"], name="--scale-tier")
    limits = {name: given[name] for name in ("memory_limit_mb", "max_running_time") if given[name]}
    if limits:
        flags["scheduling"] = msgspec.structs.replace(configured.scheduling, **limits)
    return msgspec.structs.replace(configured, **{name: value for name, value in flags.items() if value})


def stream_job(job: str, ctx: click.Context, output_format: str) -> int:
    """Prints a job's log until it is over; the exit status that says how it ended."""
    from penstock.jobs.jobs import Jobs
    from penstock.jobs.states import JobState

    with Jobs(settings_of(ctx)) as service:
        echo_log(service, job, err=True)
        record = service.get(job)
        if output_format == "json":
            echo_json(service.describe(record))
        else:
            click.echo(f"jobId: {job}\nstate: {record.state.value}")
    return int(record.state is not JobState.SUCCEEDED)
