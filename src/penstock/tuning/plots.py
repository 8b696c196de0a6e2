"""One page of plots of a study, whole in itself: history, importances, slices, parallel coordinates, all as SVG."""

import math
from collections.abc import Callable, Sequence
from html import escape

from penstock.tuning.importance import importances
from penstock.tuning.parameter import Parameter, Value
from penstock.tuning.specification import Specification
from penstock.tuning.trial import Trial, TrialState

__all__ = ["study_page"]

_BLUE, _GREY, _RED = "#1f6feb", "#8c959f", "#cf222e"
_STYLE = """body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1000px;padding:0 1rem;color:#1f2328}
svg{width:100%;height:auto} svg text{font:11px system-ui,sans-serif;fill:#57606a} h2{margin-top:2rem}
table{border-collapse:collapse} td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #d0d7de}
.slices{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1rem}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}svg text{fill:#9198a1}}"""

Place = Callable[[float], float]


def study_page(name: str, specification: Specification, trials: Sequence[Trial]) -> str:
    """The page, as HTML that loads nothing from anywhere."""
    valued = [trial for trial in trials if trial.value is not None]
    shares = importances(specification, trials)
    slices = "".join(_slice(parameter, valued) for parameter in specification.parameters)
    sections = [
        f"<h1>Study {escape(name)}</h1>",
        f"<p>{_summary(specification, trials)}</p>",
        f"<h2>History</h2>{_history(specification, valued)}",
        f"<h2>Importances</h2>{_bars(shares)}",
        f'<h2>Slices</h2><div class="slices">{slices}</div>',
        f"<h2>Parallel coordinates</h2>{_parallel(specification, valued)}",
        f"<h2>Trials, best first</h2>{_table(specification, trials)}",
    ]
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Study {escape(name)}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _summary(specification: Specification, trials: Sequence[Trial]) -> str:
    counts = [f"{sum(trial.state is state for trial in trials)} {state.value.lower()}" for state in TrialState]
    return escape(
        f"{specification.goal.lower()} {specification.metric} by {specification.algorithm}, pruning "
        f"{specification.pruning}: {len(trials)} trials ({', '.join(counts)})."
    )


def _history(specification: Specification, valued: Sequence[Trial]) -> str:
    if not valued:
        return "<p>No trial has a value.</p>"
    x = _line(1, max(trial.number for trial in valued), 70, 980)
    y = _line(*_spread([trial.value or 0.0 for trial in valued]), 260, 20)
    dots = [_dot(x(trial.number), y(trial.value or 0.0), trial) for trial in valued]
    best: float | None = None
    points = []
    for trial in valued:
        if trial.state is TrialState.SUCCEEDED and trial.value is not None:
            best = trial.value if specification.is_better(trial.value, best) else best
            assert best is not None
            points.append(f"{x(trial.number):.1f},{y(best):.1f}")
    line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{_RED}" stroke-width="1.5"/>'
    return _svg(290, "".join(dots) + line + _y_axis(valued, y, 70) + _text(525, 285, "trial"))


def _bars(shares: dict[str, float]) -> str:
    if not shares:
        return "<p>Too few trials went to their end to tell.</p>"
    rows = []
    for number, (name, share) in enumerate(shares.items()):
        top = 10 + 26 * number
        rows.append(f'<rect x="230" y="{top}" width="{640 * share:.1f}" height="18" fill="{_BLUE}"/>')
        rows.append(
            _text(220, top + 13, name, anchor="end")
            + _text(238 + 640 * share, top + 13, f"{share:.2f}", anchor="start")
        )
    return _svg(20 + 26 * len(shares), "".join(rows))


def _slice(parameter: Parameter, valued: Sequence[Trial]) -> str:
    shown = [trial for trial in valued if parameter.name in trial.parameters]
    if not shown:
        return ""
    place = _axis(parameter, 50, 310)
    y = _line(*_spread([trial.value or 0.0 for trial in shown]), 190, 15)
    dots = [_dot(place(trial.parameters[parameter.name]), y(trial.value or 0.0), trial) for trial in shown]
    ends = _ends(parameter)
    marks = _text(50, 208, ends[0], anchor="start") + _text(310, 208, ends[1], anchor="end")
    return _svg(225, "".join(dots) + _y_axis(shown, y, 48) + marks + _text(180, 222, parameter.name), width=320)


