"""Steps about texts: trim, case, extract, split_text, parse_dates."""

from typing import Any, ClassVar, Literal

import msgspec

from penstock.data.expressions.symbols import call
from penstock.data.recipe.projection import Projection, with_columns
from penstock.data.recipe.steps.base import Step, known_names, listed, new_names, text_column
from penstock.data.schema import DataType, Schema
from penstock.errors import ConfigError

__all__ = ["Case", "Extract", "ParseDates", "SplitText", "Trim"]

ISO = "iso"
"""In place of a strptime format: ISO 8601."""


class Trim(Step, frozen=True, kw_only=True):
    """Drops white space at both ends."""

    step: ClassVar[str] = "trim"
    content: ClassVar[str | None] = "columns"

    columns: tuple[str, ...]

    @classmethod
    def normal(cls, value: Any) -> Any:
        return listed(value)

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        names = known_names(schema, self.columns, step=self.step)
        trimmed = {name: call("trim", text_column(schema, name, step=self.step)).expression for name in names}
        return (with_columns(schema, trimmed),)


class Case(Step, frozen=True, kw_only=True):
    """Writes columns in lower or upper case."""

    step: ClassVar[str] = "case"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, Literal["lower", "upper"]]

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        names = known_names(schema, self.columns, step=self.step)
        written = {
            name: call(self.columns[name], text_column(schema, name, step=self.step)).expression for name in names
        }
        return (with_columns(schema, written),)


class Extraction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A group (0: all) of the first match of a regular expression in a column."""

    column: str
    pattern: str
    group: int = 0


class Extract(Step, frozen=True, kw_only=True):
    """Makes columns of what regular expressions find in others; missing where nothing is found."""

    step: ClassVar[str] = "extract"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, Extraction]

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        new_names(schema, self.columns, step=self.step)
        found = {
            name: call(
                "regex_extract", text_column(schema, item.column, step=self.step), item.pattern, item.group
            ).expression
            for name, item in self.columns.items()
        }
        return (with_columns(schema, found),)


class SplitText(Step, frozen=True, kw_only=True):
    """Cuts a column at a separator into new ones; parts that are not there are missing, parts beyond are dropped."""

    step: ClassVar[str] = "split_text"

    column: str
    separator: str
    into: tuple[str, ...]

    def check(self) -> None:
        if not self.separator or not self.into:
            raise ConfigError("step 'split_text': expected a separator and the names of the parts under 'into'")

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        new_names(schema, self.into, step=self.step)
        source = text_column(schema, self.column, step=self.step)
        parts = {
            name: call("split_part", source, self.separator, index).expression for index, name in enumerate(self.into)
        }
        return (with_columns(schema, parts),)


class DateFormats(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """strptime formats in order of trial, "iso" among them; zone: where the times were read off a clock."""

    formats: tuple[str, ...]
    zone: str | None = None


class ParseDates(Step, frozen=True, kw_only=True):
    """Reads texts as timestamps; what follows no format becomes missing. Timestamps stay as they are."""

    step: ClassVar[str] = "parse_dates"
    content: ClassVar[str | None] = "columns"

    columns: dict[str, DateFormats]

    @classmethod
    def normal(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            name: {"formats": listed(item)} if isinstance(item, str | list) else item for name, item in value.items()
        }

    def check(self) -> None:
        for name, item in self.columns.items():
            if not item.formats:
                raise ConfigError(
                    f"step 'parse_dates' names no format for column {name!r}; expected one such as %d/%m/%Y"
                )
            if item.zone is not None and ISO in item.formats:
                raise ConfigError(
                    f"step 'parse_dates', column {name!r}: a zone does not go with 'iso', whose texts are UTC or have "
                    f"an offset; write the format, such as %Y-%m-%d %H:%M:%S"
                )

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        parsed = {}
        for name in known_names(schema, self.columns, step=self.step):
            if schema[name].type is DataType.TIMESTAMP:
                continue
            source = call("trim", text_column(schema, name, step=self.step))
            item = self.columns[name]
            zone = () if item.zone is None else (item.zone,)
            tries = [
                call("timestamp", source) if form == ISO else call("parse_date", source, form, *zone)
                for form in item.formats
            ]
            parsed[name] = (tries[0] if len(tries) == 1 else call("coalesce", *tries)).expression
        return (with_columns(schema, parsed),)
