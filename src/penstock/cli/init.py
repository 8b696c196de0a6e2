"""`penstock init`: an experiment file, a trainer package, or the packaged example."""

from pathlib import Path
from typing import Any

import click

from penstock.cli.output import echo_next, settings_of
from penstock.cli.reading import echo_detections, read_section, reading_flags
from penstock.errors import UsageError

__all__ = ["init"]


@click.command(short_help="Write an experiment file or a trainer package for a table.")
@click.argument("source", required=False, metavar="SOURCE")
@click.option("--label", metavar="COLUMN", help="The column to predict.")
@click.option("--trainer", is_flag=True, help="Write a trainer package instead of an experiment file.")
@click.option("--example", metavar="NAME", help="Copy a packaged example here: housing.")
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="File or folder to write.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@reading_flags
@click.pass_context
def init(
    ctx: click.Context,
    /,
    source: str | None,
    label: str | None,
    trainer: bool,
    example: str | None,
    output: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Look at the table SOURCE and write an experiment file for it, every line explained.

    SOURCE is a file, a glob, a URI, a workbook or a table of a database (docs: data).
    """
    from penstock.flows.init import write_example, write_experiment, write_trainer

    if example is not None:
        if source is not None or label is not None or trainer:
            raise UsageError("--example copies a packaged example; it takes no SOURCE, --label or --trainer")
        written = write_example(example, folder=output or Path(), overwrite=overwrite)
    elif source is None:
        raise UsageError("penstock init needs a table: penstock init DATA.csv --label COLUMN")
    elif label is None:
        raise UsageError(f"penstock init needs the column to predict: penstock init {source} --label COLUMN")
    else:
        write = write_trainer if trainer else write_experiment
        read = read_section(given)
        written = write(source, label=label, settings=settings_of(ctx), output=output, overwrite=overwrite, read=read)
    echo_detections(written.detections)
    for path in written.paths:
        click.echo(path)
    echo_next(written.next_command)
