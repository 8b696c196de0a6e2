"""`penstock export`: a bundle in the form that another runtime takes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import click

from penstock.cli.output import echo_json, echo_next, echo_note, format_option, settings_of

if TYPE_CHECKING:
    from penstock.export.exported import Exported

__all__ = ["export"]

_TARGETS = {
    "onnx": "model.onnx",
    "savedmodel": "saved_model",
    "litert": "model.tflite",
    "docker": "docker",
    "kubernetes": "kubernetes",
}
"""What can be exported to, and what the result is called where --output does not say."""


@click.command(short_help="A bundle as ONNX, SavedModel, LiteRT, a Docker context or Kubernetes' objects.")
@click.argument("bundle", metavar="[BUNDLE]", required=False)
@click.option("--to", "target", type=click.Choice(list(_TARGETS)), required=True, help="What to make of it.")
@click.option("--output", metavar="PATH", help="File or folder to write; default by the target, here.")
@click.option("--model", metavar="M", help="A registered model in place of BUNDLE: its default version.")
@click.option("--version", metavar="V", help="Another version of --model, by name or number.")
@click.option("--name", metavar="NAME", help="What callers call the model; default --model, else 'model'.")
@click.option("--image", metavar="IMAGE", help="For kubernetes: where the cluster finds the image of --to docker.")
@click.option("--replicas", metavar="MIN:MAX", help="For kubernetes: fewest and most, default 1:4.")
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
    image: str | None,
    replicas: str | None,
    output_format: str,
) -> None:
    """Write BUNDLE (or an exporter's folder: its newest) in the form that another runtime takes.

    onnx: the graph, one named input a column. savedmodel, litert: the same for TensorFlow, of numbers and vocabularies,
    written where it answers as the bundle does (extra 'tensorflow'). docker: a folder that docker build makes a slim
    server image of. kubernetes: objects that run that image: Deployment, Service and HorizontalPodAutoscaler, and
    KServe's InferenceService.
    """
    from penstock.errors import UsageError

    if (bundle is None) == (model is None):
        raise UsageError("expected either a BUNDLE, such as output/export/Servo/1700000000, or --model NAME")
    if version is not None and model is None:
        raise UsageError("--version goes with --model")
    if name is not None and target == "onnx":
        raise UsageError("--name goes with --to docker and --to kubernetes, not with --to onnx")
    if target != "kubernetes" and (image is not None or replicas is not None):
        raise UsageError(f"--image and --replicas go with --to kubernetes, not with --to {target}")
    uri = bundle if bundle is not None else _registered(ctx, str(model), version)
    place = output or _TARGETS[target]
    made = _exporter(target, name or model or "model", image, replicas or "1:4")(uri, place)
    if output_format == "json":
        echo_json({"target": made.target, "output": made.place, "files": list(made.files), "notes": list(made.notes)})
        return
    click.echo(f"wrote {made.place}")
    for note in made.notes:
        echo_note(note)
    if made.next_command:
        echo_next(made.next_command)


def _exporter(target: str, model_name: str, image: str | None, replicas: str) -> "Callable[[str, str], Exported]":
    """The flow of a target, as a function of bundle and output."""
    match target:
        case "savedmodel" | "litert":
            from penstock.flows.export_tensorflow import export_tensorflow

            chosen: Literal["savedmodel", "litert"] = "savedmodel" if target == "savedmodel" else "litert"
            return lambda uri, output: export_tensorflow(uri, target=chosen, output=output)
        case "onnx":
            from penstock.flows.export_onnx import export_onnx

            return lambda uri, output: export_onnx(uri, output=output)
        case "kubernetes":
            from penstock.flows.export_kubernetes import export_kubernetes
            from penstock.serving.autoscaler import parse_scale

            bounds = parse_scale(replicas, flag="--replicas")
            return lambda uri, output: export_kubernetes(
                uri, output=output, model_name=model_name, image=image, replicas=bounds
            )
        case _:
            from penstock.flows.export_docker import export_docker

            return lambda uri, output: export_docker(uri, output=output, model_name=model_name)


def _registered(ctx: click.Context, model: str, version: str | None) -> str:
    """Where the registry keeps the bundle of a version."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        return registry.resolve(model, version).bundle_uri
