"""What msgspec says of a document that does not fit its type, in words: the place, what is there, the nearest name."""

import re
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from penstock.errors import did_you_mean

__all__ = ["explain"]

_STEP = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")


def explain(error: msgspec.ValidationError, kind: Any, *, whole: str) -> str:
    """The error as a phrase. kind: the type that was asked for. whole: what the document is called ("an experiment").

    >>> class Split(msgspec.Struct, forbid_unknown_fields=True):
    ...     side: Literal["left", "right"] = "left"
    >>> for content in ({"sied": "left"}, {"side": "rihgt"}):
    ...     try:
    ...         msgspec.convert(content, Split)
    ...     except msgspec.ValidationError as error:
    ...         print(explain(error, Split, whole="a split"))
    a split has no field 'sied'; it has side; did you mean 'side'?
    side is 'rihgt'; expected left or right; did you mean 'right'?
    """
    message, _, path = str(error).partition(" - at `$")
    steps = [name or index for name, index in _STEP.findall(path.rstrip("`"))]
    place = re.sub(r"\[[^\]]*\]", "", path.rstrip("`")).lstrip(".")
    found = re.search(r"[`'](.*)[`']", message)
    value = found[1] if found else ""
    if "unknown field" in message:
        known = [field.name for field in msgspec.structs.fields(_at(kind, steps, msgspec.Struct))]
        where = f"section {place!r}" if place else whole
        return f"{where} has no field {value!r}; it has {', '.join(known)}{did_you_mean(value, known)}"
    choices = _choices(_at(kind, steps, None))
    if "enum value" in message and choices:
        told = " or ".join([", ".join(choices[:-1]), choices[-1]]) if len(choices) > 1 else choices[0]
        return f"{place} is {value!r}; expected {told}{did_you_mean(value, choices)}"
    return f"{message}, in {place}" if place else message


def _at(kind: Any, steps: list[str], wanted: type | None) -> Any:
    """The type at a place."""
    for step in steps:
        kind = _narrowed(kind, msgspec.Struct if not step.startswith("...") and not step.isdecimal() else None)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = next((field.type for field in msgspec.structs.fields(kind) if field.name == step), Any)
        elif is_dataclass(kind) and isinstance(kind, type):
            kind = get_type_hints(kind).get(step, Any)
        else:
            kind = (get_args(kind) or (Any,))[-1]
    return _narrowed(kind, wanted) if wanted else kind


def _narrowed(kind: Any, wanted: type | None) -> Any:
    """Of a union, the struct, or the container."""
    if get_origin(kind) in (dict, list, tuple, Literal):
        return kind
    for part in get_args(kind):
        if wanted is not None and isinstance(part, type) and issubclass(part, wanted):
            return part
        if wanted is None and get_origin(part) in (dict, list, tuple):
            return part
    return kind


def _choices(kind: Any) -> list[str]:
    """The words that a type takes."""
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(member.value) for member in kind]
    words = [word for part in get_args(kind) for word in _choices(part)]
    return [*words, "a whole number"] if words and int in get_args(kind) else words
