"""`penstock data`: look at tables, and prepare them."""

import click

from penstock.cli.main import LazyGroup

__all__ = ["data"]

COMMANDS: dict[str, tuple[str, str]] = {
    "profile": ("penstock.cli.data_profile:profile", "Statistics and histograms of every column, from all rows."),
    "check": ("penstock.cli.data_recipe:check", "Type a recipe against its data; show the schema after each step."),
    "preview": ("penstock.cli.data_recipe:preview", "The first rows a recipe makes."),
    "prepare": ("penstock.cli.data_recipe:prepare", "Run a recipe and write its rows."),
    "export-beam": ("penstock.cli.data_recipe:export_beam", "A recipe as a stock Apache Beam pipeline module."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def data() -> None:
    """Profile, check, preview and prepare tables."""
