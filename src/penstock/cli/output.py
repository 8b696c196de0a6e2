"""How commands print: results on stdout as text or JSON, everything else on stderr."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from penstock.errors import UsageError
from penstock.settings import Settings, load_settings

__all__ = ["echo_json", "echo_next", "echo_note", "echo_table", "format_option", "settings_of", "write_text"]

Command = TypeVar("Command", bound=Callable[..., Any])


def format_option(command: Command) -> Command:
    """Adds `--format text|json`, passed as `output_format`."""
    return click.option(
        "--format",
        "output_format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to print the result.",
    )(command)


def settings_of(ctx: click.Context) -> Settings:
    """The settings of this call: the environment, with `--project` over it."""
    said = ctx.find_root().obj or {}
    return load_settings(project=said.get("project"))


def echo_json(value: Any) -> None:
    """One JSON document on stdout; msgspec structs, dataclasses and NumPy scalars included."""
    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=_encode), indent=2)
    click.echo(text.decode())


def echo_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain aligned table on stdout, as gcloud prints lists."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max([len(header), *(len(row[i]) for row in cells)]) for i, header in enumerate(headers)]
    for row in [list(headers), *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all. Raises UsageError where that cannot be."""
    from penstock.store.blobs import replace_file

    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")  # /dev/stdout
        else:
            replace_file(path, text.encode())
    except OSError as error:
        raise UsageError(f"cannot write to {path}: {error.strerror}") from error


def echo_note(message: str) -> None:
    """Progress or a notice, on stderr."""
    click.echo(message, err=True)


def echo_next(command: str) -> None:
    """The command to type next, on stderr."""
    click.echo(f"next: {command}", err=True)


def _encode(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
