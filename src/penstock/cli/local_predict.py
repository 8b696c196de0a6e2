"""`penstock local predict`: asks a bundle about the rows of a file, in this process."""

from pathlib import Path

import click

from penstock.cli.instance_files import instance_file_options, read_photos_or_instances

__all__ = ["predict"]


@click.command(short_help="Ask a bundle, without a server.")
@click.option("--model-dir", required=True, metavar="URI", help="A bundle, or an exporter's folder: its newest.")
@instance_file_options
@click.argument("photos", nargs=-1, metavar="[PHOTO]...")
def predict(
    model_dir: str,
    json_instances: Path | None,
    text_instances: Path | None,
    csv_instances: Path | None,
    photos: tuple[str, ...],
) -> None:
    """Print `{"predictions": [...]}` for the instances of a file, as a prediction server would answer them.

    One instance a line; `-` reads from standard input. A model of photos also takes photos themselves.
    """
    from penstock.bundle.folder import find_bundle
    from penstock.errors import DataError, InstanceError
    from penstock.runtime.model import load_model
    from penstock.serving.answers import Answers

    file = read_photos_or_instances(
        photos, json_instances=json_instances, text_instances=text_instances, csv_instances=csv_instances
    )
    model = load_model(find_bundle(model_dir))
    parts = []
    for start in range(0, len(file.instances), file.at_once):
        try:
            batch = model.decode(file.instances[start : start + file.at_once])
        except InstanceError as error:
            if error.index is None:
                raise
            raise DataError(f"{file.place(start + error.index)}: {error}") from error
        parts.append(Answers(model.predict(batch)).rows(0, batch.rows, bare=True)[1:-1])
    click.echo(b'{"predictions": [' + b",".join(parts) + b"]}")
