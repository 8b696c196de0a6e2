"""`penstock tensorboard`: TensorBoard over a training's folder, on loopback."""

import os
import sys
from pathlib import Path

import click

from penstock.errors import NotFoundError

__all__ = ["tensorboard"]


@click.command(short_help="Look at a training in TensorBoard.")
@click.argument("logdir", metavar="MODEL_DIR")
@click.option("--port", type=click.IntRange(0, 65535), default=6006, show_default=True, help="0 picks a free one.")
def tensorboard(logdir: str, port: int) -> None:
    """Loss, metrics, hyperparameters and the data-flow graph of the training in MODEL_DIR, until Ctrl-C.

    TensorBoard has no tokens, so it listens on loopback only.
    """
    if "://" not in logdir and not Path(logdir).is_dir():
        raise NotFoundError(f"there is no folder {logdir!r}; name the model_dir of a training")
    arguments = ["-m", "tensorboard.main", "--logdir", logdir, "--host", "127.0.0.1", "--port", str(port)]
    # The fast loader is a separate binary that not every platform has.
    os.execv(sys.executable, [sys.executable, "-W", "ignore", *arguments, "--load_fast=false"])  # noqa: S606
