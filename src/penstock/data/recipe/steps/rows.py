"""Row-wise choice of rows: filter."""

from typing import ClassVar

from penstock.data.recipe.projection import Projection, filtered
from penstock.data.recipe.steps.base import RowStep
from penstock.data.schema import Schema

__all__ = ["Filter"]


class Filter(RowStep, frozen=True, kw_only=True):
    """Keeps the rows for which a condition is true; where it is missing, the row goes."""

    step: ClassVar[str] = "filter"
    content: ClassVar[str | None] = "condition"

    condition: str

    def project(self, schema: Schema) -> tuple[Projection, ...]:
        return (filtered(schema, self.condition),)
