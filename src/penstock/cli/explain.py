"""`penstock explain`: asks a prediction server which columns its predictions for the rows of a file come from."""

from pathlib import Path

import click

from penstock.cli.gcloud import gcloud_flags
from penstock.cli.instance_files import instance_file_options, read_instances
from penstock.cli.output import echo_json, echo_note, echo_table, format_option, settings_of

__all__ = ["explain"]


@click.command(short_help="Which columns a prediction comes from.")
@click.option("--model", required=True, metavar="M", help="The model to ask.")
@click.option("--version", metavar="V", help="A version by name or number; default: the model's default version.")
@instance_file_options
@click.option("--paths", type=click.IntRange(1), metavar="N", help="Random orders of the columns tried for each row.")
@click.option("--server", metavar="URL", help="The server to ask (PENSTOCK_SERVER_URL, default this machine's 8501).")
@gcloud_flags
@format_option
@click.pass_context
def explain(
    ctx: click.Context,
    model: str,
    version: str | None,
    json_instances: Path | None,
    text_instances: Path | None,
    csv_instances: Path | None,
    paths: int | None,
    server: str | None,
    output_format: str,
) -> None:
    """Print for every row what each column adds to the prediction, against real rows of the training data.

    The values of a row add up to its score minus the mean score of those rows. They are exact for boosted trees, and
    sampled for other models: more --paths make them steadier.
    """
    from penstock.client.client import Client

    settings = settings_of(ctx)
    file = read_instances(json_instances=json_instances, text_instances=text_instances, csv_instances=csv_instances)
    with Client(server or settings.server_url, token=settings.token) as client:
        explanations = client.explain(model, file.instances, version=version, paths=paths)
    if output_format == "json":
        echo_json({"explanations": explanations})
        return
    for index, one in enumerate(explanations):
        of_label = f" of {one['label']}" if "label" in one else ""
        echo_note(
            f"{file.place(index)}: {one['output_name']}{of_label} {one['example_score']:.6g}, "
            f"{one['baseline_score']:.6g} on average"
        )
        ordered = sorted(one["attributions"].items(), key=lambda item: -abs(item[1]))
        echo_table(["COLUMN", "ADDS"], [[name, f"{value:+.6g}"] for name, value in ordered])
