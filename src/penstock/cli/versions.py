"""`penstock versions`: bundles registered under a model, in the words of `gcloud ml-engine versions`."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.gcloud import (
    LABELS,
    NAMES,
    confirm,
    echo_yaml,
    gcloud_flags,
    ignored_option,
)
from penstock.cli.output import echo_json, echo_next, echo_note, echo_table, format_option, settings_of
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.registry.records import Version
    from penstock.store.blobs import Progress

__all__ = ["versions"]

Command = TypeVar("Command", bound=Callable[..., Any])

_WORTH_A_BAR_BYTES = 100_000_000


@click.group(short_help="Create, list, describe and delete versions of a model.")
def versions() -> None:
    """A version is a bundle registered under a model, by a name of its own and a number that counts up."""


def model_option(command: Command) -> Command:
    return click.option("--model", required=True, metavar="M", help="The model that the version is of.")(command)


@versions.command(short_help="Register a bundle as a version.")
@click.argument("version")
@model_option
@click.option("--origin", metavar="URI", help="A bundle, an exporter's folder, or a model to import.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings as YAML; flags win.")
@click.option("--description", help="What is particular about the version.")
@click.option("--labels", type=LABELS, help="Labels to find it by.")
@click.option("--framework", metavar="F", help="Kept for the record.")
@click.option("--runtime-version", metavar="V", help="Kept for the record.")
@click.option("--python-version", metavar="V", help="Kept for the record.")
@click.option("--machine-type", metavar="T", help="Kept for the record.")
@ignored_option("--staging-bucket", reason="the bundle is copied straight into the registry")
@ignored_option("--async", reason="the version is ready when the command returns", is_flag=True)
@gcloud_flags
@format_option
@click.pass_context
def create(
    ctx: click.Context,
    /,
    version: str,
    model: str,
    origin: str | None,
    config: Path | None,
    output_format: str,
    **flags: Any,
) -> None:
    """Copy a bundle into the registry, check its digests, and register it as VERSION."""
    import msgspec

    from penstock.cli.version_config import VersionConfig, read_version_config
    from penstock.flows.publish import publish
    from penstock.registry.records import Requested

    asked = msgspec.structs.replace(
        read_version_config(config) if config else VersionConfig(),
        **{name: value for name, value in flags.items() if value is not None},
        **({"deployment_uri": origin} if origin else {}),
    )
    if not asked.deployment_uri:
        raise UsageError(
            "there is no bundle to register: expected --origin BUNDLE, such as output/export/Servo/1700000000, "
            "or a deploymentUri in --config"
        )
    settings = settings_of(ctx)
    with _copy_progress(asked.deployment_uri) as progress:
        made = publish(
            asked.deployment_uri,
            model=model,
            version_name=version,
            make_model=False,
            description=asked.description,
            labels=asked.labels,
            requested=Requested(**{name: getattr(asked, name) for name in Requested.__struct_fields__}),
            settings=settings,
            progress=progress,
        )
    echo_note(f"copied {made.origin_uri}")
    is_default = ", the default" if made.is_default else ""
    _echo(made, f"created version {version} of model {model} (number {made.number}{is_default})", output_format)
    echo_next(f"penstock serve, then: penstock predict --model {model} --json-instances FILE")


@versions.command("list", short_help="List the versions of a model.")
@model_option
@click.option("--filter", "matching", metavar="EXPRESSION", help="name:v* AND labels.stage=test")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@gcloud_flags
@format_option
@click.pass_context
def list_(ctx: click.Context, model: str, matching: str | None, limit: int | None, output_format: str) -> None:
    """List the versions of a model, those being created or deleted included."""
    from penstock.registry.registry import open_registry
    from penstock.registry.resources import unfinished_resource, version_resource

    with open_registry(settings_of(ctx)) as registry:
        page = registry.list_versions(model, matching=matching, page_size=limit)
        found = [version_resource(version) for version in page.items]
        if matching is None and page.next_page_token is None:
            found += [unfinished_resource(version) for version in registry.list_unfinished(model)]
    if output_format == "json":
        echo_json(found)
        return
    if not found:
        echo_note("Listed 0 items.")
        return
    echo_table(
        ["NAME", "DEPLOYMENT_URI", "STATE", "NUMBER", "DEFAULT"],
        [
            [
                version.name.rpartition("/")[2],
                version.deployment_uri,
                version.state,
                version.number,
                "yes" if version.is_default else "",
            ]
            for version in found
        ],
    )


@versions.command()
@click.argument("version")
@model_option
@gcloud_flags
@format_option
@click.pass_context
def describe(ctx: click.Context, version: str, model: str, output_format: str) -> None:
    """Show a version and where it came from. VERSION is a name or a number."""
    from penstock.registry.registry import open_registry
    from penstock.registry.resources import version_resource

    with open_registry(settings_of(ctx)) as registry:
        resource = version_resource(registry.resolve(model, version))
    (echo_json if output_format == "json" else echo_yaml)(resource)


@versions.command(short_help="Delete a version.")
@click.argument("version")
@model_option
@gcloud_flags
@format_option
@click.pass_context
def delete(ctx: click.Context, version: str, model: str, output_format: str) -> None:
    """Delete a version and the registry's copy of its bundle; the bundle it was made from stays."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        found = registry.resolve(model, version)
        confirm(ctx, f"delete version {found.name!r} of model {model!r}")
        registry.delete_version(model, found.number)
    if output_format == "json":
        echo_json({"name": f"projects/{found.project}/models/{model}/versions/{found.name}", "deleted": True})
    else:
        click.echo(f"deleted version {found.name} of model {model}")


