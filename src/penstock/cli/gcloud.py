"""Flags of `gcloud ml-engine` that every command takes, and the forms in which it takes lists and labels."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from penstock.cli.output import echo_note

__all__ = [
    "LABELS",
    "NAMES",
    "LabelsType",
    "NamesType",
    "confirm",
    "echo_yaml",
    "gcloud_flags",
    "ignored_option",
    "project_flags",
]

_QUIET = "penstock.quiet"

Command = TypeVar("Command", bound=Callable[..., Any])


class NamesType(click.ParamType[Any]):
    """`a,b,c`."""

    name = "NAME,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if not isinstance(value, str):
            return tuple(value)
        return tuple(part.strip() for part in value.split(",") if part.strip())


class LabelsType(click.ParamType[Any]):
    """`key=value,key=value`; a value may be empty, and hold `=`."""

    name = "KEY=VALUE,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        if not isinstance(value, str):
            return dict(value)
        labels: dict[str, str] = {}
        for part in value.split(","):
            key, sign, text = part.partition("=")
            if not sign or not key.strip():
                self.fail(f"{part!r} is not KEY=VALUE; expected for example team=data,stage=test", param, ctx)
            labels[key.strip()] = text.strip()
        return labels


NAMES = NamesType()
LABELS = LabelsType()


def gcloud_flags(command: Command) -> Command:
    """Adds what gcloud takes behind any command: `--project`, `--quiet`, and `--region`, which means nothing here."""
    region = ignored_option("--region", reason="models are kept and served where Penstock runs")
    return project_flags(region(command))


def project_flags(command: Command) -> Command:
    """Adds `--project` and `--quiet`."""
    project = click.option(
        "--project",
        metavar="P",
        hidden=True,
        expose_value=False,
        callback=_set_project,
        help="As `penstock --project`.",
    )
    quiet = click.option(
        "--quiet", "-q", is_flag=True, expose_value=False, callback=_set_quiet, help="Do not ask before deleting."
    )
    return project(quiet(command))


def ignored_option(*names: str, reason: str, is_flag: bool = False) -> Callable[[Command], Command]:
    """A flag of gcloud's that is taken and has no effect; using it prints why."""

    def note(_ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value:
            echo_note(f"note: {param.opts[0]} has no effect: {reason}")

    return click.option(
        *names,
        is_flag=is_flag,
        expose_value=False,
        callback=note,
        metavar=None if is_flag else "…",
        help=f"No effect: {reason}.",
    )


def confirm(ctx: click.Context, what: str) -> None:
    """Asks a person before `what` is done, unless `--quiet`; scripts are not asked, as by gcloud. Aborts on no."""
    if not ctx.meta.get(_QUIET) and sys.stdin.isatty():
        click.confirm(f"This will {what}. Do you want to continue?", default=True, abort=True, err=True)


def echo_yaml(value: object) -> None:
    """One YAML document on stdout, as gcloud describes things."""
    import msgspec
    import yaml

    click.echo(yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, allow_unicode=True), nl=False)


def _set_quiet(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    ctx.meta[_QUIET] = value


def _set_project(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.find_root().ensure_object(dict)["project"] = value
