"""What each step that looks at more than a row is in SQL; row-wise steps are projections."""

from collections.abc import Mapping
from functools import singledispatch

from penstock.data.expressions.sql_call import text_sql
from penstock.data.expressions.symbols import call, column
from penstock.data.recipe.projection import with_columns
from penstock.data.recipe.sql.relation import Relation, cast, nothing, projected
from penstock.data.recipe.steps.aggregate import Aggregate, Grouping, Pivot, Unpivot
from penstock.data.recipe.steps.base import Step
from penstock.data.recipe.steps.combine import Join, Union
from penstock.data.recipe.steps.nested import Explode
from penstock.data.recipe.steps.rows import Deduplicate, OrderKey, Sample, Sort, row_hash
from penstock.data.recipe.steps.split import Split
from penstock.data.recipe.steps.window import Window
from penstock.data.schema import Column, DataType, Schema

__all__ = ["applied", "ordering"]

Tables = Mapping[str, Relation]
"""The other tables by the name that steps have for them."""

_LARGEST = 2**53


def applied(step: Step, relation: Relation, tables: Tables) -> Relation:
    """The rows after a step, whose statistics are resolved."""
    if step.is_row_wise:
        for projection in step.project(relation.schema):
            relation = projected(relation, projection)
        return relation
    match step:
        case Join():
            return _joined(step, relation, tables[step.other])
        case Union():
            return _united(step, relation, tables)
        case _:
            return _applied(step, relation)


@singledispatch
def _applied(step: Step, relation: Relation) -> Relation:
    raise NotImplementedError(f"{step.step} over {relation.schema.names}")


@_applied.register
def _(step: Sort, relation: Relation) -> Relation:
    return _kept(relation, f"ORDER BY {ordering(relation, step.by)}")


@_applied.register
def _(step: Deduplicate, relation: Relation) -> Relation:
    if not step.by or set(step.by) == set(relation.schema.names):
        chosen = ", ".join(relation.columns.values())
        return Relation(f"(SELECT DISTINCT {chosen} FROM {relation.sql})", relation.schema)
    alike = ", ".join(relation.column(name) for name in step.by)
    order = ordering(relation, step.order, shared=step.by)
    place = f"row_number() OVER (PARTITION BY {alike} ORDER BY {order})"
    return _kept(relation, f"QUALIFY {place} = 1")


@_applied.register
def _(step: Sample, relation: Relation) -> Relation:
    hashed = _with_hash(relation, step.seed)
    order = f"{hashed.column(_HASH)}, {ordering(relation, ())}"
    return _kept(Relation(hashed.sql, relation.schema), f"ORDER BY {order} LIMIT {step.rows}")


@_applied.register
def _(step: Split, relation: Relation) -> Relation:
    hashed = _with_hash(relation, step.seed)
    alike = ", ".join(relation.column(name) for name in step.by)
    order = f"{hashed.column(_HASH)}, {ordering(relation, ())}"
    placed = (
        f"(SELECT *, (row_number() OVER (PARTITION BY {alike} ORDER BY {order}) - CAST(0.5 AS DOUBLE)) / "
        f"CAST(count(*) OVER (PARTITION BY {alike}) AS DOUBLE) AS place FROM {hashed.sql})"
    )
    *named, last = step.parts
    cases = [
        f"WHEN place < CAST('{threshold!r}' AS DOUBLE) THEN {text_sql(name)}"
        for name, threshold in zip(named, step.thresholds, strict=True)
    ]
    part = f"CASE {' '.join(cases)} ELSE {text_sql(last)} END"
    return Relation(placed, relation.schema).select(
        [*relation.columns.values(), part], step.output(relation.schema, {})
    )


def _united(step: Union, relation: Relation, tables: Tables) -> Relation:
    after = step.output(relation.schema, {source: tables[source].schema for source in step.others})
    parts = []
    for part in (relation, *(tables[source] for source in step.others)):
        values = [
            cast(part.column(item.name), part.schema[item.name].type, item.type)
            if item.name in part.schema
            else nothing(item.type)
            for item in after
        ]
        parts.append(part.select(values, after).sql)
    return Relation(f"({' UNION ALL '.join(parts)})", after)


