"""Writes a recipe as a module that stock Apache Beam runs."""

from pathlib import Path

from penstock.data.databases import is_database, without_password
from penstock.data.recipe.beam_module import beam_module
from penstock.data.recipe.check import check_recipe
from penstock.data.recipe.engine import open_tables
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.steps.rows import Sort
from penstock.data.workbooks import parted_workbook
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
    recipe.placed(_of_files)
    with open_tables(recipe, settings=settings) as tables:
        checked = check_recipe(recipe, source=tables.source.schema, tables=tables.schemas)
    return beam_module(recipe, checked, name=name)


def _of_files(name: str) -> str:
    """The name of a table that workers find by Beam's file systems. Raises DataError for one that they do not."""
    if is_database(name):
        kind = "a table of a database"
    elif parted_workbook(name) is not None:
        kind = "a sheet of a workbook"
    elif "://" not in name and Path(name).expanduser().is_dir():
        raise DataError(f"{name} is a folder, but a pipeline reads file patterns; name its files, such as {name}/*.csv")
    else:
        return name
    raise DataError(
        f"{without_password(name)} is {kind}, but a pipeline reads files; write it to some by a recipe without steps "
        f"(`steps: []`) and name those"
    )
