"""`penstock jobs`: trainings that run on their own, in the words of `gcloud ml-engine jobs`."""

import sys
from typing import TYPE_CHECKING

import click

from penstock.cli.gcloud import echo_yaml, gcloud_flags, ignored_option
from penstock.cli.main import LazyGroup
from penstock.cli.output import echo_json, echo_note, echo_table, format_option, settings_of

if TYPE_CHECKING:
    from penstock.jobs.jobs import Jobs
    from penstock.jobs.logs import LogEntry

__all__ = ["echo_log", "jobs"]


@click.group(
    cls=LazyGroup,
    short_help="Submit, list, describe, cancel jobs; read their logs.",
    lazy={
        "submit": ("penstock.cli.jobs_submit:submit", "Submit a training or a batch prediction."),
        "advise": ("penstock.cli.jobs_advise:advise", "Time and cost of a training on each scale tier."),
    },
)
def jobs() -> None:
    """A job runs on its own: it outlives the shell that started it, and its log can be read at any time."""


@jobs.command("list", short_help="List jobs.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the newest N.")
@gcloud_flags
@format_option
@click.pass_context
def list_(ctx: click.Context, limit: int | None, output_format: str) -> None:
    """List the jobs of the project, newest first."""
    from penstock.jobs.jobs import Jobs

    with Jobs(settings_of(ctx)) as service:
        found = [service.describe(record) for record in service.list(limit=limit)]
    if output_format == "json":
        echo_json(found)
        return
    echo_table(["JOB_ID", "STATUS", "CREATED"], [[one["jobId"], one["state"], one["createTime"][:19]] for one in found])


@jobs.command(short_help="Describe a job.")
@click.argument("job")
@click.option("--summarize", is_flag=True, help="Only state, times and error.")
@gcloud_flags
@format_option
@click.pass_context
def describe(ctx: click.Context, job: str, summarize: bool, output_format: str) -> None:
    """Everything known about JOB: its input, state, times, error and output."""
    from penstock.jobs.jobs import Jobs

    with Jobs(settings_of(ctx)) as service:
        found = service.describe(service.get(job))
    if summarize:
        kept = (
            "jobId",
            "state",
            "createTime",
            "startTime",
            "endTime",
            "errorMessage",
            "trainingOutput",
            "predictionOutput",
        )
        found = {name: value for name, value in found.items() if name in kept}
    if output_format == "json":
        echo_json(found)
    else:
        echo_yaml(found)


@jobs.command(short_help="Cancel a job.")
@click.argument("job")
@gcloud_flags
@click.pass_context
def cancel(ctx: click.Context, job: str) -> None:
    """End JOB with everything that it started. What it has checkpointed stays; a job that is over stays as it is."""
    from penstock.jobs.jobs import Jobs

    with Jobs(settings_of(ctx)) as service:
        record = service.cancel(job)
    if record.is_over:
        echo_note(f"job {job} is over already: {record.state.value}")
    else:
        echo_note(f"cancelling job {job}")


@jobs.command("stream-logs", short_help="Follow the log of a job.")
@click.argument("job")
@click.option("--task-name", metavar="T", help="Only one task, such as master-replica-0 or service.")
@click.option(
    "--polling-interval", type=click.FloatRange(0.05), metavar="S", default=0.2, help="Seconds between looks."
)
@ignored_option("--allow-multiline-logs", reason="every line is an entry of its own", is_flag=True)
@gcloud_flags
@format_option
@click.pass_context
def stream_logs(
    ctx: click.Context,
    job: str,
    task_name: str | None,
    polling_interval: float,
    output_format: str,
) -> None:
    """Print what JOB has said, and says, until it is over. The exit status is 1 unless it succeeded."""
    from penstock.jobs.jobs import Jobs
    from penstock.jobs.states import JobState

    with Jobs(settings_of(ctx)) as service:
        echo_log(service, job, task_name=task_name, poll_s=polling_interval, output_format=output_format)
        sys.exit(service.get(job).state is not JobState.SUCCEEDED)


def echo_log(
    service: "Jobs",
    job: str,
    *,
    task_name: str | None = None,
    poll_s: float = 0.2,
    output_format: str = "text",
    err: bool = False,
) -> None:
    """Prints what a job says until it is over. Ctrl-C ends the looking and not the job: SystemExit 130."""
    is_silent = True
    try:
        for entry in service.follow(job, task_name=task_name, poll_s=poll_s):
            is_silent = False
            _echo_entry(entry, output_format=output_format, err=err)
    except KeyboardInterrupt:
        echo_note(
            f"\njob {job} goes on; follow it with: penstock jobs stream-logs {job}, or end it with: penstock jobs "
            f"cancel {job}"
        )
        sys.exit(130)
    if task_name and is_silent:
        spoken = dict.fromkeys(entry.task_name for entry in service.log(job))
        echo_note(f"note: no task {task_name!r} of job {job} has said anything; {', '.join(spoken)} have")


def _echo_entry(entry: "LogEntry", *, output_format: str, err: bool) -> None:
    """One entry as gcloud prints it, or as one JSON object a line."""
    if output_format == "json":
        import msgspec

        click.echo(msgspec.json.encode(entry), err=err)
        return
    time = entry.timestamp[:19].replace("T", " ")
    click.echo(f"{entry.severity}\t{time}\t{entry.task_name}\t{entry.message}", err=err)