def _joined(step: Join, relation: Relation, other: Relation) -> Relation:
    after = step.output(relation.schema, {step.other: other.schema})
    equal = []
    for here, there in step.on.items():
        kinds = {relation.schema[here].type, other.schema[there].type}
        kind = DataType.FLOAT if len(kinds) > 1 else kinds.pop()
        left = cast(relation.column(here, of="l"), relation.schema[here].type, kind)
        right = cast(other.column(there, of="r"), other.schema[there].type, kind)
        equal.append(f"{left} = {right}")
    words = {"semi": "SEMI JOIN", "anti": "ANTI JOIN", "cross": "CROSS JOIN"}
    joined = words.get(step.how, f"{step.how.upper()} JOIN")
    condition = "" if step.how == "cross" else f"ON {' AND '.join(equal)}"
    values = []
    for item in relation.schema:
        value = relation.column(item.name, of="l")
        if step.how in ("right", "full") and item.name in step.on:
            partner = other.column(step.on[item.name], of="r")
            value = f"coalesce({value}, {partner})"
        values.append(value)
    values.extend(other.column(name, of="r") for name in step.added(relation.schema, other.schema))
    return relation.select(values, after, alias="AS l", after=f"{joined} {other.sql} AS r {condition}")


@_applied.register
def _(step: Aggregate, relation: Relation) -> Relation:
    return _grouped(relation, step.grouping(relation.schema))


@_applied.register
def _(step: Pivot, relation: Relation) -> Relation:
    return _grouped(relation, step.grouping(relation.schema))


@_applied.register
def _(step: Unpivot, relation: Relation) -> Relation:
    after = step.output(relation.schema, {})
    kind = after[step.value].type
    names = ", ".join(text_sql(name) for name in step.columns)
    values = ", ".join(cast(relation.column(name), relation.schema[name].type, kind) for name in step.columns)
    staying = [relation.column(name) for name in relation.schema.names if name not in step.columns]
    rows = relation.select([*staying, f"unnest([{names}])", f"unnest([{values}])"], after)
    return rows if step.keep_missing else _kept(rows, f"WHERE {rows.column(step.value)} IS NOT NULL")


@_applied.register
def _(step: Explode, relation: Relation) -> Relation:
    source = relation.column(step.column)
    elements = f"CASE WHEN json_valid({source}) THEN json_extract_string({source}, '$[*]') END"
    # The path above finds the members of objects as well.
    is_list = f"json_valid({source}) AND json_type({source}) = 'ARRAY'"
    listing = f"CASE WHEN {is_list} THEN {elements} ELSE CAST([] AS VARCHAR[]) END"
    if step.keep_empty:
        listing = f"CASE WHEN {is_list} AND json_array_length({source}) > 0 THEN {elements} ELSE [NULL] END"
        places = f"CASE WHEN {is_list} AND json_array_length({source}) > 0 THEN range(len(list)) ELSE [NULL] END"
    else:
        places = "range(len(list))"
    texts = [
        Column(name=step.element, type=DataType.STRING, nullable=True) if item.name == step.column else item
        for item in relation.schema
    ]
    values = ["unnest(list)" if item.name == step.column else relation.column(item.name) for item in relation.schema]
    if step.position is not None:
        texts.append(Column(name=step.position, type=DataType.INTEGER, nullable=True))
        values.append(f"unnest({places})")
    listed = Relation(f"(SELECT *, {listing} AS list FROM {relation.sql})", relation.schema)
    rows = listed.select(values, Schema(tuple(texts)))
    if step.type is not DataType.STRING:
        read = call(str(step.type), column(step.element)).expression
        rows = projected(rows, with_columns(rows.schema, {step.element: read}))
    return Relation(rows.sql, step.output(relation.schema, {}))


