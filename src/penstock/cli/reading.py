"""Flags that override what reading a table detects, and the notes that say what was detected."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from penstock.cli.output import echo_note
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.data.options import Detection

__all__ = ["echo_detections", "read_section", "reading_flags"]

Command = TypeVar("Command", bound=Callable[..., Any])

_FLAGS = (
    click.option("--delimiter", metavar="TEXT", help="Between the cells of a row."),
    click.option("--header/--no-header", default=None, help="Whether the first row names the columns."),
    click.option("--skip-lines", type=click.IntRange(0), metavar="N", help="Lines before the header."),
    click.option("--encoding", metavar="NAME", help="Of the text: utf-8, cp1252, utf-16 …"),
    click.option("--null", "null_marks", multiple=True, metavar="TEXT", help="Means missing; may be repeated."),
    click.option("--type", "types", multiple=True, metavar="COLUMN=TYPE", help="integer, float, boolean, string …"),
    click.option("--decimal", type=click.Choice([".", ","]), help="The decimal sign."),
    click.option("--timezone", metavar="ZONE", help="Of times without an offset, such as Europe/Madrid."),
    click.option("--bad-rows", type=click.Choice(["error", "reject"]), help="What to do with rows that do not fit."),
)

NAMES = ("delimiter", "header", "skip_lines", "encoding", "null_marks", "types", "decimal", "timezone", "bad_rows")


def reading_flags(command: Command) -> Command:
    """Adds the flags, passed by the names of `penstock.data.options.ReadOptions`."""
    for flag in reversed(_FLAGS):
        command = flag(command)
    return command


def read_section(given: dict[str, Any]) -> dict[str, Any]:
    """What was given, as the `read:` section of an experiment or recipe. Raises UsageError for a malformed --type."""
    section: dict[str, Any] = {name: given[name] for name in NAMES if given[name] not in (None, ())}
    if "null_marks" in section:
        section["null_marks"] = list(section["null_marks"])
    if "types" in section:
        section["types"] = dict(_column_and_type(text) for text in section["types"])
    return section


def echo_detections(detections: Iterable["Detection"]) -> None:
    """What was found out about the file as a whole, on stderr; each column's type stands in the result."""
    for detection in detections:
        if detection.what != "type":
            echo_note(str(detection))


def _column_and_type(text: str) -> tuple[str, str]:
    column, separator, data_type = text.rpartition("=")
    if not separator or not column:
        raise UsageError(f"--type is {text!r}; expected COLUMN=TYPE, such as zip=string")
    return column, data_type
