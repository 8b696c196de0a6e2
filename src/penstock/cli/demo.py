"""`penstock demo`: runs the demo flow and prints each step as it happens."""

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli.output import echo_note, settings_of

if TYPE_CHECKING:
    from penstock.flows.demo import DemoStep, Explored, Exported, Predicted
    from penstock.settings import Settings

__all__ = ["demo"]


@click.command(short_help="From the packaged housing data to two live predictions.")
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Keep everything in DIR.")
@click.pass_context
def demo(ctx: click.Context, keep: Path | None) -> None:
    """Explore Boston house prices, train a small network, serve it, and ask it for two prices.

    Works in a temporary home unless --keep names a folder; then PENSTOCK_HOME=DIR goes on from there.
    """
    settings = settings_of(ctx)
    if keep is not None:
        _run(_at_home(settings, keep.absolute()))
        click.secho("\nWhat next", bold=True)
        click.echo(f"  export PENSTOCK_HOME={keep.absolute()}")
        click.echo("  penstock models list")
        click.echo("  penstock serve")
    else:
        with tempfile.TemporaryDirectory(prefix="penstock-demo-") as folder:
            _run(_at_home(settings, Path(folder)))
        click.secho("\nWhat next", bold=True)
        click.echo("  penstock init --example housing                the same files, to play with")
        click.echo("  penstock init YOUR_DATA.csv --label COLUMN     the same for your table")
        click.echo("  penstock demo --keep ./penstock-home           keep the model and the server's registry")


def _at_home(settings: "Settings", home: Path) -> "Settings":
    return dataclasses.replace(
        settings, home=home, database_url=f"sqlite:///{home / 'penstock.db'}", artifacts_uri=str(home / "artifacts")
    )


def _run(settings: "Settings") -> None:
    from penstock.flows.demo import run_demo

    for step in run_demo(settings, note=echo_note):
        _show(step)


def _show(step: "DemoStep") -> None:
    from penstock.flows.demo import Explored, Exported, Predicted, Registered, Served

    match step:
        case Explored():
            _show_table(step)
        case Exported():
            _show_training(step)
        case Registered():
            click.secho("\n3 · Register", bold=True)
            click.echo(f"version {step.version} of model {step.model}")
        case Served():
            click.secho("\n4 · Serve", bold=True)
            click.echo(f"{step.url}, ready after {step.start_s:.1f} s")
        case Predicted():
            _show_predictions(step)


def _show_table(step: "Explored") -> None:
    from penstock.data.profile_text import profile_text
    from penstock.data.schema import DataType

    click.secho(f"1 · Explore {step.path}", bold=True)
    for detection in step.detections:
        click.echo(f"  {detection}")
    click.echo()
    names = step.first_rows.schema.names
    cells = [list(names)]
    for row in range(step.first_rows.rows):
        integers = {column.name for column in step.first_rows.schema if column.type is DataType.INTEGER}
        cells.append(
            [f"{step.first_rows[n][row]:.0f}" if n in integers else f"{step.first_rows[n][row]:g}" for n in names]
        )
    for line in cells:
        click.echo(" ".join(f"{cell:>8}" for cell in line))
    click.echo()
    click.echo(profile_text(step.profile))
    click.secho("\n2 · Train: two hidden layers of ten, 3,000 steps over the whole table", bold=True)


def _show_training(step: "Exported") -> None:
    metrics = step.manifest.metrics
    click.echo(f"loss {metrics['average_loss']:.4g} squared dollars on the fifth of the rows held out")
    click.echo(
        f"a price is off by ${metrics['rmse']:,.0f} (root of the mean square), ${metrics['mae']:,.0f} on average"
    )
    click.echo(f"{step.train_s:.1f} s, compilation, evaluation, export and its parity check included")


def _show_predictions(step: "Predicted") -> None:
    click.secho("\n5 · Predict, over HTTP", bold=True)
    for record, dollars in zip(step.records, step.dollars, strict=True):
        told = ", ".join(f"{name} {value:g}" for name, value in record.items())
        click.echo(f"  {told}")
        click.secho(f"    → ${dollars:,.0f}", bold=True)
