"""`penstock local`: what the service does, done by this machine without one."""

import click

from penstock.cli.main import LazyGroup

__all__ = ["local"]


@click.group(
    cls=LazyGroup,
    short_help="Train or predict in this process.",
    lazy={
        "train": ("penstock.cli.local_train:train", "Run a trainer package here."),
        "predict": ("penstock.cli.local_predict:predict", "Ask a bundle, without a server."),
    },
)
def local() -> None:
    """Train or predict on this machine, without a service."""
