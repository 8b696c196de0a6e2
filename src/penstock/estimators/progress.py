"""The progress bar of a training: steps, steps per second, time left, loss. On stderr, on a terminal or when asked."""

import sys
from types import TracebackType
from typing import Any, Protocol, Self

__all__ = ["NoProgress", "Progress", "make_progress"]


class Progress(Protocol):
    """Told how far a training is; a context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, step: int, loss: float) -> None: ...

    def note(self, message: str) -> None:
        """A line above the bar."""


class NoProgress:
    """Says nothing but notes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, step: int, loss: float) -> None:
        return None

    def note(self, message: str) -> None:
        sys.stderr.write(f"{message}\n")


class BarProgress:
    """A rich progress bar."""

    def __init__(self, title: str, *, first: int, total: int | None) -> None:
        # Half a tenth of a second that a training without a bar need not spend.
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns: list[Any] = [
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        ]
        self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(title, total=total, completed=first, rate="", loss="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, step: int, loss: float) -> None:
        speed = self._bar.tasks[0].speed
        rate = f"{speed:,.0f} steps/s" if speed else ""
        self._bar.update(self._task, completed=step, rate=rate, loss=f"loss {loss:.6g}")

    def note(self, message: str) -> None:
        self._bar.console.print(message, markup=False, highlight=False)


def make_progress(title: str, *, show: bool | None, first: int, total: int | None) -> Progress:
    """The bar if wanted; with `show` None, where stderr is a terminal."""
    wanted = sys.stderr.isatty() if show is None else show
    return BarProgress(title, first=first, total=total) if wanted else NoProgress()


def _proves_protocol(bar: BarProgress, none: NoProgress) -> tuple[Progress, Progress]:
    return bar, none
