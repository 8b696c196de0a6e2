"""Files of prediction instances, one a line: the flags that name them, and how they are read."""

import base64
import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.errors import DataError, NotFoundError, UsageError

__all__ = ["InstanceFile", "instance_file_options", "read_instances", "read_photos", "read_photos_or_instances"]

_ROWS_AT_ONCE = 1_000
_PHOTOS_AT_ONCE = 1

Command = TypeVar("Command", bound=Callable[..., Any])


def instance_file_options(command: Command) -> Command:
    """Adds `--json-instances`, `--text-instances` and `--csv-instances`, of which `read_instances` wants one."""
    file = click.Path(path_type=Path, allow_dash=True)
    of_json = click.option("--json-instances", type=file, metavar="FILE", help="A JSON object a line.")
    of_text = click.option(
        "--text-instances", type=file, metavar="FILE", help="For a model with one text input: a text a line."
    )
    of_csv = click.option("--csv-instances", type=file, metavar="FILE", help="CSV whose first line names the columns.")
    return of_json(of_text(of_csv(command)))


@dataclass(frozen=True)
class InstanceFile:
    """What a file holds, or several photos. lines: on which each instance ends, counted from 1; none of photos."""

    name: str
    instances: list[Any]
    lines: list[int]
    photos: tuple[str, ...] = ()

    @property
    def at_once(self) -> int:
        """How many to send together: photos are large."""
        return _PHOTOS_AT_ONCE if self.photos else _ROWS_AT_ONCE

    def place(self, index: int) -> str:
        """Where an instance stands, for messages."""
        if self.photos:
            return self.photos[index]
        return f"{self.name} line {self.lines[index]}"


def read_instances(
    *, json_instances: Path | None = None, text_instances: Path | None = None, csv_instances: Path | None = None
) -> InstanceFile:
    """The instances of the one file that is given; `-` is standard input.

    Raises UsageError unless one is given, NotFoundError, and DataError naming the file and the line that is wrong.
    """
    given = [path for path in (json_instances, text_instances, csv_instances) if path is not None]
    if len(given) != 1:
        raise UsageError("expected one of --json-instances FILE, --text-instances FILE and --csv-instances FILE")
    name, text = _read(given[0])
    if json_instances is not None:
        numbered = list(_json_lines(name, text))
    elif text_instances is not None:
        numbered = list(enumerate(text.removesuffix("\n").split("\n"), start=1)) if text else []
    else:
        numbered = list(_csv_rows(name, text))
    if not numbered:
        raise DataError(f"{name} holds no instances")
    return InstanceFile(name, [instance for _, instance in numbered], [line for line, _ in numbered])


def read_photos_or_instances(
    photos: Sequence[str], *, json_instances: Path | None, text_instances: Path | None, csv_instances: Path | None
) -> InstanceFile:
    """The photos that are named, or else the one file of instances. Raises as `read_instances` does."""
    if not photos:
        return read_instances(json_instances=json_instances, text_instances=text_instances, csv_instances=csv_instances)
    if json_instances or text_instances or csv_instances:
        raise UsageError("expected photos or a file of instances, not both")
    return read_photos(photos)


def read_photos(paths: Sequence[str]) -> InstanceFile:
    """Files of photos as instances. Raises NotFoundError, and DataError naming one that cannot be read."""
    instances = []
    for path in paths:
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError as error:
            raise NotFoundError(f"there is no file {path}") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        instances.append({"b64": base64.b64encode(content).decode()})
    return InstanceFile("photos", instances, [], tuple(paths))


def _read(path: Path) -> tuple[str, str]:
    """What to call the file in messages, and its text without a byte order mark."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return name, content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {name}") from error
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{name} line {line} is not UTF-8: byte {content[error.start]:#04x}; save it as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror or error}") from error


def _json_lines(name: str, text: str) -> Iterator[tuple[int, Any]]:
    # Not splitlines(): a JSON text may hold U+2028 and the like.
    lines = text.rstrip().split("\n")
    if lines == [""]:
        return
    if _is_one_array(text):
        raise DataError(f"{name} holds one JSON array; expected an object a line: jq -c '.[]' makes them")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DataError(f"{name} line {number} is empty; expected a JSON object")
        try:
            yield number, json.loads(line, parse_constant=_constant)
        except ValueError as error:
            shown = line.strip() if len(line) <= 60 else line.strip()[:60] + "…"
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise DataError(f"{name} line {number} is not JSON ({reason}): {shown}") from error


def _is_one_array(text: str) -> bool:
    """Whether the whole text is one array of objects, as many tools write them."""
    if not text.lstrip().startswith("["):
        return False
    try:
        return any(isinstance(item, dict) for item in json.loads(text))
    except ValueError:
        return False


def _constant(name: str) -> float:
    if name == "NaN":
        return float("nan")
    raise ValueError(f"{name} is not a value; a missing one is null")


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Spaces around names and cells do not count, as in a table; the server reads numbers; an empty cell is missing."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    columns: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            if columns is None:
                columns = [column.strip(" ") for column in row]
                twice = next((column for column in columns if columns.count(column) > 1), None)
                if twice is not None:
                    raise DataError(f"{name} line 1 names the column {twice!r} more than once")
                continue
            if len(row) != len(columns):
                raise DataError(
                    f"{name} line {reader.line_num} has {len(row)} cells; expected {len(columns)}, one for each column "
                    "of line 1"
                )
            yield reader.line_num, {column: cell.strip(" ") or None for column, cell in zip(columns, row, strict=True)}
    except csv.Error as error:
        raise DataError(f"{name} line {reader.line_num} is not CSV: {error}") from error
