"""`penstock predict`: asks a prediction server about the rows of a file, in the words of `gcloud ml-engine predict`."""

import re
from pathlib import Path
from typing import Any

import click

from penstock.cli.gcloud import gcloud_flags
from penstock.cli.instance_files import instance_file_options, read_photos_or_instances
from penstock.cli.output import echo_json, echo_table, format_option, settings_of
from penstock.errors import DataError, InstanceError, ServiceError

__all__ = ["predict"]


@click.command(short_help="Ask a prediction service.")
@click.option("--model", required=True, metavar="M", help="The model to ask.")
@click.option("--version", metavar="V", help="A version by name or number; default: the model's default version.")
@instance_file_options
@click.argument("photos", nargs=-1, metavar="[PHOTO]...")
@click.option("--server", metavar="URL", help="The server to ask (PENSTOCK_SERVER_URL, default this machine's 8501).")
@gcloud_flags
@format_option
@click.pass_context
def predict(
    ctx: click.Context,
    model: str,
    version: str | None,
    json_instances: Path | None,
    text_instances: Path | None,
    csv_instances: Path | None,
    photos: tuple[str, ...],
    server: str | None,
    output_format: str,
) -> None:
    """Ask a running `penstock serve`. One instance a line; `-` reads from standard input.

    A model of photos also takes photos themselves: penstock predict --model M a.jpg b.png
    """
    from penstock.client.client import Client

    settings = settings_of(ctx)
    file = read_photos_or_instances(
        photos, json_instances=json_instances, text_instances=text_instances, csv_instances=csv_instances
    )
    predictions: list[Any] = []
    with Client(server or settings.server_url, token=settings.token) as client:
        for start in range(0, len(file.instances), file.at_once):
            some = file.instances[start : start + file.at_once]
            try:
                predictions += client.predict(model, some, version=version)
            except (InstanceError, ServiceError) as error:
                # The index is of the request; a person looks for the line.
                if found := re.match(r"instance (\d+)\b", str(error)):
                    raise DataError(f"{file.place(start + int(found[1]))}: {error}") from error
                raise
    if output_format == "json":
        echo_json({"predictions": predictions})
    else:
        echo_predictions(predictions)


def echo_predictions(predictions: list[Any]) -> None:
    """As gcloud prints them: a column an output, or one called PREDICTIONS where the model has one output."""
    if predictions and all(isinstance(prediction, dict) for prediction in predictions):
        names = list(predictions[0])
        echo_table([name.upper() for name in names], [[_cell(row.get(name)) for name in names] for row in predictions])
    else:
        echo_table(["PREDICTIONS"], [[_cell(prediction)] for prediction in predictions])


def _cell(value: Any) -> str:
    """A list of one as its value: a regression answers `[24310.5]` a row."""
    if isinstance(value, list):
        return _cell(value[0]) if len(value) == 1 else "[" + ", ".join(map(_cell, value)) + "]"
    return str(value)