@_applied.register
def _(step: Window, relation: Relation) -> Relation:
    window = step.neighbourhood(relation.schema)
    rows = projected(relation, window.before)
    alike = ", ".join(rows.column(name) for name in step.by)
    partition = f"PARTITION BY {alike}" if alike else ""
    keys = _keys(rows, step.order)
    # Ties are broken by the columns that were there, so that neighbours are always the same; but not by those that all
    # rows of a partition share, which would only make the keys longer that are sorted.
    whole = f"{partition} ORDER BY {ordering(relation, step.order, shared=step.by)}" if step.order else partition
    values = [rows.column(name) for name in relation.schema.names]
    for _, function, source, count in window.calls:
        value = rows.column(source) if source is not None else ""
        if function in ("rank", "dense_rank"):
            over = f"({partition} ORDER BY {keys})"
            values.append(f"{function}() OVER {over}")
        elif function == "row_number":
            values.append(f"row_number() OVER ({whole})")
        elif function in ("lag", "lead"):
            values.append(f"{function}({value}, {count}) OVER ({whole})")
        else:
            extent, _, name = function.partition("_")
            frame = {
                "rolling": f"{whole} ROWS BETWEEN {count - 1} PRECEDING AND CURRENT ROW",
                "running": f"{whole} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                "total": partition,
            }[extent]
            values.append(f"{_FRAMED[name].format(value)} OVER ({frame})")
    results = [result for result, *_ in window.calls]
    wide = rows.select(values, window.schema)
    guarded = [_fitting(wide.column(result.name), result.type) for result in results]
    return wide.select([*(wide.column(name) for name in relation.schema.names), *guarded], window.schema)


_HASH = "\ue001hash"
"""No column of a table has such a name."""

_FRAMED = {
    "sum": "sum({})",
    "mean": "avg(CAST({} AS DOUBLE))",
    "min": "min({})",
    "max": "max({})",
    "count": "count({})",
    "std": "stddev_samp(CAST({} AS DOUBLE))",
}

_GROUPED = {
    "count": "count({0})",
    "distinct": "count(DISTINCT {0})",
    "sum": "sum({0})",
    "mean": "favg(CAST({0} AS DOUBLE))",
    "min": "min({0})",
    "max": "max({0})",
    "median": "quantile_cont(CAST({0} AS DOUBLE), 0.5)",
    "quantile": "quantile_cont(CAST({0} AS DOUBLE), {1!r})",
    "std": "stddev_samp(CAST({0} AS DOUBLE))",
    "variance": "var_samp(CAST({0} AS DOUBLE))",
    # Of several values that are as frequent, mode takes the one it meets first.
    "mode": "mode({0} ORDER BY {0})",
    "any": "bool_or({0})",
    "all": "bool_and({0})",
}


def _grouped(relation: Relation, grouping: Grouping) -> Relation:
    rows = projected(relation, grouping.before)
    keys = [rows.column(name) for name in grouping.keys]
    values = []
    for result, function, source, number in grouping.calls:
        template = "fsum({0})" if function == "sum" and result.type is DataType.FLOAT else _GROUPED[function]
        values.append(template.format("*" if source is None else rows.column(source), number))
    groups = f"GROUP BY {', '.join(keys)}" if keys else ""
    wide = rows.select([*keys, *values], grouping.schema, after=groups)
    guarded = [_fitting(wide.column(result.name), result.type) for result, *_ in grouping.calls]
    return wide.select([*(wide.column(name) for name in grouping.keys), *guarded], grouping.schema)


def _fitting(value: str, kind: DataType) -> str:
    """Sums that are infinite, or whole beyond 2**53, are missing, as results of expressions are."""
    match kind:
        case DataType.INTEGER:
            return f"CASE WHEN abs({value}) <= {_LARGEST} THEN CAST({value} AS BIGINT) END"
        case DataType.FLOAT:
            return f"CASE WHEN isfinite({value}) THEN {value} END"
        case _:
            return value


def ordering(relation: Relation, keys: tuple[OrderKey, ...], *, shared: tuple[str, ...] = ()) -> str:
    """ORDER BY these keys and then every other column: rows that still tie are equal. shared: alike in all rows."""
    named = {*shared, *(key.column for key in keys)}
    rest = [OrderKey(name) for name in relation.schema.names if name not in named]
    return _keys(relation, (*keys, *rest))


def _keys(relation: Relation, keys: tuple[OrderKey, ...]) -> str:
    words = {"ascending": "ASC", "descending": "DESC"}
    return ", ".join(f"{relation.column(key.column)} {words[key.direction]} NULLS LAST" for key in keys)


def _kept(relation: Relation, after: str) -> Relation:
    return relation.select(list(relation.columns.values()), relation.schema, after=after)


def _with_hash(relation: Relation, seed: int) -> Relation:
    position = row_hash(relation.schema, (), seed).expression
    return projected(relation, with_columns(relation.schema, {_HASH: position}))