@versions.command("set-default", short_help="Make a version answer when none is named.")
@click.argument("version")
@model_option
@gcloud_flags
@format_option
@click.pass_context
def set_default(ctx: click.Context, version: str, model: str, output_format: str) -> None:
    """Make VERSION answer when no version is named. Running servers follow within a second or two."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        changed = registry.set_default(model, version)
    _echo(changed, f"version {changed.name} is now the default of model {model}", output_format)


@versions.command("rollback", short_help="Go back to the version that was the default before.")
@model_option
@gcloud_flags
@format_option
@click.pass_context
def rollback(ctx: click.Context, model: str, output_format: str) -> None:
    """Make the version answer again that did before the default was last changed, and end any split or shadow.

    Running servers follow within a second or two, and no request fails. Doing it twice undoes it.
    """
    from penstock.registry.registry import open_registry
    from penstock.serving.traffic import SHADOW_LABEL, TRAFFIC_LABEL

    with open_registry(settings_of(ctx)) as registry:
        changed = registry.roll_back(model, without_labels=(TRAFFIC_LABEL, SHADOW_LABEL))
    _echo(changed, f"version {changed.name} is the default of model {model} again", output_format)


@versions.command()
@click.argument("version")
@model_option
@click.option("--description", help="What is particular about the version.")
@click.option("--update-labels", type=LABELS, default={}, help="Labels to set.")
@click.option("--remove-labels", type=NAMES, default=(), metavar="KEY,…", help="Labels to take away.")
@click.option("--clear-labels", is_flag=True, help="Take all labels away first.")
@gcloud_flags
@format_option
@click.pass_context
def update(
    ctx: click.Context,
    version: str,
    model: str,
    description: str | None,
    update_labels: dict[str, str],
    remove_labels: tuple[str, ...],
    clear_labels: bool,
    output_format: str,
) -> None:
    """Change a version's description and labels."""
    from penstock.registry.registry import open_registry

    with open_registry(settings_of(ctx)) as registry:
        cleared = registry.resolve(model, version).labels if clear_labels else {}
        changed = registry.update_version(
            model,
            version,
            description=description,
            labels={**dict.fromkeys([*cleared, *remove_labels]), **update_labels},
        )
    _echo(changed, f"updated version {changed.name} of model {model}", output_format)


@contextmanager
def _copy_progress(origin: str) -> "Generator[Progress | None]":
    """A bar on a terminal while a bundle is copied that takes more than a moment."""
    from penstock.bundle.folder import find_bundle
    from penstock.flows.import_model import is_foreign
    from penstock.store import blobs

    if is_foreign(origin):
        echo_note(f"making a bundle of {origin}")
        yield None
        return
    total_bytes = sum(blobs.list_files(find_bundle(origin)).values())
    if total_bytes < _WORTH_A_BAR_BYTES or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("copying"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("copying", total=total_bytes)
        yield lambda size_bytes: bar.advance(task, size_bytes)


def _echo(version: "Version", message: str, output_format: str) -> None:
    from penstock.registry.resources import version_resource

    if output_format == "json":
        echo_json(version_resource(version))
    else:
        click.echo(message)
