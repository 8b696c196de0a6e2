"""The table of a tuning that runs, on stderr: drawn anew on a terminal, a line a trial elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.tuning.study import Study
    from penstock.tuning.trial import Trial

__all__ = ["live_table"]

_ROWS = 12
_DRAW_S = 0.2


@contextmanager
def live_table() -> Iterator[Callable[["Study"], None]]:
    """What a tuning is to tell of its changes."""
    if not sys.stderr.isatty():
        yield _Lines().watch
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        drawn = 0.0

        def watch(study: "Study") -> None:
            nonlocal drawn
            if time.monotonic() - drawn >= _DRAW_S:
                drawn = time.monotonic()
                live.update(_table(study), refresh=True)

        yield watch


class _Lines:
    """One line for each trial that has ended, with the best so far."""

    def __init__(self) -> None:
        self._told: set[int] | None = None

    def watch(self, study: "Study") -> None:
        ended = {trial.number: trial for trial in study.trials if trial.is_over}
        best = study.best
        for number in sorted(set(ended) - (self._told or set())):
            trial = ended[number]
            said = trial.failure or f"{study.specification.metric} {_number(trial.value)}"
            of = f"/{study.limit}" if study.limit else ""
            so_far = f"best {_number(best.value)} (trial {best.number})" if best else "no best yet"
            sys.stderr.write(f"trial {number}{of} {trial.state.value.lower()}: {said}; {so_far}\n")
        self._told = set(ended)


def _table(study: "Study") -> Any:
    from rich.table import Table

    best = study.best
    limit = study.limit
    done = f"{study.finished} of {limit} trials" if limit else f"{study.finished} trials"
    left = _time_left(study)
    title = f"{done}{f', {left} left' if left else ''}"
    if best is not None:
        title += f" · best {study.specification.metric} {_number(best.value)} (trial {best.number})"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("TRIAL", "STATE", "STEP", study.specification.metric.upper(), "PARAMETERS"):
        table.add_column(heading, no_wrap=heading != "PARAMETERS")
    for trial in _shown(study):
        style = "bold" if best is not None and trial.number == best.number else None
        step, value = trial.reports[-1] if trial.reports else ("", None)
        parameters = "  ".join(f"{name}={_number(one)}" for name, one in trial.parameters.items())
        table.add_row(str(trial.number), trial.state.value.lower(), str(step), _number(value), parameters, style=style)
    return table


def _shown(study: "Study") -> list["Trial"]:
    """The best, those that run, and the newest, so many as there is room for."""
    running = [trial for trial in study.trials if not trial.is_over]
    ended = [trial for trial in study.trials if trial.is_over]
    best = [study.best] if study.best is not None else []
    newest = [trial for trial in reversed(ended) if trial not in best]
    return [*best, *running, *newest][:_ROWS]


def _time_left(study: "Study") -> str:
    guesses = [] if study.seconds_left is None else [study.seconds_left]
    ended = [trial.seconds for trial in study.trials if trial.is_over]
    if ended and study.limit:
        guesses.append((study.limit - study.finished) * sum(ended) / len(ended) / study.specification.parallel)
    if not guesses:
        return ""
    minutes, seconds = divmod(round(min(guesses)), 60)
    return f"{minutes}:{seconds:02}"


def _number(value: Any) -> str:
    return "" if value is None else f"{value:,.5g}" if isinstance(value, float) else str(value)
