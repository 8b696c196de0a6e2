"""`penstock local train`: a trainer package run as the training service runs it, in this terminal."""

import sys

import click

from penstock.errors import UsageError

__all__ = ["train"]


@click.command(short_help="Run a trainer package here.")
@click.option("--module-name", required=True, metavar="M", help="Module to run, such as trainer.task.")
@click.option("--package-path", metavar="DIR", help="Folder of the package; default: found from the module's name.")
@click.option("--job-dir", metavar="URI", help="Passed to the trainer as --job-dir.")
@click.option("--distributed", is_flag=True, help="As a cluster of processes on this machine.")
@click.option("--worker-count", type=click.IntRange(0), metavar="N", help="Workers beside the master; default 2.")
@click.option("--parameter-server-count", type=click.IntRange(0), metavar="N", help="Parameter servers; default 2.")
@click.option("--start-port", type=click.IntRange(1, 65535), metavar="PORT", help="First of the ports; default 27182.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGS]")
def train(
    module_name: str,
    package_path: str | None,
    job_dir: str | None,
    distributed: bool,
    worker_count: int | None,
    parameter_server_count: int | None,
    start_port: int | None,
    arguments: tuple[str, ...],
) -> None:
    """Run the trainer module M with ARGS. The exit status is the trainer's; with --distributed, the master's."""
    from penstock.flows.local_train import Distribution, run_trainer

    given = {"workers": worker_count, "parameter_servers": parameter_server_count, "start_port": start_port}
    counts = {name: value for name, value in given.items() if value is not None}
    if counts and not distributed:
        raise UsageError("--worker-count, --parameter-server-count and --start-port go with --distributed")
    distribution = Distribution(**counts) if distributed else None
    sys.exit(
        run_trainer(
            module_name, package_path=package_path, job_dir=job_dir, arguments=arguments, distribution=distribution
        )
    )
