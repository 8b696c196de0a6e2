"""`penstock jobs submit prediction`: files of instances in, files of predictions out, as a job that runs on its own."""

import sys
from pathlib import Path
from typing import Any

import click

from penstock.cli.gcloud import LABELS, NAMES, ignored_option, project_flags
from penstock.cli.jobs_submit import echo_submitted, stream_job
from penstock.cli.output import echo_note, format_option, settings_of

__all__ = ["prediction"]


@click.command(short_help="Submit a batch prediction.")
@click.argument("job")
@click.option("--model", metavar="M", help="Model of the registry.")
@click.option("--version", metavar="V", help="Its version, by name or number; default: its default version.")
@click.option("--model-dir", metavar="URI", help="A bundle, in place of a registered model.")
@click.option("--data-format", required=True, metavar="FORMAT", help="json (an object a line), text, csv or parquet.")
@click.option("--input-paths", type=NAMES, required=True, metavar="P,…", help="Files, folders, URIs; * matches.")
@click.option("--output-path", required=True, metavar="URI", help="Folder for the results.")
@click.option("--keys", type=NAMES, default="", metavar="C,…", help="Columns that go from input into results.")
@click.option("--batch-size", type=click.IntRange(1, 1_000_000), default=4096, show_default=True, help="Rows a call.")
@click.option(
    "--max-worker-count", type=click.IntRange(1, 1000), metavar="N", help="Processes; default: as suit input and cores."
)
@click.option("--labels", type=LABELS, help="Labels to find it by.")
@click.option("--cluster", metavar="ADDRESS", help="Ray cluster to run on (PENSTOCK_RAY_ADDRESS); default: here.")
@click.option("--max-running-time", metavar="7200s", default="", help="End the job when it has run that long.")
@click.option("--region", metavar="R", default="", help="Kept for the record.")
@click.option("--runtime-version", metavar="V", default="", help="Kept for the record.")
@click.option("--stream-logs", is_flag=True, help="Stay, and print the job's log on stderr until it is over.")
@ignored_option("--async", reason="that is how jobs are submitted unless --stream-logs is given", is_flag=True)
@project_flags
@format_option
@click.pass_context
def prediction(ctx: click.Context, /, job: str, output_format: str, **given: Any) -> None:
    """Predict every instance in the input with a version of model M, as the job JOB: here, or on a Ray cluster.

    Results are JSON lines in files prediction.results-N-of-M, in the order of the input; instances that do not fit are
    counted, with the reason, in prediction.errors_stats-N-of-M. A job that was killed goes on where it was, and so does
    another one with the same input and output.
    """
    from penstock.flows.submit_prediction import PredictionSubmission, submit_prediction
    from penstock.jobs.prediction_input import PredictionInput, parse_data_format

    submission = PredictionSubmission(
        job_id=job,
        prediction=PredictionInput(
            data_format=parse_data_format(given["data_format"]),
            input_paths=list(given["input_paths"]),
            output_path=given["output_path"],
            keys=list(given["keys"]),
            batch_size=given["batch_size"],
            max_worker_count=given["max_worker_count"] or 0,
            region=given["region"],
            runtime_version=given["runtime_version"],
        ),
        model=given["model"],
        version=given["version"],
        model_dir=given["model_dir"],
        labels=given["labels"] or {},
        folder=Path.cwd(),
        cluster=given["cluster"],
        max_running_time=given["max_running_time"],
    )
    submit_prediction(submission, settings=settings_of(ctx))
    echo_note(f"Job [{job}] submitted successfully.")
    if given["stream_logs"]:
        sys.exit(stream_job(job, ctx, output_format))
    echo_submitted(job, output_format)
