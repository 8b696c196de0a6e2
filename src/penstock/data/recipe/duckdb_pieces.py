"""Which recipes can be prepared file by file, and the source as one of its files."""

from dataclasses import replace

from penstock.data.engine import quote_text
from penstock.data.recipe.check import CheckedRecipe
from penstock.data.recipe.engine import RecipeTables
from penstock.data.recipe.steps.combine import Join
from penstock.data.scan import CsvLayout, Scan

__all__ = ["one_file", "pieces_of"]


def pieces_of(tables: RecipeTables, checked: CheckedRecipe) -> int:
    """Into how many pieces the work falls that give the same rows one by one.

    As many as the source has files, if every step looks at one row of it at a time; else one.
    """
    looks_at_rows = all(
        step.is_row_wise or (isinstance(step, Join) and step.how not in ("right", "full"))
        for step in checked.recipe.steps
    )
    return len(tables.source.paths) if looks_at_rows else 1


def one_file(scan: Scan, path: str) -> Scan:
    """The scan of one of the files of a scan."""
    if isinstance(scan.source, CsvLayout):
        return replace(scan, source=replace(scan.source, paths=(path,)))
    return replace(scan, source=f"(SELECT * FROM {scan.source} WHERE filename = {quote_text(path)})")
