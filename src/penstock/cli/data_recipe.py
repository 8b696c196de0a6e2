"""`penstock data check|preview|prepare|export-beam`."""

import re
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.output import echo_json, echo_next, echo_note, echo_table, format_option, settings_of, write_text
from penstock.cli.progress import progress_bar
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.data.recipe.recipe import Recipe
    from penstock.data.recipe.serving import ServingPlan
    from penstock.data.schema import Schema
    from penstock.flows.prepare import EngineName
    from penstock.settings import Settings

__all__ = ["check", "export_beam", "prepare", "preview"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([mgt])i?b?", re.IGNORECASE)

_BESIDE_MB = 200
_BESIDE_SHARE = 0.25
"""What the process takes beside what DuckDB counts, with the interpreter: 90 to 150 MB as measured; of 10 million rows
under DuckDB's 800 MB it held 928."""

_LEAST_MB = 300

_engine_option = click.option(
    "--engine",
    type=click.Choice(["duckdb", "beam"]),
    default="duckdb",
    show_default=True,
    help="What runs the steps.",
)
_source_option = click.option(
    "--source", multiple=True, metavar="SOURCE", help="Rows to take in place of the recipe's; may be given often."
)


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE")
@_source_option
@_engine_option
@click.option("--for-serving", is_flag=True, help="Also say what travels with a model, and what callers must send.")
@format_option
@click.pass_context
def check(
    ctx: click.Context,
    recipe: Path,
    source: tuple[str, ...],
    engine: "EngineName",
    for_serving: bool,
    output_format: str,
) -> None:
    """Type a recipe against its data; show the columns after each step."""
    from penstock.flows.prepare import check as run

    checked = run(_recipe(recipe, source), settings=settings_of(ctx), engine=engine, for_serving=for_serving)
    if output_format == "json":
        steps = [
            {"step": item.step.step, "number": item.number, "columns": item.schema.columns}
            for item in checked.recipe.steps
        ]
        serving = None if checked.serving is None else _serving_facts(checked.serving)
        echo_json({"source": checked.recipe.source.columns, "steps": steps, "serving": serving})
        return
    click.echo(f"source: {_columns_text(checked.recipe.source)}")
    for item in checked.recipe.steps:
        click.echo(f"{item.place}: {_change_text(checked.recipe.before(item), item.schema)}")
    click.echo(f"result: {_columns_text(checked.recipe.schema)}")
    if checked.serving is not None:
        _echo_serving(checked.serving)
    echo_next(f"penstock data prepare {quote(str(recipe))} --output prepared")


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE")
@_source_option
@_engine_option
@click.option("--rows", type=click.IntRange(1, 100_000), default=10, show_default=True, help="How many.")
@format_option
@click.pass_context
def preview(
    ctx: click.Context, recipe: Path, source: tuple[str, ...], engine: "EngineName", rows: int, output_format: str
) -> None:
    """The first rows a recipe makes."""
    from penstock.data.recipe.row_values import readable_rows
    from penstock.flows.prepare import preview as run

    batch = run(_recipe(recipe, source), settings=settings_of(ctx), engine=engine, rows=rows)
    found = readable_rows(batch)
    if output_format == "json":
        echo_json([dict(zip(batch.schema.names, row, strict=True)) for row in found])
        return
    echo_table(list(batch.schema.names), [[_cell(value) for value in row] for row in found])


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE")
@click.option("--output", required=True, metavar="URI", help="A folder, or a file ending in .parquet or .csv.")
@_source_option
@_engine_option
@click.option("--overwrite", is_flag=True, help="Replace what is at the output already.")
@click.option(
    "--memory-limit", metavar="SIZE", help="Of the whole process, such as 1GB or 800MB; the rest goes to disk."
)
@click.argument("beam_options", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM_OPTIONS]")
@format_option
@click.pass_context
def prepare(
    ctx: click.Context,
    recipe: Path,
    output: str,
    source: tuple[str, ...],
    engine: "EngineName",
    overwrite: bool,
    memory_limit: str | None,
    beam_options: tuple[str, ...],
    output_format: str,
) -> None:
    """Run a recipe and write its rows.

    The output appears when all rows are there. A run that is stopped is gone on with by running the same again.
    What stands behind `--` are Beam's own options: `--engine beam -- --runner=FlinkRunner`.
    """
    from penstock.flows.prepare import prepare as run

    settings = settings_of(ctx)
    if memory_limit is not None:
        settings = _limited(settings, memory_limit, engine)
    with progress_bar() as watch:
        done = run(
            _recipe(recipe, source),
            output=output,
            settings=settings,
            engine=engine,
            beam_options=beam_options,
            overwrite=overwrite,
            watch=watch,
        )
    if output_format == "json":
        echo_json(
            {
                "uri": done.uri,
                "rows": done.rows,
                "was_done": done.was_done,
                "columns": [c.name for c in done.note.columns],
            }
        )
    else:
        made = "were prepared before" if done.was_done else "prepared"
        click.echo(f"{done.uri}: {done.rows:,} rows {made}, {len(done.note.columns)} columns")
    echo_next(f"penstock data profile {quote(output)}")


@click.command("export-beam")
@click.argument("recipe", type=click.Path(path_type=Path), metavar="RECIPE")
@_source_option
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="The module; stdout by default.")
@click.pass_context
def export_beam(ctx: click.Context, recipe: Path, source: tuple[str, ...], output: Path | None) -> None:
    """A recipe as a stock Apache Beam pipeline module."""
    from penstock.flows.export_beam import export_beam as run

    text = run(_recipe(recipe, source), settings=settings_of(ctx), name=recipe.name)
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    echo_note(f"wrote {output}")
    echo_next(f"python {quote(str(output))} --output prepared")


