"""What a step is: a typed value with a name, which knows what it does to a schema and nothing of any engine."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Any, ClassVar, Self

import msgspec
import numpy as np

from penstock.data.expressions.parser import parse
from penstock.data.expressions.symbols import Symbol, call, column, expression_of
from penstock.data.recipe.projection import Projection
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ConfigError, DataError

__all__ = [
    "Step",
    "constant",
    "expression_text",
    "known_names",
    "listed",
    "new_names",
    "text_column",
    "time_text",
    "typed_column",
]


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A step of a recipe.

    step: its name in recipe files.
    content: the field that stands for the whole step in a file (`select: [a, b]`); None if fields are named there.
    """

    step: ClassVar[str]
    content: ClassVar[str | None] = None

    @property
    def is_row_wise(self) -> bool:
        """Whether it needs nothing but the row itself, so that `project` says all it does."""
        return True

    @property
    def has_open_columns(self) -> bool:
        """Whether the columns that it makes depend on the values of the rows."""
        return False

    @property
    def sources(self) -> tuple[str, ...]:
        """The other tables that it reads."""
        return ()

    def statistics(self, schema: Schema) -> tuple[Statistic, ...]:
        """What must be known about the rows of this schema before the step can run; nothing for most steps."""
        return ()

    def resolved(self, schema: Schema, statistics: Statistics) -> Self:
        """The step with its statistics replaced by their values: the form that is run, and that travels."""
        return self

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        """What a row-wise step does to rows of this schema.

        Raises DataError or ExpressionError if it does not fit them.
        """
        raise NotImplementedError

    def output(self, schema: Schema, tables: Mapping[str, Schema]) -> Schema:
        """The columns after the step. tables: the columns of `sources`. Raises as `project` does."""
        projections = self.project(schema)
        return projections[-1].schema if projections else schema

    @classmethod
    def read(cls, value: object) -> Self:
        """The step from what stands behind its name in a recipe file. Raises ConfigError naming what does not fit."""
        normal = cls.normal(value)
        try:
            step = msgspec.convert({cls.content: normal} if cls.content else normal, cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"step {cls.step!r}: {_explained(error)}") from error
        step.check()
        return step

    @classmethod
    def normal(cls, value: Any) -> Any:
        """The content in its full form, from the short ones that a file may have."""
        return value

    def check(self) -> None:
        """Raises ConfigError for what is wrong with the step whatever the table."""

    def placed(self, place: Callable[[str], str]) -> Self:
        """The step with the sources of its tables as `place` says where they are."""
        return self

    def written(self) -> dict[str, Any]:
        """The step as a recipe file has it; `read` takes it back."""
        fields = msgspec.to_builtins(self)
        return {self.step: fields[self.content] if self.content else fields}


def expression_text(value: object) -> str:
    """The canonical text of an expression given as text, Symbol or constant; a text is parsed, not quoted."""
    return str(parse(value)) if isinstance(value, str) else str(parse(str(expression_of(value))))


def constant(value: object, item: Column) -> Symbol:
    """A value from a recipe as a constant to stand beside a column's values: times are written as texts."""
    if isinstance(value, date):
        value = value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()
    if item.type is DataType.TIMESTAMP and isinstance(value, str):
        return call("timestamp", value)
    if item.type is DataType.STRING and isinstance(value, int | float) and not isinstance(value, bool):
        return Symbol(expression_of(str(value)))
    return Symbol(expression_of(value))


def time_text(micros: int) -> str:
    """An instant as the ISO 8601 text that a recipe file holds."""
    text = str(np.datetime_as_string(np.datetime64(micros, "us"), unit="us"))
    return text.removesuffix(".000000") + "Z"


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


def known_names(schema: Schema, names: Iterable[str], *, step: str) -> tuple[str, ...]:
    """The names, all of them columns and none twice. Raises DataError naming the first that is not."""
    chosen = tuple(schema[name].name for name in names)
    twice = next((name for name in chosen if chosen.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"step {step!r} names column {twice!r} twice")
    return chosen


def typed_column(schema: Schema, name: str, *types: DataType, step: str) -> Column:
    """The column, of one of these types. Raises DataError that says which type it has."""
    item = schema[name]
    if item.type not in types:
        expected = " or ".join(types)
        raise DataError(f"step {step!r} needs column {name!r} to be {expected}, but it is {item.type}; cast it before")
    return item


def text_column(schema: Schema, name: str, *, step: str) -> Symbol:
    return column(typed_column(schema, name, DataType.STRING, step=step).name)


def listed(value: Any) -> Any:
    """One name as a list of it."""
    return [value] if isinstance(value, str) else value


def _explained(error: msgspec.ValidationError) -> str:
    """msgspec's message with the path in the words of a recipe file."""
    message, _, path = str(error).partition(" - at `$")
    place = path.rstrip("`").lstrip(".")
    return f"{message} at {place!r}" if place else message
