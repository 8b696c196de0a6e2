"""A profile as one self-contained HTML page: no script, style or picture from anywhere else.

Histograms are SVG; a bin under the pointer or the keyboard's focus says its range and count.
"""

from collections.abc import Sequence
from html import escape
from importlib import resources

from penstock.data.column_text import WEEKDAYS
from penstock.data.drift import Drift
from penstock.data.profile import ColumnProfile, Histogram, TableProfile, TimeShares
from penstock.data.profile_text import shown_number, shown_time, shown_value
from penstock.data.schema import DataType

__all__ = ["profile_fragment", "profile_page"]

_WIDTH, _HEIGHT = 320, 96
_TOP_VALUES = 6
_MAX_PAIRS = 12
_MEASURES = {"pearson": "correlation", "cramers_v": "Cramér's V", "correlation_ratio": "correlation ratio"}


def profile_page(profile: TableProfile, *, title: str, drift: Drift | None = None) -> str:
    """The whole page. title: of the table, as the user named it."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · profile</title></head>"
        f"<body>{profile_fragment(profile, title=title, drift=drift)}</body></html>\n"
    )


def profile_fragment(profile: TableProfile, *, title: str, drift: Drift | None = None) -> str:
    """The page's body with its style and script: what a notebook shows."""
    relations = profile.relations
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{profile.rows:,} rows, {len(profile.columns)} columns; each column by all rows</p>',
    ]
    if drift is not None:
        sections.append(_drift(drift))
    if relations and relations.findings:
        items = "".join(
            f"<li><b>{escape(found.kind.replace('_', ' '))}</b>{escape(found.text)}</li>"
            for found in relations.findings
        )
        sections.append(f'<h2>Findings</h2><ul class="findings">{items}</ul>')
    sections.append(f'<h2>Columns</h2><div class="cards">{"".join(map(_card, profile.columns))}</div>')
    if relations and relations.associations:
        rows = "".join(
            f"<tr><td>{escape(pair.first)}</td><td>{escape(pair.second)}</td>"
            f"<td>{_MEASURES[pair.measure]}</td><td>{pair.strength:.2f}</td></tr>"
            for pair in relations.associations[:_MAX_PAIRS]
        )
        whose = f"a sample of {relations.rows:,} rows" if relations.is_sample else "all rows"
        sections.append(
            f'<h2>Columns that go together, by {whose}</h2><div class="table"><table><thead><tr><th>column</th>'
            f"<th>and</th><th>measure</th><th>strength</th></tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        f'<style>{_asset("profile_page.css")}</style><main class="penstock">{"".join(sections)}</main>'
        f"<script>{_asset('profile_page.js')}</script>"
    )


def _asset(name: str) -> str:
    return (resources.files("penstock.data") / "packaged" / name).read_text(encoding="utf-8")


def _drift(drift: Drift) -> str:
    items = [f"<li><b>{escape(column.level)}</b>{escape(column.text)}</li>" for column in drift.columns]
    for what, names in (("added", drift.added), ("removed", drift.removed)):
        items += [f"<li><b>{what}</b>{escape(name)}</li>" for name in names]
    return f'<h2>Moved from {drift.rows_before:,} rows before</h2><ul class="findings">{"".join(items)}</ul>'


def _card(column: ColumnProfile) -> str:
    about = "" if column.is_distinct_exact else "about "
    missing = f", {column.missing:,} missing ({column.missing / column.rows:.1%})" if column.missing else ""
    parts = [
        f'<h3><span>{escape(column.name)}</span><span class="type">{column.type.value}</span></h3>',
        f'<p class="facts">{about}{column.distinct:,} different values{missing}</p>',
    ]
    if column.histogram is not None:
        parts.append(_chart(column, column.histogram))
    if facts := _facts(column):
        layout = ' class="long"' if column.type is DataType.TIMESTAMP else ""
        parts.append(f"<dl{layout}>{''.join(f'<dt>{name}</dt><dd>{escape(value)}</dd>' for name, value in facts)}</dl>")
    parts.append(_deciles(column))
    if column.times is not None:
        parts.append(_time_charts(column, column.times))
    if column.type in (DataType.STRING, DataType.BOOLEAN) and column.values:
        items = "".join(
            f'<li style="--share: {value.count / column.present:.1%}">'
            f"<span>{escape(shown_value(value.value, width=60))}</span><span>{value.count:,}</span></li>"
            for value in column.values[:_TOP_VALUES]
        )
        parts.append(f'<ul class="values">{items}</ul>')
    return f'<article class="card">{"".join(parts)}</article>'


