"""Writes the files that a user starts from: an experiment, a trainer package, or the packaged example."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from shlex import quote
from typing import Any

from penstock.bundle.manifest import Task
from penstock.data.databases import without_password
from penstock.data.options import Detection
from penstock.data.profile import ColumnProfile, TableProfile
from penstock.data.profiler import profile_table
from penstock.data.recipe.document import read_options
from penstock.data.recipe.prepared import with_noted_types
from penstock.data.schema import DataType, Schema
from penstock.data.table import open_table
from penstock.errors import AlreadyExistsError, NotFoundError, UsageError
from penstock.settings import Settings
from penstock.training.task import InferredTask, check_label, infer_task

__all__ = ["EXAMPLES", "Written", "write_example", "write_experiment", "write_trainer"]

EXAMPLES = ("housing",)
_EXAMPLE_LABEL = "MEDV"


@dataclass(frozen=True)
class Written:
    """What was written, the command that comes next, and what was found out about the table."""

    paths: tuple[Path, ...]
    next_command: str
    detections: tuple[Detection, ...] = ()


def write_experiment(
    source: str,
    *,
    label: str,
    settings: Settings,
    output: Path | None = None,
    overwrite: bool = False,
    read: Mapping[str, Any] | None = None,
) -> Written:
    """Writes an experiment file for a table, every line explained by what was found in the table.

    output: the file; by default the table's name with `.yaml`, in the current folder. read: overrides of what reading
        detects, by the names of ReadOptions; they are kept in the file.
    Raises AlreadyExistsError rather than overwrite, DataError where the label is not a column of the table.
    """
    given, source = source, without_password(source)
    path = output or Path(f"{stem_of(source)}.yaml")
    _refuse_existing([path], overwrite=overwrite)
    look = _look(given, label, settings, read or {})
    place = source if "://" in source else os.path.relpath(source, path.parent)
    path.write_text(experiment_text(place, label=label, look=look, read=read or {}, path=path))
    command = f"penstock train {quote(str(path))} --register {model_name_of(stem_of(source))}"
    return Written((path,), command, look.detections)


def write_trainer(
    source: str,
    *,
    label: str,
    settings: Settings,
    output: Path | None = None,
    overwrite: bool = False,
    read: Mapping[str, Any] | None = None,
) -> Written:
    """Writes a trainer package for a table: `trainer/task.py`, to be changed at will, run by `penstock local train`."""
    folder = output or Path("trainer")
    if not re.fullmatch(r"[A-Za-z_]\w*", folder.name):
        raise UsageError(f"{str(folder)!r} cannot be the name of a Python package; expected letters, digits and _")
    paths = [folder / "__init__.py", folder / "task.py"]
    _refuse_existing(paths, overwrite=overwrite)
    look = _look(source, label, settings, read or {})
    place = without_password(source) if "://" in source else str(Path(source).absolute())
    template = files("penstock.flows").joinpath("templates", "trainer_task.py.txt").read_text(encoding="utf-8")
    columns = [name for name in look.schema.names if name != label and not _left_out(look.profile[name])]
    classifier = look.inferred.task is not Task.REGRESSION
    text = (
        template.replace("@SOURCE@", json.dumps(place, ensure_ascii=False))
        .replace("@OPTIONS@", f', options=read_options({json.dumps(read)}, place="this trainer")' if read else "")
        .replace("@IMPORTS@", "from penstock.data.recipe.document import read_options\n" if read else "")
        .replace("@LABEL@", json.dumps(label, ensure_ascii=False))
        .replace("@FEATURES@", _python_list(columns))
        .replace("@ESTIMATOR@", "DNNClassifier" if classifier else "DNNRegressor")
    )
    folder.mkdir(parents=True, exist_ok=True)
    paths[0].write_text("")
    paths[1].write_text(text, encoding="utf-8")
    module = f"{folder.name}.task"
    command = f"penstock local train --module-name {module} --package-path {quote(str(folder))} -- --output_dir output"
    return Written(tuple(paths), command, look.detections)


def write_example(name: str, *, folder: Path, overwrite: bool = False) -> Written:
    """Copies the packaged example: `housing.csv` and `records.json`, the lab's two records."""
    if name not in EXAMPLES:
        raise NotFoundError(f"there is no example {name!r}; there is {', '.join(EXAMPLES)}")
    paths = {"housing_lab.csv": folder / "housing.csv", "housing_records.json": folder / "records.json"}
    _refuse_existing(list(paths.values()), overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    for packaged, path in paths.items():
        with as_file(files("penstock.data").joinpath("packaged", packaged)) as original:
            shutil.copyfile(original, path)
    return Written(
        tuple(paths.values()), f"penstock init {quote(str(paths['housing_lab.csv']))} --label {_EXAMPLE_LABEL}"
    )


def experiment_text(source: str, *, label: str, look: "_Look", read: Mapping[str, Any], path: Path) -> str:
    """The experiment file as text. All names and values are written as YAML strings, whatever they hold."""
    profile, schema, inferred = look.profile, look.schema, look.inferred
    estimator = "DNNRegressor" if inferred.task is Task.REGRESSION else "DNNClassifier"
    lines = [
        "# An experiment: what to learn, from which table, and how.",
        f"#   penstock train {path}",
        f"#   penstock train {path} --register {model_name_of(stem_of(source))}",
        "",
        "data:",
        f"  source: {_yaml(source)}  # {profile.rows:,} rows, {len(schema)} columns; a file, a glob, a URI, or a list",
        "  # evaluation: other.csv  # rows to evaluate on; without it, `split` holds some out",
        f"  read: {json.dumps(read)}  # overrides of what reading the file detects"
        if read
        else "  # read: {delimiter: ';', null_marks: ['?']}  # overrides of what reading the file detects",
        "",
        *_label_lines(profile[label]),
        f"task: {inferred.task}  # {inferred.reason}",
        "",
        "# How each column is treated: auto, numeric, categorical, embedding, hashed, or drop.",
        "features:",
    ]
    entries = [(name, profile[name]) for name in schema.names if name != label]
    width = max((len(_yaml(name)) for name, _ in entries), default=0)
    for name, column in entries:
        reason = _left_out(column)
        treatment = "drop" if reason else "auto"
        lines.append(f"  {_yaml(name) + ':':<{width + 1}} {treatment}  # {describe(column)}{reason}")
    lines += [
        "",
        "estimator:",
        f"  type: {estimator}  # a class of penstock.estimator; its arguments stand below",
        "  hidden_units: [64, 64]",
        "",
        "training:",
        "  # max_steps: 3000  # optimizer steps; without it, as many as the number of rows calls for",
        "  # batch_size: 128  # rows a step, or all",
        "  seed: 0",
        "",
        "split:",
        "  evaluation: 0.2  # share of the rows held out to measure the error",
        "  seed: 0",
        "",
        "# What callers send, where it is not the columns above; compiled to steps in front of the model.",
        "# serving:",
        "#   rename: {rooms: RM}  # the caller's name: the model's",
        "#   rescale: {TAX: {multiply: 100}}  # the caller sends hundreds",
        "",
    ]
    return "\n".join(lines)


def _label_lines(label: ColumnProfile) -> list[str]:
    if not label.missing:
        return [f"label: {_yaml(label.name)}"]
    return [
        "label:",
        f"  name: {_yaml(label.name)}",
        f"  missing: drop  # {label.missing:,} rows have none and are left out; or error",
    ]


def describe(column: ColumnProfile) -> str:
    """A column in a few words: its type, its range or its commonest values, what is missing."""
    words = [str(column.type)]
    if column.type is DataType.STRING:
        words.append(f"{column.distinct:,} different")
        common = [_inline(str(value.value)) for value in column.values[:3]]
        if common:
            words.append(", ".join(common) + (" …" if column.distinct > len(common) else ""))
    elif column.type is not DataType.TIMESTAMP and column.min is not None and column.max is not None:
        words.append(f"{column.min:.6g} … {column.max:.6g}")
    if column.missing:
        words.append(f"{column.missing:,} missing")
    return ", ".join(words)


def stem_of(source: str) -> str:
    """The name of a file without folders, wildcards and endings."""
    name = re.split(r"[/\\]", source.rstrip("/"))[-1].split(".")[0]
    return re.sub(r"\W+", "_", name).strip("_") or "experiment"


def model_name_of(stem: str) -> str:
    """A valid model name near this one: letters, digits and underscores, a letter first."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", stem).strip("_")
    return name if re.match(r"[A-Za-z]", name) else f"model_{name}".rstrip("_")


@dataclass(frozen=True)
class _Look:
    """What one look at all rows of a table told."""

    profile: TableProfile
    schema: Schema
    inferred: InferredTask
    detections: tuple[Detection, ...]


def _look(source: str, label: str, settings: Settings, read: Mapping[str, Any]) -> _Look:
    options = with_noted_types(read_options(dict(read), place="the overrides of reading"), source)
    with closing(open_table(source, settings=settings, options=options)) as table:
        check_label(table.schema, label, source=without_password(source))
        profile = profile_table(table)
        detections = (*table.detections, *_password_left_out(source))
        return _Look(profile, table.schema, infer_task(profile[label]), detections)


def _password_left_out(source: str) -> list[Detection]:
    bare = without_password(source)
    if bare == source:
        return []
    how = "the password is not written; before training, put it into PGPASSWORD or the file ~/.pgpass"
    return [Detection(what="source", value=bare, how=how)]


def _left_out(column: ColumnProfile) -> str:
    """Why nothing can be learned from a column; empty where something can."""
    if column.present == 0:
        return "; no value in any row"
    if column.distinct == 1 and not column.missing:
        return "; the same value in every row"
    if column.type is DataType.STRING and column.distinct > 0.95 * column.present and column.present > 20:
        return "; nearly every row has its own"
    return ""


def _refuse_existing(paths: Sequence[Path], *, overwrite: bool) -> None:
    for path in paths:
        if path.exists() and not overwrite:
            raise AlreadyExistsError(f"{str(path)!r} exists already; pass --overwrite, or name another with --output")


def _yaml(text: str) -> str:
    """A YAML scalar that reads back as exactly this string."""
    plain = re.fullmatch(r"[A-Za-z_][\w./ -]*", text) and not text.endswith(" ")
    if plain and text.lower() not in {
        "y",
        "n",
        "yes",
        "no",
        "on",
        "off",
        "true",
        "false",
        "null",
        "none",
        "nan",
        "inf",
    }:
        return text
    return json.dumps(text, ensure_ascii=True)


def _inline(text: str) -> str:
    """Fit for a comment on one line."""
    short = text if len(text) <= 24 else text[:23] + "…"
    return "".join(character if character.isprintable() else "?" for character in short)


def _python_list(names: Sequence[str]) -> str:
    return "[" + ", ".join(json.dumps(name, ensure_ascii=False) for name in names) + "]"
