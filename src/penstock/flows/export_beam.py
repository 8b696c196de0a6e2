"""Writes a recipe as a module that stock Apache Beam runs."""

from penstock.data.recipe.beam_module import beam_module
from penstock.data.recipe.check import check_recipe
from penstock.data.recipe.engine import open_tables
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.steps.rows import Sort
from penstock.errors import DataError
from penstock.settings import Settings

__all__ = ["export_beam"]


def export_beam(recipe: Recipe, *, settings: Settings, name: str) -> str:
    """The source of a pipeline module. name: what the module calls the recipe.

    Steps that need statistics measure them in the pipeline, on the rows that it is run on.
    Raises DataError for a step that does not fit its columns, that Beam cannot run, or whose columns depend on values.
    """
    for number, step in enumerate(recipe.steps, start=1):
        if isinstance(step, Sort):
            raise DataError(f"step {number} (sort) cannot run on the engine beam: the rows of a pipeline have no order")
        if step.has_open_columns:
            raise DataError(
                f"step {number} ({step.step}) makes columns of the values it finds, but a pipeline must know its "
                f"columns before it reads a row; name the values in the recipe"
            )
    with open_tables(recipe, settings=settings) as tables:
        checked = check_recipe(recipe, source=tables.source.schema, tables=tables.schemas)
    return beam_module(recipe, checked, name=name)
