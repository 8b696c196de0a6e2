"""`penstock local train`: a trainer package run as the training service runs it, in this terminal."""

import sys

import click

__all__ = ["train"]


@click.command(short_help="Run a trainer package here.")
@click.option("--module-name", required=True, metavar="M", help="Module to run, such as trainer.task.")
@click.option("--package-path", metavar="DIR", help="Folder of the package; default: found from the module's name.")
@click.option("--job-dir", metavar="URI", help="Passed to the trainer as --job-dir.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGS]")
def train(module_name: str, package_path: str | None, job_dir: str | None, arguments: tuple[str, ...]) -> None:
    """Run the trainer module M with ARGS. The exit status is the trainer's."""
    from penstock.flows.local_train import run_trainer

    sys.exit(run_trainer(module_name, package_path=package_path, job_dir=job_dir, arguments=arguments))
