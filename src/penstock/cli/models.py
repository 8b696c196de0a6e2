"""`penstock models`: names under which versions are served, in the words of `gcloud ml-engine models`."""

from typing import TYPE_CHECKING

import click

from penstock.cli.gcloud import LABELS, NAMES, confirm, echo_yaml, gcloud_flags
from penstock.cli.output import echo_json, echo_next, echo_note, echo_table, format_option, settings_of

if TYPE_CHECKING:
    from penstock.registry.records import Model

__all__ = ["models"]


@click.group(short_help="Create, list, describe and delete models.")
def models() -> None:
    """A model is a name under which versions are served; one of them, the default, answers when none is named."""


@models.command()
@click.argument("model")
@click.option("--regions", type=NAMES, default=(), metavar="R", help="Kept for the record; models are served here.")
@click.option("--description", default="", help="What the model is for.")
@click.option("--labels", type=LABELS, default={}, help="Labels to find it by.")
@click.option("--enable-logging", is_flag=True, help="Kept for the record (onlinePredictionLogging).")
@click.option("--enable-console-logging", is_flag=True, help="Kept for the record (onlinePredictionConsoleLogging).")
@gcloud_flags
@format_option
@click.pass_context
def create(
    ctx: click.Context,
    model: str,
    regions: tuple[str, ...],
    description: str,
    labels: dict[str, str],
    enable_logging: bool,
    enable_console_logging: bool,
    output_format: str,
) -> None:
    """Make a model without versions."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        made = registry.create_model(
            model,
            description=description,
            labels=labels,
            regions=regions,
            logging=enable_logging,
            console_logging=enable_console_logging,
        )
    _echo(made, f"created model {model}", output_format)
    echo_next(f"penstock versions create v1 --model {model} --origin BUNDLE")


@models.command("list")
@click.option("--filter", "matching", metavar="EXPRESSION", help="name:housing* AND labels.team=data")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@gcloud_flags
@format_option
@click.pass_context
def list_(ctx: click.Context, matching: str | None, limit: int | None, output_format: str) -> None:
    """List the models of the project."""
    from penstock.registry.registry import open_registry
    from penstock.registry.resources import model_resource

    with open_registry(settings_of(ctx)) as registry:
        found = registry.list_models(matching=matching, page_size=limit).items
    if output_format == "json":
        echo_json([model_resource(model) for model in found])
        return
    if not found:
        echo_note("Listed 0 items.")
        return
    echo_table(
        ["NAME", "DEFAULT_VERSION_NAME"],
        [[model.name, "" if model.default_version is None else model.default_version.name] for model in found],
    )


@models.command()
@click.argument("model")
@gcloud_flags
@format_option
@click.pass_context
def describe(ctx: click.Context, model: str, output_format: str) -> None:
    """Show a model, its default version, and where that came from."""
    from penstock.registry.registry import open_registry
    from penstock.registry.resources import model_resource

    with open_registry(settings_of(ctx)) as registry:
        resource = model_resource(registry.get_model(model))
    (echo_json if output_format == "json" else echo_yaml)(resource)


@models.command()
@click.argument("model")
@gcloud_flags
@format_option
@click.pass_context
def delete(ctx: click.Context, model: str, output_format: str) -> None:
    """Delete a model that has no versions."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        registry.get_model(model)
        confirm(ctx, f"delete model {model!r}")
        registry.delete_model(model)
        name = f"projects/{registry.project}/models/{model}"
    if output_format == "json":
        echo_json({"name": name, "deleted": True})
    else:
        click.echo(f"deleted model {model}")


@models.command()
@click.argument("model")
@click.option("--description", help="What the model is for.")
@click.option("--update-labels", type=LABELS, default={}, help="Labels to set.")
@click.option("--remove-labels", type=NAMES, default=(), metavar="KEY,…", help="Labels to take away.")
@click.option("--clear-labels", is_flag=True, help="Take all labels away first.")
@gcloud_flags
@format_option
@click.pass_context
def update(
    ctx: click.Context,
    model: str,
    description: str | None,
    update_labels: dict[str, str],
    remove_labels: tuple[str, ...],
    clear_labels: bool,
    output_format: str,
) -> None:
    """Change a model's description and labels."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        cleared = registry.get_model(model).labels if clear_labels else {}
        changed = registry.update_model(
            model, description=description, labels={**dict.fromkeys([*cleared, *remove_labels]), **update_labels}
        )
    _echo(changed, f"updated model {model}", output_format)


def _echo(model: "Model", message: str, output_format: str) -> None:
    from penstock.registry.resources import model_resource

    if output_format == "json":
        echo_json(model_resource(model))
    else:
        click.echo(message)
