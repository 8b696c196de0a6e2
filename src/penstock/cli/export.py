"""`penstock export`: a bundle in the form that another runtime takes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from penstock.cli.output import echo_json, echo_next, echo_note, format_option, settings_of

if TYPE_CHECKING:
    from penstock.export.exported import Exported

__all__ = ["export"]

_TARGETS = {
    "onnx": "model.onnx",
    "docker": "docker",
}
"""What can be exported to, and what the result is called where --output does not say."""


@click.command(short_help="A bundle as ONNX or a Docker context.")
@click.argument("bundle", metavar="[BUNDLE]", required=False)
@click.option("--to", "target", type=click.Choice(list(_TARGETS)), required=True, help="What to make of it.")
@click.option("--output", metavar="PATH", help="File or folder to write; default by the target, here.")
@click.option("--model", metavar="M", help="A registered model in place of BUNDLE: its default version.")
@click.option("--version", metavar="V", help="Another version of --model, by name or number.")
@click.option("--name", metavar="NAME", help="For docker: what callers call the model; default --model, else 'model'.")
@format_option
@click.pass_context
def export(
    ctx: click.Context,
    bundle: str | None,
    target: str,
    output: str | None,
    model: str | None,
    version: str | None,
    name: str | None,
    output_format: str,
) -> None:
    """Write BUNDLE (or an exporter's folder: its newest) in the form that another runtime takes.

    onnx: the graph, one named input a column. docker: a folder that docker build makes a slim server image of.
    """
    from penstock.errors import UsageError

    if (bundle is None) == (model is None):
        raise UsageError("expected either a BUNDLE, such as output/export/Servo/1700000000, or --model NAME")
    if version is not None and model is None:
        raise UsageError("--version goes with --model")
    if name is not None and target != "docker":
        raise UsageError(f"--name goes with --to docker, not with --to {target}")
    uri = bundle if bundle is not None else _registered(ctx, str(model), version)
    place = output or _TARGETS[target]
    made = _exporter(target, name or model or "model")(uri, place)
    if output_format == "json":
        echo_json({"target": made.target, "output": made.place, "files": list(made.files), "notes": list(made.notes)})
        return
    click.echo(f"wrote {made.place}")
    for note in made.notes:
        echo_note(note)
    if made.next_command:
        echo_next(made.next_command)


def _exporter(target: str, model_name: str) -> "Callable[[str, str], Exported]":
    """The flow of a target, as a function of bundle and output."""
    match target:
        case "onnx":
            from penstock.flows.export_onnx import export_onnx

            return lambda uri, output: export_onnx(uri, output=output)
        case _:
            from penstock.flows.export_docker import export_docker

            return lambda uri, output: export_docker(uri, output=output, model_name=model_name)


def _registered(ctx: click.Context, model: str, version: str | None) -> str:
    """Where the registry keeps the bundle of a version."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        return registry.resolve(model, version).bundle_uri