def _parallel(specification: Specification, valued: Sequence[Trial]) -> str:
    if not valued:
        return "<p>No trial has a value.</p>"
    values = [trial.value or 0.0 for trial in valued]
    low, high = _spread(values)
    y = _line(low, high, 230, 25)
    names = [parameter.name for parameter in specification.parameters]
    x = _line(0, len(names), 60, 940)
    axes = [_axis(parameter, 230, 25) for parameter in specification.parameters]
    lines = []
    for trial in sorted(valued, key=lambda trial: trial.value or 0.0, reverse=specification.goal == "MINIMIZE"):
        points = [
            f"{x(i):.1f},{axes[i](trial.parameters[name]):.1f}"
            for i, name in enumerate(names)
            if name in trial.parameters
        ]
        points.append(f"{x(len(names)):.1f},{y(trial.value or 0.0):.1f}")
        share = ((trial.value or 0.0) - low) / (high - low)
        goodness = 1 - share if specification.goal == "MINIMIZE" else share
        lines.append(
            f'<polyline points="{" ".join(points)}" fill="none" stroke="{_BLUE}" '
            f'stroke-opacity="{0.08 + 0.8 * goodness**3:.2f}"><title>{_title(trial)}</title></polyline>'
        )
    for i, parameter in enumerate(specification.parameters):
        ends = _ends(parameter)
        lines.append(f'<line x1="{x(i):.1f}" x2="{x(i):.1f}" y1="25" y2="230" stroke="{_GREY}"/>')
        lines.append(_text(x(i), 265, parameter.name) + _text(x(i), 248, ends[0]) + _text(x(i), 16, ends[1]))
    lines.append(f'<line x1="940" x2="940" y1="25" y2="230" stroke="{_GREY}"/>')
    lines.append(_text(940, 265, specification.metric) + _text(940, 248, f"{low:.4g}") + _text(940, 16, f"{high:.4g}"))
    return _svg(275, "".join(lines))


def _table(specification: Specification, trials: Sequence[Trial]) -> str:
    def rank(trial: Trial) -> tuple[bool, float]:
        value = trial.value if trial.value is not None else 0.0
        return trial.value is None, value if specification.goal == "MINIMIZE" else -value

    names = [parameter.name for parameter in specification.parameters]
    head = "".join(f"<th>{escape(text)}</th>" for text in ("trial", "state", specification.metric, *names, "seconds"))
    rows = []
    for trial in sorted(trials, key=rank):
        cells = [
            str(trial.number),
            trial.failure or trial.state.value.lower(),
            "" if trial.value is None else f"{trial.value:.6g}",
            *(_short(trial.parameters.get(name, "")) for name in names),
            f"{trial.seconds:.2f}",
        ]
        rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _axis(parameter: Parameter, start: float, stop: float) -> Callable[[Value], float]:
    """Where the values of a parameter lie on an axis, in the scale that they are searched in."""
    if parameter.type in ("CATEGORICAL", "DISCRETE"):
        values = [_short(value) for value in parameter.values]
        even = _line(0, max(1, len(values) - 1), start, stop)
        return lambda value: even(values.index(_short(value)))
    scaled: Callable[[float], float] = math.log if parameter.scale != "LINEAR" else float
    along = _line(scaled(parameter.low), scaled(parameter.high), start, stop)

    def place(value: Value) -> float:
        assert isinstance(value, int | float)
        if parameter.scale == "REVERSE_LOG":
            return start + stop - along(scaled(parameter.low + parameter.high - value))
        return along(scaled(value))

    return place


def _ends(parameter: Parameter) -> tuple[str, str]:
    if parameter.values:
        return _short(parameter.values[0]), _short(parameter.values[-1])
    return f"{parameter.low:g}", f"{parameter.high:g}"


def _line(low: float, high: float, start: float, stop: float) -> Place:
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (stop - start)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """The range to draw: a few hopeless trials must not flatten the rest."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    middle = ordered[len(ordered) * 3 // 4]
    high = min(high, middle + 3 * (middle - low)) if middle > low else high
    return low, high if high > low else low + 1.0


def _dot(x: float, y: float, trial: Trial) -> str:
    colour = _BLUE if trial.state is TrialState.SUCCEEDED else _GREY
    inside = max(8.0, y)
    return f'<circle cx="{x:.1f}" cy="{inside:.1f}" r="3" fill="{colour}"><title>{_title(trial)}</title></circle>'


def _y_axis(trials: Sequence[Trial], y: Place, x: float) -> str:
    low, high = _spread([trial.value or 0.0 for trial in trials])
    return _text(x - 8, y(low) + 4, f"{low:.4g}", anchor="end") + _text(x - 8, y(high) + 4, f"{high:.4g}", anchor="end")


def _title(trial: Trial) -> str:
    said = ", ".join(f"{name}={_short(value)}" for name, value in trial.parameters.items())
    return escape(f"trial {trial.number}: {trial.value:.6g} ({said})" if trial.value is not None else said)


def _short(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: int, content: str, *, width: int = 1000) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img">{content}</svg>'