def _chart(column: ColumnProfile, histogram: Histogram) -> str:
    said = []
    for i, count in enumerate(histogram.counts):
        low, high = (_shown(column, edge) for edge in histogram.edges[i : i + 2])
        said.append(f"{low} – {high}: {count:,} ({count / max(column.present, 1):.1%})")
    scale = " (logarithmic)" if histogram.is_log else ""
    axis = (_shown(column, column.min), scale, _shown(column, column.max))
    return _bars(histogram.counts, said, axis, name=f"histogram of {column.name}")


def _time_charts(column: ColumnProfile, times: TimeShares) -> str:
    """How many fall on each weekday, and on each hour."""
    charts = ""
    for what, names, counts in (
        ("weekdays", WEEKDAYS, times.weekdays),
        ("hours, UTC", [f"{hour} h" for hour in range(24)], times.hours),
    ):
        total = max(sum(counts), 1)
        said = [f"{name}: {count:,} ({count / total:.1%})" for name, count in zip(names, counts, strict=True)]
        charts += _bars(
            counts, said, (names[0], what, names[-1]), name=f"{what} of {column.name}", kind="histogram low"
        )
    return charts


def _bars(
    counts: Sequence[int], said: Sequence[str], axis: tuple[str, str, str], *, name: str, kind: str = "histogram"
) -> str:
    """One group a bin: a bar, and a taller invisible area that is easier to point at.

    said: of each bin, when it is pointed at. axis: words at the left, in the middle and at the right.
    """
    most = max(*counts, 1)
    step = _WIDTH / len(counts)
    gap = min(1.5, step / 5)
    bins = []
    for i, count in enumerate(counts):
        height = max(count / most * (_HEIGHT - 2), 1.5) if count else 0
        words = escape(said[i], quote=True)
        bins.append(
            f'<g role="img" tabindex="{0 if i == 0 else -1}" data-count="{count}" data-said="{words}" '
            f'aria-label="{words}">'
            f'<rect class="hit" x="{i * step:.2f}" y="0" width="{step:.2f}" height="{_HEIGHT}"/>'
            f'<rect class="bar" x="{i * step:.2f}" y="{_HEIGHT - height:.2f}" width="{step - gap:.2f}" '
            f'height="{height:.2f}" rx="1"/></g>'
        )
    left, middle, right = map(escape, axis)
    return (
        f'<figure><svg class="{kind}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="group" '
        f'aria-label="{escape(name, quote=True)}">{"".join(bins)}</svg>'
        f'<div class="axis"><span>{left}</span><span>{middle}</span><span>{right}</span></div>'
        '<div class="said" aria-live="polite"></div></figure>'
    )


def _facts(column: ColumnProfile) -> list[tuple[str, str]]:
    if column.lengths is not None:
        lengths = column.lengths
        return [("length", f"{lengths.min:,}–{lengths.max:,}"), ("mean length", shown_number(lengths.mean))]
    if column.quartiles is None or column.type is DataType.BOOLEAN:
        return []
    low, middle, high = column.quartiles
    facts = [("25 %", low), ("median", middle), ("75 %", high), ("mean", column.mean)]
    shown = [(name, _shown(column, value)) for name, value in facts]
    if column.type is not DataType.TIMESTAMP:
        shown += [("deviation", shown_number(column.std)), ("skew", shown_number(column.skew))]
        shown += [("zeros", f"{column.zeros:,}")]
        if column.infinite:
            shown.append(("infinite", f"{column.infinite:,}"))
    return shown


def _deciles(column: ColumnProfile) -> str:
    """Folded away: nine more numbers a column."""
    if column.type is DataType.BOOLEAN or not column.deciles:
        return ""
    items = "".join(
        f"<dt>{rank} %</dt><dd>{escape(_shown(column, value))}</dd>"
        for rank, value in zip(range(10, 100, 10), column.deciles, strict=True)
    )
    return f"<details><summary>deciles</summary><dl>{items}</dl></details>"


def _shown(column: ColumnProfile, value: float | None) -> str:
    return shown_time(value) if column.type is DataType.TIMESTAMP else shown_number(value)
