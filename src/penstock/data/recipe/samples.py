"""Real rows of a recipe's source that reach its end: what callers of a served model would send."""

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.data.expressions.parser import parse
from penstock.data.expressions.tree import references
from penstock.data.recipe.check import CheckedRecipe
from penstock.data.recipe.projection import Projection, computed
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.serving import ServingPlan, program_before
from penstock.data.recipe.steps.rows import Filter
from penstock.data.table import Table

__all__ = ["caller_samples"]

_READ = 1_000
_KEPT = 256


def caller_samples(checked: CheckedRecipe, plan: ServingPlan, source: Table) -> ColumnBatch | None:
    """Up to 256 of the source's first rows, those that the recipe's filters keep: the columns callers send unmade.

    None where the recipe makes new rows of many before, or takes no column of the source.
    """
    if not plan.takes_source_rows or not plan.source_names:
        return None
    rows = source.read(limit=_READ)
    kept = rows.take(np.flatnonzero(_passing(checked, rows)))
    return (kept if kept.rows else rows).take(slice(0, _KEPT)).select(plan.source_names)


def _passing(checked: CheckedRecipe, rows: ColumnBatch) -> NDArray[np.bool_]:
    """Which rows every filter keeps that can be asked of a row alone."""
    passing = np.ones(rows.rows, dtype=bool)
    for item in checked.steps:
        if not isinstance(item.step, Filter):
            continue
        condition = item.step.condition
        program = program_before(checked, item).narrowed(references(parse(condition)))
        if not set(program.input_schema.names) <= set(rows.schema.names):
            continue
        verdict = Projection((computed("keep", condition, program.output_schema),))
        asking = program.then(RowProgram(program.output_schema, (verdict,)))
        passing &= asking.apply(rows)["keep"] == 1.0
    return passing
