"""What of a recipe travels with a model: the row program a prediction runs, and what callers send where it cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from penstock.data.databases import without_password
from penstock.data.expressions.symbols import call, column
from penstock.data.recipe.check import CheckedRecipe, CheckedStep
from penstock.data.recipe.projection import Assignment, Projection, kept, with_columns
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.steps.aggregate import Aggregate, Pivot, Unpivot
from penstock.data.recipe.steps.combine import Join, Union
from penstock.data.recipe.steps.nested import Explode
from penstock.data.recipe.steps.rows import Deduplicate, Filter, Sample, Sort
from penstock.data.recipe.steps.split import Split
from penstock.data.recipe.steps.window import Window
from penstock.data.schema import Column, Schema
from penstock.errors import DataError

__all__ = ["SentColumn", "ServingPlan", "program_before", "serving_plan"]

_CHOOSES_ROWS = (Filter, Sample, Sort, Deduplicate)
_BRINGS_COLUMNS = (Join, Union, Window)
_REMAKES_ROWS = (Aggregate, Pivot, Unpivot, Explode)


@dataclass(frozen=True)
class SentColumn:
    """A column that callers send because a step that makes it cannot be done on one row."""

    column: Column
    step: CheckedStep

    @property
    def reason(self) -> str:
        match self.step.step:
            case Join() as join:
                return f"{self.step.place} looks it up in {without_password(join.other)}"
            case Union() as union:
                return f"{self.step.place} takes it from {', '.join(map(without_password, union.others))}"
            case Window():
                return f"{self.step.place} computes it from other rows"
            case _:
                return f"{self.step.place} makes new rows of many"


@dataclass(frozen=True)
class ServingPlan:
    """program: from what callers send to the columns after the recipe. sent: those of its inputs that steps would make.

    left_out: steps that choose or order rows, which change nothing about a row that is asked for. unused: steps before
    the last one that makes new rows, which callers have done already when they send what comes out of it.
    takes_source_rows: whether no step makes new rows of many, so that callers send rows of the source.
    """

    program: RowProgram
    sent: tuple[SentColumn, ...]
    left_out: tuple[CheckedStep, ...]
    unused: tuple[CheckedStep, ...]
    takes_source_rows: bool

    @property
    def source_names(self) -> tuple[str, ...]:
        """The program's inputs that are columns of the rows it starts from."""
        made = {item.column.name for item in self.sent}
        return tuple(name for name in self.program.input_schema.names if name not in made)


def serving_plan(checked: CheckedRecipe, outputs: Sequence[str] | None = None) -> ServingPlan:
    """How a served model runs the recipe on single rows.

    checked: with statistics resolved. outputs: the columns the model takes; all but those that `split` adds, if None.
    Raises DataError if an output is not a column of the result, or if statistics are not resolved.
    """
    start = max((item.number for item in checked.steps if isinstance(item.step, _REMAKES_ROWS)), default=0)
    remade = checked.steps[start - 1] if start else None
    source = checked.source if remade is None else remade.schema
    later = checked.steps[start:]
    if outputs is None:
        splits = {item.step.column for item in later if isinstance(item.step, Split)}
        outputs = [name for name in checked.schema.names if name not in splits]
    for name in outputs:
        checked.schema[name]
    program, carried = _program(checked, source, later)
    program = program.narrowed(list(outputs))
    program, names = _named(program, carried)
    sent = [SentColumn(program.input_schema[names[key]], step) for key, (_, step) in carried.items() if key in names]
    if remade is not None:
        raw = [item for item in program.input_schema if item.name not in names.values()]
        sent = [*(SentColumn(item, remade) for item in raw), *sent]
    left_out = tuple(item for item in later if isinstance(item.step, (*_CHOOSES_ROWS, Split)))
    return ServingPlan(
        program, tuple(sent), left_out, checked.steps[: max(start - 1, 0)], takes_source_rows=remade is None
    )


