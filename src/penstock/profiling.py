"""`penstock.profile("housing.csv")`: a table's profile in a program or a notebook, which shows it as a page."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.data.drift import Drift, measure_drift
from penstock.data.options import ReadOptions
from penstock.data.profile import TableProfile
from penstock.data.profile_page import profile_fragment, profile_page
from penstock.data.profile_text import profile_text
from penstock.data.profiler import profile_source
from penstock.settings import load_settings

__all__ = ["Profile", "profile"]


@dataclass(frozen=True)
class Profile:
    """table: every column's statistics, and `relations` with the findings. print() shows it as text."""

    title: str
    table: TableProfile = field(repr=False)

    def against(self, reference: "Profile") -> Drift:
        """How this table differs from the reference."""
        return measure_drift(reference.table, self.table)

    def to_html(self) -> str:
        """One self-contained page."""
        return profile_page(self.table, title=self.title)

    def to_json(self) -> bytes:
        return self.table.to_json()

    def _repr_html_(self) -> str:
        return profile_fragment(self.table, title=self.title)

    def __str__(self) -> str:
        return profile_text(self.table)


def profile(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    label: str | None = None,
    options: ReadOptions | None = None,
    is_exact: bool = False,
) -> Profile:
    """The profile of a file, glob, folder, URI, workbook or table of a database. Raises PenstockError."""
    table, found = profile_source(source, settings=load_settings(), options=options, label=label, is_exact=is_exact)
    table.close()
    return Profile(table.name, found)
