"""A bar on stderr for passes over tables."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.data.options import Progress

__all__ = ["progress_bar"]


@contextmanager
def progress_bar() -> Iterator[Callable[["Progress"], None]]:
    """A bar on stderr with the rate and the time left; nothing when that is no terminal."""
    from time import monotonic

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("opening", total=None, rate="")
        stage, began = "opening", monotonic()

        def watch(progress: "Progress") -> None:
            nonlocal stage, began
            if progress.stage != stage:
                stage, began = progress.stage, monotonic()
                bar.reset(task)
            done = progress.fraction or 0.0
            passed = monotonic() - began
            is_known = progress.rows is not None and done > 0 and passed > 1
            rate = f"{done * (progress.rows or 0) / passed:,.0f} rows/s" if is_known else ""
            total = None if progress.fraction is None else 1.0
            bar.update(task, description=stage, completed=done, total=total, rate=rate)

        yield watch