def program_before(checked: CheckedRecipe, step: CheckedStep) -> RowProgram:
    """From the source to what a step gets, on single rows; columns that steps before would make of other rows, and of
    other tables, are inputs of names that no table has."""
    return _program(checked, checked.source, checked.steps[: step.number - 1])[0]


_Carried = dict[str, tuple[Column, CheckedStep]]
"""Columns that are sent rather than computed, by the name they have in the program until their step is reached."""


def _program(checked: CheckedRecipe, source: Schema, steps: Sequence[CheckedStep]) -> tuple[RowProgram, _Carried]:
    """Over the columns of the source and all that is sent; what a later step makes is carried along to it."""
    carried = _carried(checked, steps)
    stages: list[Projection] = []
    schema = source
    for item in steps:
        if isinstance(item.step, _CHOOSES_ROWS):
            continue
        stage: tuple[Projection, ...]
        if isinstance(item.step, _BRINGS_COLUMNS):
            arriving = {kind.name: key for key, (kind, step) in carried.items() if step is item}
            stage = (_arrival(schema, item.schema, arriving),)
        elif isinstance(item.step, Split):
            # A row that is asked for belongs to no part.
            stage = (with_columns(schema, {item.step.column: call("null_if", "", "").expression}),)
        elif item.step.is_row_wise:
            stage = item.step.project(schema)
        else:
            raise DataError(f"{item.place} needs statistics of the rows; prepare the recipe before it is served")
        waiting = kept(_waiting(carried, item.number))
        stages.extend(Projection((*projection.columns, *waiting), projection.keep) for projection in stage)
        schema = stage[-1].schema if stage else schema
    return RowProgram(Schema((*source.columns, *_waiting(carried, 0).columns)), stages), carried


def _carried(checked: CheckedRecipe, steps: Sequence[CheckedStep]) -> _Carried:
    carried: _Carried = {}
    for item in steps:
        if isinstance(item.step, _BRINGS_COLUMNS):
            for kind in item.schema.without(*checked.before(item).names):
                # No column of a table has such a name.
                carried[f"\ue002{len(carried)}"] = (kind, item)
    return carried


def _waiting(carried: _Carried, number: int) -> Schema:
    """What steps after that number will take up."""
    return Schema(
        tuple(msgspec.structs.replace(kind, name=key) for key, (kind, step) in carried.items() if step.number > number)
    )


def _arrival(before: Schema, after: Schema, arriving: Mapping[str, str]) -> Projection:
    """Columns that were carried along take their names; a union may turn whole numbers into floats."""
    assignments = []
    for item in after:
        if item.name in arriving:
            assignments.append(Assignment(item, str(column(arriving[item.name]).expression)))
        elif item.name in before:
            known = before[item.name]
            symbol = column(item.name) if known.type is item.type else column(item.name).cast(item.type)
            assignments.append(
                Assignment(msgspec.structs.replace(item, nullable=known.nullable), str(symbol.expression))
            )
    return Projection(tuple(assignments))


def _named(program: RowProgram, carried: _Carried) -> tuple[RowProgram, dict[str, str]]:
    """The program with sent columns under the names their steps give them, or with the step's name behind if taken."""
    inputs = [item.name for item in program.input_schema if item.name not in carried]
    names: dict[str, str] = {}
    for key, (item, step) in carried.items():
        if key in program.input_schema:
            name = item.name
            while name in inputs:
                name = f"{name}_{step.step.step}"
            names[key] = name
            inputs.append(name)
    if not names:
        return program, names
    columns = tuple(
        msgspec.structs.replace(item, name=names.get(item.name, item.name)) for item in program.input_schema
    )
    entry = Projection(
        tuple(
            Assignment(item, str(column(outer.name).expression))
            for item, outer in zip(program.input_schema, columns, strict=True)
        )
    )
    return RowProgram(Schema(columns), (entry, *program.stages)), names
