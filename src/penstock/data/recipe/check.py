"""Types a whole recipe against the tables it reads: the columns after each step, before any row goes through."""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.statistics import Statistic, Statistics
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.split import measured_rows
from penstock.data.schema import Column, Schema
from penstock.errors import DataError, PenstockError

__all__ = ["CheckedRecipe", "CheckedStep", "Measure", "check_recipe"]

Measure = Callable[[int, Sequence["CheckedStep"], Sequence[Statistic]], Statistics]
"""Finds statistics for the step of that number, of the rows that come out of these steps."""


@dataclass(frozen=True)
class CheckedStep:
    """A step in its place. number: from 1. schema: the columns after it."""

    number: int
    step: Step
    schema: Schema

    @property
    def place(self) -> str:
        return f"step {self.number} ({self.step.step})"


@dataclass(frozen=True)
class CheckedRecipe:
    """A recipe whose every step fits the columns before it.

    source: the columns of its source. tables: of the other tables, by the name that steps have for them.
    """

    recipe: Recipe
    source: Schema
    tables: Mapping[str, Schema]
    steps: tuple[CheckedStep, ...]

    @property
    def schema(self) -> Schema:
        """The columns of the result."""
        return self.steps[-1].schema if self.steps else self.source

    def before(self, step: CheckedStep) -> Schema:
        """The columns that a step gets."""
        return self.source if step.number == 1 else self.steps[step.number - 2].schema

    def measured(self, measure: Measure) -> "CheckedRecipe":
        """The recipe with every statistic replaced by its value, found step by step; it is checked anew."""
        return check_recipe(self.recipe, source=self.source, tables=self.tables, measure=measure)


def check_recipe(
    recipe: Recipe, *, source: Schema, tables: Mapping[str, Schema], measure: Measure | None = None
) -> CheckedRecipe:
    """The recipe with the columns after each step.

    measure: finds the statistics that steps ask for, so that each is taken in its resolved form; without it they stay
    as they are, which fails for steps whose columns depend on the rows.
    Raises DataError naming the step, by number and name, and what does not fit it.
    """
    checked: list[CheckedStep] = []
    schema = source
    for number, step in enumerate(recipe.steps, start=1):
        place = CheckedStep(number, step, schema).place
        with _placed(place):
            wanted = step.statistics(schema)
            if wanted and measure is not None:
                step = step.resolved(schema, measure(number, _measured(step, checked, schema), wanted))
            schema = _distinct(step.output(schema, tables))
        checked.append(CheckedStep(number, step, schema))
    _check_output(recipe, schema)
    resolved = replace(recipe, steps=tuple(item.step for item in checked))
    return CheckedRecipe(resolved, source, tables, tuple(checked))


def _measured(step: Step, before: Sequence[CheckedStep], schema: Schema) -> Sequence[CheckedStep]:
    """The steps behind which the statistics of a step are taken."""
    chosen = measured_rows(step, [item.step for item in before], schema)
    return before if chosen is None else (*before, CheckedStep(len(before) + 1, chosen, schema))


@contextmanager
def _placed(place: str) -> Generator[None]:
    """Puts the step's number and name before what goes wrong in it."""
    try:
        yield
    except PenstockError as error:
        text = re.sub("^step '[a-z_]+'[:,]? ?", "", str(error))
        raise DataError(f"{place}: {text}") from error


def _distinct(schema: Schema) -> Schema:
    """Raises DataError for a column without a name; names that appear twice are refused by Schema."""
    if any(not column.name for column in schema):
        raise DataError("a column would have no name")
    return schema


def _check_output(recipe: Recipe, schema: Schema) -> None:
    parts = recipe.output.partition_by
    for name in parts:
        _partition(schema, name)
        if parts.count(name) > 1:
            raise DataError(f"output, partition_by: {name!r} stands twice")
    if parts and set(parts) == set(schema.names):
        raise DataError("output: the rows are partitioned by all of their columns; nothing is left to write")


def _partition(schema: Schema, name: str) -> Column:
    try:
        return schema[name]
    except DataError as error:
        raise DataError(f"output, partition_by: {error}") from error
