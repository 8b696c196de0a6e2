"""Every step by the name it has in recipe files."""

from collections.abc import Mapping

from penstock.data.recipe.steps.aggregate import Aggregate, Pivot, Unpivot
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.columns import Cast, Derive, Drop, Rename, Select
from penstock.data.recipe.steps.combine import Join, Union
from penstock.data.recipe.steps.encoding import Bucketize, OneHot
from penstock.data.recipe.steps.nested import Explode, Flatten
from penstock.data.recipe.steps.rows import Deduplicate, Filter, Sample, Sort
from penstock.data.recipe.steps.split import Split
from penstock.data.recipe.steps.text import Case, Extract, ParseDates, SplitText, Trim
from penstock.data.recipe.steps.values import Clip, Fill, Replace
from penstock.data.recipe.steps.window import Window

__all__ = ["STEPS"]

_CLASSES: tuple[type[Step], ...] = (
    Select, Drop, Rename, Cast, Filter, Derive, Fill, Replace, Trim, Case, Extract, SplitText, ParseDates, Bucketize,
    OneHot, Clip, Flatten, Explode, Sample, Sort, Deduplicate, Union, Join, Aggregate, Pivot, Unpivot, Window, Split,
)  # fmt: skip

STEPS: Mapping[str, type[Step]] = {kind.step: kind for kind in _CLASSES}
