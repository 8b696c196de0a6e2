"""`penstock data profile`."""

import click

from penstock.cli.output import echo_json, echo_note, format_option, settings_of

__all__ = ["profile"]


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@format_option
@click.pass_context
def profile(ctx: click.Context, sources: tuple[str, ...], output_format: str) -> None:
    """Statistics and histograms of every column, from all rows.

    SOURCE is a file, a glob, a folder or a URI: CSV, TSV, Parquet or JSON lines, compressed or not.
    """
    from penstock.data.profile_text import profile_text
    from penstock.data.profiler import profile_table
    from penstock.data.table import open_table

    with open_table(sources, settings=settings_of(ctx)) as table:
        for detection in table.detections:
            if detection.what != "type":
                echo_note(str(detection))
        result = profile_table(table)
    if output_format == "json":
        echo_json(result)
    else:
        click.echo(profile_text(result))
