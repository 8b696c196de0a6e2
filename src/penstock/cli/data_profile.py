"""`penstock data profile`."""

from typing import Any

import click

from penstock.cli.output import echo_json, echo_note, format_option, settings_of
from penstock.cli.reading import echo_detections, read_section, reading_flags

__all__ = ["profile"]


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--label", metavar="COLUMN", help="The column to be predicted: others that give it away are found.")
@reading_flags
@format_option
@click.pass_context
def profile(
    ctx: click.Context, /, sources: tuple[str, ...], label: str | None, output_format: str, **given: Any
) -> None:
    """Statistics and histograms of every column, from all rows.

    SOURCE is a file, a glob, a folder or a URI: CSV, TSV, Parquet or JSON lines, compressed or not.
    """
    from penstock.data.profile_text import profile_text
    from penstock.data.profiler import profile_table
    from penstock.data.recipe.document import read_options
    from penstock.data.table import open_table

    options = read_options(read_section(given), place="the flags")
    with open_table(sources, settings=settings_of(ctx), options=options) as table:
        echo_detections(table.detections)
        for row in table.rejected:
            echo_note(f"left out: {row.file} line {row.line}: {row.reason}")
        result = profile_table(table, label=label)
    if output_format == "json":
        echo_json(result)
    else:
        click.echo(profile_text(result))
        if result.relations and result.relations.findings:
            click.echo()
            for finding in result.relations.findings:
                click.echo(f"· {finding.text}")
