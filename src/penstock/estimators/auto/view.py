"""How a search goes, on a terminal: the candidate and its fold, the best so far, the time used and left."""

import sys
from types import TracebackType
from typing import Any, Self

from penstock.estimators.auto.clock import Clock
from penstock.estimators.auto.search import SearchView

__all__ = ["make_view"]


class NoView(SearchView):
    """Says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class BarView(NoView):
    """A rich bar that fills with the time, redrawn by a thread of its own."""

    def __init__(self, title: str, clock: Clock) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
        from rich.text import Text

        class TimeColumn(ProgressColumn):
            max_refresh = 0.5

            def render(self, task: Any) -> Text:
                task.completed = min(clock.spent_s, clock.budget_s)
                return Text(f"{clock.spent_s:.0f} of {clock.budget_s:.0f} s")

        columns: list[Any] = [TextColumn("{task.description}"), BarColumn(bar_width=24), TimeColumn()]
        columns += [TextColumn("{task.fields[candidate]}"), TextColumn("{task.fields[best]}")]
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(title, total=clock.budget_s, candidate="", best="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def training(self, candidate: str, fold: int, folds: int) -> None:
        self._bar.update(self._task, candidate=f"{candidate}, fold {fold + 1} of {folds}")

    def best(self, metric: str, value: float, left_s: float) -> None:
        self._bar.update(self._task, best=f"best {metric} {value:,.6g}")


def make_view(title: str, clock: Clock, *, show: bool | None) -> NoView:
    """The bar if wanted; with `show` None, where stderr is a terminal."""
    wanted = sys.stderr.isatty() if show is None else show
    return BarView(title, clock) if wanted else NoView()
