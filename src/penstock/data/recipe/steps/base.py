"""What a step is: a typed value with a name, which knows what it does to a schema and nothing of any engine."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import msgspec

from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import expression_of
from penstock.data.recipe.projection import Projection
from penstock.data.schema import Schema
from penstock.errors import ConfigError, DataError

__all__ = ["RowStep", "Step", "expression_text", "known_names", "new_names"]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A step of a recipe.

    step: its name in recipe files.
    content: the field that stands for the whole step in a file (`select: [a, b]`); None if fields are named there.
    """

    step: ClassVar[str]
    content: ClassVar[str | None] = None

    @classmethod
    def read(cls, value: object) -> Self:
        """The step from what stands behind its name in a recipe file. Raises ConfigError naming what does not fit."""
        fields = {cls.content: cls.normal(value)} if cls.content else value
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"step {cls.step!r}: {error}") from error

    @classmethod
    def normal(cls, value: Any) -> Any:
        """The content in its full form, from the short ones that a file may have."""
        return value

    def written(self) -> dict[str, Any]:
        """The step as a recipe file has it; `read` takes it back."""
        fields = msgspec.to_builtins(self)
        return {self.step: fields[self.content] if self.content else fields}


class RowStep(Step, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A step that needs nothing but the row itself, so that it can be part of a served model."""

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        """What it does to rows of this schema. Raises DataError or ExpressionError if it does not fit them."""
        raise NotImplementedError


def expression_text(value: object) -> str:
    """The canonical text of an expression given as text, Symbol or constant; a text is parsed, not quoted."""
    return str(parse(value)) if isinstance(value, str) else str(parse(str(expression_of(value))))


def new_names(schema: Schema, names: Iterable[str], *, step: str) -> None:
    """Raises DataError if a column to be added exists already, is named twice, or has no name."""
    seen: set[str] = set()
    for name in names:
        if not name:
            raise DataError(f"step {step!r} would make a column without a name")
        if name in schema:
            raise DataError(f"step {step!r} would make a second column {name!r}; drop or rename the first one before")
        if name in seen:
            raise DataError(f"step {step!r} would make two columns {name!r}")
        seen.add(name)


def known_names(schema: Schema, names: Iterable[str] | Mapping[str, object]) -> tuple[str, ...]:
    """The names, all of them columns. Raises DataError naming the first that is not."""
    return tuple(schema[name].name for name in names)
