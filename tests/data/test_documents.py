"""What is said of a document that does not fit."""

import doctest
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pytest

from penstock.data import documents
from penstock.data.documents import explain
from penstock.data.schema import DataType


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int | Literal["all"] = "all"


class Whole(msgspec.Struct, forbid_unknown_fields=True):
    part: Part = Part()
    parts: dict[str, Part] = {}
    types: dict[str, DataType] | None = None


@dataclass
class Options:
    types: dict[str, DataType]


def test_examples_hold() -> None:
    assert doctest.testmod(documents).failed == 0


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        (Whole, {"prat": {}}, "a whole has no field 'prat'; it has part, parts, types; did you mean 'part'?"),
        (Whole, {"part": {"sise": 1}}, "section 'part' has no field 'sise'; it has size; did you mean 'size'?"),
        (
            Whole,
            {"parts": {"a": {"sise": 1}}},
            "section 'parts' has no field 'sise'; it has size; did you mean 'size'?",
        ),
        (Whole, {"part": {"size": "al"}}, "part.size is 'al'; expected all or a whole number; did you mean 'all'?"),
        (Whole, {"part": {"size": 1.5}}, "Expected `int | str`, got `float`, in part.size"),
        (Options, {"types": {"x": "flaot"}}, "types is 'flaot'; expected integer, float, .*did you mean 'float'"),
        (Whole, {"types": {"x": "flaot"}}, "types is 'flaot'; expected integer, float, .*did you mean 'float'"),
    ],
)
def test_place_value_and_the_nearest_name_are_told(kind: Any, content: dict[str, Any], expected: str) -> None:
    with pytest.raises(msgspec.ValidationError) as wrong:
        msgspec.convert(content, kind)
    told = explain(wrong.value, kind, whole="a whole")
    assert told.startswith(expected.partition(".*")[0])
    assert expected.rpartition(".*")[2] in told