def _limited(settings: "Settings", size: str, engine: "EngineName") -> "Settings":
    """The settings with a bound on DuckDB that keeps the whole process below a size."""
    found = _SIZE.fullmatch(size.strip())
    if engine == "beam":
        raise UsageError("--memory-limit bounds the engine duckdb; what a Beam pipeline takes is up to its runner")
    if found is None:
        raise UsageError(f"--memory-limit is {size!r}; expected a size such as 1GB or 800MB")
    megabytes = int(float(found[1]) * {"m": 1, "g": 1_000, "t": 1_000_000}[found[2].lower()])
    if megabytes < _LEAST_MB:
        raise UsageError(f"--memory-limit is {size}; preparing needs {_LEAST_MB}MB at least")
    return replace(settings, memory_limit_mb=megabytes - max(_BESIDE_MB, int(_BESIDE_SHARE * megabytes)))


def _recipe(path: Path, source: tuple[str, ...]) -> "Recipe":
    from penstock.data.recipe.document import load_recipe

    recipe = load_recipe(path)
    if not source:
        return recipe
    return recipe.reading(source[0] if len(source) == 1 else source, **recipe.read)


def _columns_text(schema: "Schema") -> str:
    return ", ".join(f"{item.name} {item.type}{'?' if item.nullable else ''}" for item in schema)


def _change_text(before: "Schema", after: "Schema") -> str:
    """What a step did to the columns."""
    old = {item.name: item for item in before}
    new = {item.name: item for item in after}
    words = [
        *(f"+ {item.name} {item.type}{'?' if item.nullable else ''}" for item in after if item.name not in old),
        *(f"- {item.name}" for item in before if item.name not in new),
        *(
            f"{item.name} {old[item.name].type} → {item.type}"
            for item in after
            if item.name in old and old[item.name].type is not item.type
        ),
    ]
    return ", ".join(words) or "the same columns"


def _echo_serving(plan: "ServingPlan") -> None:
    click.echo(f"callers send: {_columns_text(plan.program.input_schema)}")
    for item in plan.sent:
        click.echo(f"  {item.column.name}: to be sent, because {item.reason}")
    for step in plan.left_out:
        click.echo(f"  {step.place}: left out, it changes nothing about a row that is asked for")
    for step in plan.unused:
        click.echo(f"  {step.place}: left out, its rows are not those that a later step makes")


def _serving_facts(plan: "ServingPlan") -> dict[str, Any]:
    return {
        "inputs": plan.program.input_schema.columns,
        "sent": [{"name": item.column.name, "reason": item.reason} for item in plan.sent],
        "left_out": [step.place for step in (*plan.unused, *plan.left_out)],
    }


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"
