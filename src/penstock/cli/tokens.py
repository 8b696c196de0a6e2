"""`penstock tokens`: who may ask a prediction server that others can reach."""

from pathlib import Path
from shlex import quote
from typing import cast

import click

from penstock.cli.output import echo_json, echo_next, echo_note, echo_table, format_option, settings_of
from penstock.serving.tokens import SCOPES, Scope, TokenFile

__all__ = ["tokens"]

_file_option = click.option(
    "--tokens-file",
    "--file",
    "path",
    type=click.Path(path_type=Path),
    help="As penstock serve takes it; default tokens.json in PENSTOCK_HOME.",
)


@click.group(short_help="Create, list and revoke tokens of prediction servers.")
def tokens() -> None:
    """Tokens for `penstock serve --tokens-file`. The file keeps digests; a token is shown once, when it is made."""


@tokens.command()
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(SCOPES), multiple=True, default=("predict",), help="Repeatable.")
@click.option("--model", "models", multiple=True, metavar="M", help="Only for this model. Repeatable.")
@_file_option
@click.pass_context
def create(ctx: click.Context, name: str, scopes: tuple[str, ...], models: tuple[str, ...], path: Path | None) -> None:
    """Print a new token called NAME. Running servers know it within a second."""
    file = _file(ctx, path)
    click.echo(file.create(name, scopes=cast(tuple[Scope, ...], scopes), models=models))
    echo_note(
        f"token {name!r} allows {', '.join(scopes)} of {', '.join(models) or 'every model'}; it is not shown again"
    )
    echo_next(f"penstock serve --host 0.0.0.0 --tokens-file {quote(str(file.path))}")


@tokens.command(name="list")
@_file_option
@format_option
@click.pass_context
def list_tokens(ctx: click.Context, path: Path | None, output_format: str) -> None:
    """List tokens by name, with what they allow."""
    grants = _file(ctx, path).read()
    if output_format == "json":
        echo_json([{"name": g.name, "scopes": g.scopes, "models": g.models, "created": g.created} for g in grants])
    else:
        rows = [[g.name, ",".join(g.scopes), ",".join(g.models) or "all", g.created] for g in grants]
        echo_table(["NAME", "SCOPES", "MODELS", "CREATED"], rows)


@tokens.command()
@click.argument("name")
@_file_option
@click.pass_context
def revoke(ctx: click.Context, name: str, path: Path | None) -> None:
    """Make a token worthless. Running servers know within a second."""
    _file(ctx, path).revoke(name)
    echo_note(f"token {name!r} is revoked")


def _file(ctx: click.Context, path: Path | None) -> TokenFile:
    return TokenFile(path or settings_of(ctx).home / "tokens.json")
