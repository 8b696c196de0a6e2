"""Columns that say what another one says: sums that hold in every sampled row, and leaks of the label."""

import math
from collections.abc import Sequence

import duckdb
import numpy as np
from numpy.typing import NDArray

from penstock.data.profile import Association, ColumnProfile, Finding
from penstock.data.profile_text import shown_number
from penstock.data.sample import SAMPLE
from penstock.data.schema import DataType

__all__ = ["leak_findings"]

_MAX_ROWS = 20_000
_MAX_NUMBERS = 40
_MAX_TERMS = 4
_RESIDUAL = 1e-6
_SAME = 0.9999
_MAX_VALUES = 1_000
_MIN_ROWS_A_VALUE = 20
_MAX_CLASSES = 50
_CHANCE = 0.01
_MIN_ORDERED = 20
_MAX_MISSING = 0.2


def leak_findings(
    connection: duckdb.DuckDBPyConnection,
    columns: Sequence[ColumnProfile],
    associations: Sequence[Association],
    *,
    label: str | None,
) -> list[Finding]:
    """What gives the label away, and, label or not, which columns follow from others."""
    found = _identities(connection, columns, label=label)
    told = {frozenset(finding.columns) for finding in found}
    for pair in associations:
        names = frozenset((pair.first, pair.second))
        if abs(pair.strength) < _SAME or names in told:
            continue
        if _may_be_chance([column for column in columns if column.name in names], tries=len(associations)):
            continue
        told.add(names)
        if label in names:
            other = pair.second if pair.first == label else pair.first
            text = f"{other} gives the label {label} away: {_measure(pair)} {pair.strength:.4f}"
            found.append(Finding(kind="leak", text=text, columns=(other, str(label))))
        else:
            text = f"{pair.first} and {pair.second} say the same: {_measure(pair)} {pair.strength:.4f}"
            found.append(Finding(kind="redundant", text=text, columns=(pair.first, pair.second)))
    if label is not None:
        found += _determining(connection, columns, label, told)
        found += _ordering(connection, columns, label, {frozenset(finding.columns) for finding in found})
    return found


def _may_be_chance(pair: Sequence[ColumnProfile], *, tries: int) -> bool:
    """Whether, of so many pairs, one is likely to agree by chance: values shuffled at random fall so often as they do.

    Of two columns of 12 zeros and ones there are at most 924 orders, and 100 columns have 4,950 pairs.
    """
    ways = []
    for column in pair:
        if column.are_values_complete and column.values:
            counts = [entry.count for entry in column.values]
            orders = math.lgamma(sum(counts) + 1) - sum(math.lgamma(count + 1) for count in counts)
            ways.append(orders - math.lgamma(len(counts) + 1))
    return bool(ways) and math.log(max(tries, 1)) - max(ways) > math.log(_CHANCE)


def _measure(pair: Association) -> str:
    return {"pearson": "correlation", "cramers_v": "Cramér's V", "correlation_ratio": "correlation ratio"}[pair.measure]


def _identities(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile], *, label: str | None
) -> list[Finding]:
    """Numbers that are a sum of others in every row: few terms, picked greedily (orthogonal matching pursuit)."""
    places = [
        i
        for i, column in enumerate(columns)
        if column.type in (DataType.INTEGER, DataType.FLOAT)
        and column.distinct > 2
        and (column.std or 0.0) > 0
        and column.missing <= _MAX_MISSING * column.rows
    ]
    names = [columns[i].name for i in places]
    if label in names:
        places = [places[names.index(str(label))], *[i for i in places if columns[i].name != label]]
    places = places[:_MAX_NUMBERS]
    if len(places) < 2:
        return []
    rows = connection.execute(
        f"SELECT {', '.join(f'CAST(c{i} AS DOUBLE) AS c{i}' for i in places)} FROM {SAMPLE} "
        f"WHERE {' AND '.join(f'isfinite(CAST(c{i} AS DOUBLE))' for i in places)} LIMIT {_MAX_ROWS}"
    ).fetchnumpy()
    matrix = np.column_stack([np.asarray(rows[f"c{i}"], dtype=np.float64) for i in places])
    if len(matrix) < 5 * (_MAX_TERMS + 1):
        return []
    centred = matrix - matrix.mean(axis=0)
    scales = centred.std(axis=0)
    varying = scales > 0
    found: list[Finding] = []
    told: set[frozenset[int]] = set()
    for target in np.flatnonzero(varying):
        others = [int(k) for k in np.flatnonzero(varying) if k != target]
        terms = _terms(centred, scales, int(target), others)
        if terms is None or len(terms) < 2:
            continue
        group = frozenset([int(target), *terms])
        if group in told:
            continue
        told.add(group)
        sides = " ".join(
            _term(weight, columns[places[k]].name, is_first=n == 0) for n, (k, weight) in enumerate(terms.items())
        )
        name = columns[places[int(target)]].name
        members = tuple(columns[places[k]].name for k in terms)
        if name == label:
            text = f"{sides} = {name} in every sampled row: together they give the label away"
            found.append(Finding(kind="leak", text=text, columns=(*members, name)))
        else:
            text = f"{sides} = {name} in every sampled row" + _offset(matrix, int(target), terms)
            found.append(Finding(kind="redundant", text=text, columns=(*members, name)))
    return found


