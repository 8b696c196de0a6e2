"""`penstock data profile`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import echo_json, echo_note, format_option, settings_of, write_text
from penstock.cli.progress import progress_bar
from penstock.cli.reading import echo_detections, read_section, reading_flags
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.data.drift import Drift
    from penstock.data.profile import Relations, TableProfile
    from penstock.settings import Settings

__all__ = ["profile"]

_MOST_TOLD = 20
_MOST_ASSOCIATIONS = 5
_WORTH_TELLING = 0.3


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--label", metavar="COLUMN", help="The column to be predicted: others that give it away are found.")
@click.option(
    "--column", "chosen", multiple=True, metavar="NAME", help="Show all that is known of this column; may be repeated."
)
@click.option("--against", metavar="REFERENCE", help="A table, profile or bundle: what moved since.")
@click.option("--exact", is_flag=True, help="Compare rows and columns on all rows, not on a sample of 100,000.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write one HTML page.")
@reading_flags
@format_option
@click.pass_context
def profile(
    ctx: click.Context,
    /,
    sources: tuple[str, ...],
    label: str | None,
    chosen: tuple[str, ...],
    against: str | None,
    exact: bool,
    html: Path | None,
    output_format: str,
    **given: Any,
) -> None:
    """Statistics and histograms of every column, from all rows.

    SOURCE is a file, a glob, a folder or a URI: CSV, TSV, Parquet or JSON lines, compressed or not; a sheet of a
    workbook (book.xlsx#Sheet); a table of a database (sqlite:///shop.db#orders, postgresql://…#orders). Several are
    read as one table; a second one to compare with goes to --against.
    """
    from penstock.data.drift import measure_drift
    from penstock.data.profiler import profile_source
    from penstock.data.recipe.document import read_options
    from penstock.data.recipe.prepared import with_noted_types

    settings = settings_of(ctx)
    if html is not None and not html.absolute().parent.is_dir():
        raise UsageError(f"--html is {str(html)!r}, but there is no folder {html.parent} to write it in")
    source = sources[0] if len(sources) == 1 else sources
    options = with_noted_types(read_options(read_section(given), place="the flags"), source)
    with progress_bar() as watch:
        table, result = profile_source(
            sources, settings=settings, options=options, label=label, is_exact=exact, progress=watch
        )
        table.close()
    echo_detections(table.detections)
    for row in table.rejected[:_MOST_TOLD]:
        echo_note(f"left out: {row.file} line {row.line}: {row.reason}")
    if table.rejected:
        echo_note(f"{len(table.rejected):,} rows left out, {result.rows:,} read")
    shown = [result[name] for name in chosen]
    drift = None if against is None else measure_drift(_reference(against, settings), result)
    if html is not None:
        from penstock.data.profile_page import profile_page

        write_text(html, profile_page(result, title=table.name, drift=drift))
        echo_note(f"{html}: the profile as a page")
    if output_format == "json":
        echo_json(result if drift is None else {"profile": result, "drift": drift})
    elif shown:
        from penstock.data.column_text import column_text

        click.echo("\n\n".join(map(column_text, shown)))
    else:
        _echo_text(result, drift)


def _reference(name: str, settings: "Settings") -> "TableProfile":
    """The profile of a table, or one that was written before: alone, or in a bundle."""
    from penstock.data.profile import TableProfile
    from penstock.data.profiler import profile_source

    path = Path(name)
    written = path / "profile.json" if path.is_dir() else path
    if written.name.endswith(".json") and written.is_file():
        text = written.read_bytes()
        if text.lstrip().startswith(b"{") and b'"columns"' in text:
            return TableProfile.from_json(text)
    with progress_bar() as watch:
        table, found = profile_source(name, settings=settings, relations=False, progress=watch)
        table.close()
    return found


def _echo_text(result: "TableProfile", drift: "Drift | None") -> None:
    from penstock.data.profile_text import profile_text

    width = _terminal_width()
    click.echo(profile_text(result, width=width))
    if result.relations and (strongest := _strongest(result.relations)):
        click.echo("\nstrongest associations:")
        for line in strongest:
            click.echo(f"· {line}")
    if result.relations and result.relations.findings:
        whose = f"a sample of {result.relations.rows:,} rows" if result.relations.is_sample else "all rows"
        click.echo(f"\nfindings, rows and pairs of columns by {whose}:")
        for finding in result.relations.findings:
            click.echo(f"· {finding.text}")
    if drift is not None:
        click.echo(f"\nmoved since {drift.rows_before:,} rows before:")
        for column in drift.columns:
            click.echo(f"· {column.text}")
        for what, names in (("new column", drift.added), ("gone", drift.removed)):
            for name in names:
                click.echo(f"· {what}: {name}")


def _strongest(relations: "Relations") -> list[str]:
    measures = {"pearson": "correlation", "cramers_v": "Cramér's V", "correlation_ratio": "correlation ratio"}
    return [
        f"{pair.first} and {pair.second}: {measures[pair.measure]} {pair.strength:.2f}"
        for pair in relations.associations[:_MOST_ASSOCIATIONS]
        if abs(pair.strength) >= _WORTH_TELLING
    ]


def _terminal_width() -> int | None:
    """Columns of the terminal; None where the text goes elsewhere and may be as wide as it is."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
