"""Recipe files: YAML to a recipe and back, with errors that name the line. JSON is YAML.

source: rides.csv
steps:
  - filter: fare > 0
  - derive: {fare_per_km: fare / km}
output: {format: parquet}
"""

import re
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import yaml

from penstock.data.databases import starting_from
from penstock.data.documents import explain
from penstock.data.options import ReadOptions
from penstock.data.recipe.recipe import OtherTable, Output, Recipe
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.registry import STEPS
from penstock.errors import ConfigError, PenstockError, did_you_mean

__all__ = ["load_recipe", "read_options", "read_recipe", "recipe_text", "written_recipe"]

LARGEST_FILE_BYTES = 1_000_000

_SECTIONS = ("source", "read", "tables", "steps", "output")


def load_recipe(path: Path) -> Recipe:
    """The recipe in a file; relative paths in it are taken from the file's folder.

    Raises ConfigError naming the file, the line and what does not fit.
    """
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ConfigError(f"{path} has {path.stat().st_size:,} bytes; a recipe has at most {LARGEST_FILE_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"there is no recipe file {str(path)!r}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe file {str(path)!r} cannot be read: {error}") from None
    return read_recipe(text, name=str(path), folder=path.parent)


def read_recipe(text: str, *, name: str = "recipe", folder: Path | None = None) -> Recipe:
    """The recipe in a YAML or JSON text. name: what messages call it. Raises as `load_recipe` does.

    folder: what relative paths in it are relative to; None for the working directory.
    """
    try:
        root = yaml.compose(text, _Loader)
        content = _Loader("").construct_document(root) if root is not None else None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply to be a recipe") from None
    if root is None or not isinstance(content, dict) or "steps" not in content:
        raise ConfigError(f"{name} holds no recipe; expected at least a list of 'steps'")
    unknown = next((key for key in content if key not in _SECTIONS), None)
    if unknown is not None:
        raise ConfigError(
            f"{name} has no section {unknown!r}; it may have {', '.join(_SECTIONS)}"
            f"{did_you_mean(str(unknown), _SECTIONS)}"
        )
    tables = {
        key: _section(value if isinstance(value, dict) else {"source": value}, OtherTable, f"{name}, table {key!r}")
        for key, value in _mapping(content.get("tables") or {}, f"{name}, tables").items()
    }
    recipe = Recipe(
        source=_section(content.get("source"), str | tuple[str, ...] | None, f"{name}, source"),
        read=_mapping(content.get("read") or {}, f"{name}, read"),
        tables=tables,
        steps=tuple(_steps(content["steps"], _step_lines(root), name)),
        output=_output(content.get("output") or {}, f"{name}, output"),
    )
    for section, options in (("read", recipe.read), *((f"table {key!r}", item.read) for key, item in tables.items())):
        read_options(options, place=f"{name}, {section}")
    return recipe if folder is None else recipe.placed(partial(starting_from, folder))


def written_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain lists, mappings and scalars: what `recipe_text` writes, and JSON can hold."""
    document: dict[str, Any] = {}
    if recipe.source is not None:
        document["source"] = recipe.source if isinstance(recipe.source, str) else list(recipe.source)
    if recipe.read:
        document["read"] = dict(recipe.read)
    if recipe.tables:
        document["tables"] = {name: msgspec.to_builtins(item) for name, item in recipe.tables.items()}
    document["steps"] = [step.written() for step in recipe.steps]
    if recipe.output != Output():
        document["output"] = msgspec.to_builtins(recipe.output)
    return document


def recipe_text(recipe: Recipe) -> str:
    """The recipe as YAML, which `read_recipe` takes back."""
    return str(
        yaml.dump(
            written_recipe(recipe),
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=110,
            default_flow_style=None,
        )
    )


def read_options(options: dict[str, Any] | Any, *, place: str) -> ReadOptions:
    """Overrides of what reading a table detects. Raises ConfigError naming an option that does not exist or fit."""
    known = ReadOptions.__dataclass_fields__
    unknown = next((name for name in options if name not in known), None)
    if unknown is not None:
        raise ConfigError(
            f"{place}: there is no option {unknown!r}; there are {', '.join(known)}{did_you_mean(str(unknown), known)}"
        )
    read: ReadOptions = _section(dict(options), ReadOptions, place)
    return read


def _steps(content: object, lines: list[int], name: str) -> list[Step]:
    if not isinstance(content, list):
        raise ConfigError(f"{name}: 'steps' is a list of steps, each '- name: what it does'")
    return [_step(item, f"{name}, line {lines[i]}, step {i + 1}") for i, item in enumerate(content)]


def _step(content: object, place: str) -> Step:
    if isinstance(content, str):
        content = {content: None}
    if not isinstance(content, dict) or len(content) != 1:
        raise ConfigError(f"{place}: expected one step, such as '- filter: fare > 0', not {content!r}")
    ((step, value),) = content.items()
    if step not in STEPS:
        raise ConfigError(
            f"{place}: there is no step {step!r}; there are {', '.join(STEPS)}{did_you_mean(str(step), STEPS)}"
        )
    try:
        return STEPS[step].read(value)
    except PenstockError as error:
        raise ConfigError(f"{place}: {_cut_at_comma(value) or error}") from error
    except (TypeError, AttributeError) as error:
        raise ConfigError(f"{place}: {value!r} is not what step {step!r} takes") from error


def _cut_at_comma(value: object) -> str | None:
    """What to say of `{far: if(km > 5, 1, 0)}`, which is three names to YAML; None for anything else."""
    for name, text in value.items() if isinstance(value, dict) else ():
        if isinstance(text, str) and text.count("(") > text.count(")"):
            return f'a comma in braces ends the value, here after {text!r}; put quotes around it: {name}: "{text}, …)"'
    return None


def _step_lines(root: yaml.Node) -> list[int]:
    """The line of each step, from 1."""
    assert isinstance(root, yaml.MappingNode)
    steps = next(value for key, value in root.value if key.value == "steps")
    return [item.start_mark.line + 1 for item in steps.value] if isinstance(steps, yaml.SequenceNode) else []


def _output(content: object, place: str) -> Output:
    if isinstance(content, dict) and isinstance(content.get("partition_by"), str):
        content = {**content, "partition_by": [content["partition_by"]]}
    output: Output = _section(content, Output, place)
    return output


def _section(content: object, kind: Any, place: str) -> Any:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {explain(error, kind, whole='this')}") from None


def _mapping(content: object, place: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(f"{place}: expected names with values, not {content!r}")
    return content


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core schema: `on`, `yes` and dates are texts; a name that stands twice and aliases are errors."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, Any]]] = {}  # noqa: RUF012 PyYAML's own name

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "a recipe has no aliases", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=True)


class _Dumper(yaml.SafeDumper):
    """Writes so that `_Loader` and any YAML 1.1 reader take the same from it."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)