def _terms(
    centred: NDArray[np.float64], scales: NDArray[np.float64], target: int, others: Sequence[int]
) -> dict[int, float] | None:
    """Column → weight of a sum that is the target in every row, within rounding; None where there is none."""
    goal = centred[:, target] / scales[target]
    chosen: list[int] = []
    residual = goal
    for _ in range(_MAX_TERMS):
        left = [k for k in others if k not in chosen]
        if not left:
            return None
        gains = np.abs(residual @ (centred[:, left] / scales[left]))
        chosen.append(left[int(np.argmax(gains))])
        basis = centred[:, chosen] / scales[chosen]
        weights, *_ = np.linalg.lstsq(basis, goal, rcond=None)
        residual = goal - basis @ weights
        if np.abs(residual).max() < _RESIDUAL:
            real = weights * scales[target] / scales[chosen]
            return {
                k: float(w) for k, w in zip(chosen, real, strict=True) if abs(w * scales[k]) > 1e-5 * scales[target]
            }
    return None


def _term(weight: float, name: str, *, is_first: bool) -> str:
    rounded = round(weight, 6)
    size = abs(rounded)
    factor = "" if size == 1 else f"{shown_number(size)} × "
    sign = "-" if rounded < 0 else ("" if is_first else "+")
    return f"{sign}{factor}{name}" if is_first else f"{sign} {factor}{name}"


def _offset(matrix: NDArray[np.float64], target: int, terms: dict[int, float]) -> str:
    rest = float(np.mean(matrix[:, target] - sum(weight * matrix[:, k] for k, weight in terms.items())))
    return (
        "" if abs(rest) < 1e-6 * max(1.0, float(np.abs(matrix[:, target]).max())) else f" but for {shown_number(rest)}"
    )


def _determining(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile], label: str, told: set[frozenset[str]]
) -> list[Finding]:
    """Columns each of whose values goes with one class only, or whose ranges differ by class."""
    place = next(i for i, column in enumerate(columns) if column.name == label)
    target = columns[place]
    if not (1 < target.distinct <= _MAX_CLASSES) or target.type is DataType.TIMESTAMP:
        return []
    if _may_be_chance([target], tries=len(columns)):
        return []
    found = []
    for i, column in enumerate(columns):
        if i == place or column.distinct < 2 or frozenset((column.name, label)) in told:
            continue
        if column.distinct <= min(_MAX_VALUES, column.present / _MIN_ROWS_A_VALUE):
            query = (
                f"SELECT max(n) FROM (SELECT count(DISTINCT c{place}) AS n FROM {SAMPLE} "
                f"WHERE c{i} IS NOT NULL AND c{place} IS NOT NULL GROUP BY c{i})"
            )
            if _only(connection, query) == 1:
                text = f"{column.name} gives the label {label} away: each of its values goes with one class only"
                found.append(Finding(kind="leak", text=text, columns=(column.name, label)))
        elif column.type in (DataType.INTEGER, DataType.FLOAT):
            query = (
                "SELECT count(CASE WHEN low <= before THEN 1 END) FROM (SELECT low, max(high) OVER "
                "(ORDER BY low ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM "
                f"(SELECT min(c{i}) AS low, max(c{i}) AS high FROM {SAMPLE} "
                f"WHERE c{i} IS NOT NULL AND c{place} IS NOT NULL GROUP BY c{place}))"
            )
            if _only(connection, query) == 0:
                text = f"{column.name} gives the label {label} away: its ranges do not overlap between classes"
                found.append(Finding(kind="leak", text=text, columns=(column.name, label)))
    return found


def _ordering(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[ColumnProfile], label: str, told: set[frozenset[str]]
) -> list[Finding]:
    """Columns by whose order the label never falls, or never rises: logarithms, roundings, ids of sorted rows."""
    place = next(i for i, column in enumerate(columns) if column.name == label)
    kinds = (DataType.INTEGER, DataType.FLOAT, DataType.TIMESTAMP)
    if columns[place].type not in kinds or columns[place].distinct < _MIN_ORDERED:
        return []
    found = []
    for i, column in enumerate(columns):
        names = frozenset((column.name, label))
        if i == place or names in told or column.type not in kinds or column.distinct < _MIN_ORDERED:
            continue
        pairs = f"SELECT c{i} AS x, c{place} AS y FROM {SAMPLE} WHERE c{i} IS NOT NULL AND c{place} IS NOT NULL"
        falls, rises = (
            f"count(CASE WHEN y {sign} before THEN 1 END) FROM (SELECT y, lag(y) OVER (ORDER BY x, y{order}) AS before "
            f"FROM ({pairs}))"
            for sign, order in (("<", ""), (">", " DESC"))
        )
        if 0 in (_only(connection, f"SELECT {falls}"), _only(connection, f"SELECT {rises}")):
            text = f"{column.name} gives the label {label} away: sorted by it, the rows are sorted by the label"
            found.append(Finding(kind="leak", text=text, columns=(column.name, label)))
    return found


def _only(connection: duckdb.DuckDBPyConnection, query: str) -> int | None:
    answer = connection.execute(query).fetchone()
    assert answer is not None
    return None if answer[0] is None else int(answer[0])
