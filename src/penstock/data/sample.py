"""Some rows of a table, held in DuckDB: all of them where they are few, else spread evenly over the files."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from penstock.data.files import copy_name
from penstock.data.scan import ColumnPlan, CsvLayout
from penstock.data.table import Table

__all__ = ["SAMPLE", "SampledRows", "draw_sample"]

SAMPLE = "sampled_rows"
"""Name of the temporary table; its columns are c0, c1, …, places in the table."""

_SPOTS = 256


@dataclass(frozen=True)
class SampledRows:
    """rows: how many were drawn; is_whole: whether they are all rows of the table."""

    rows: int
    is_whole: bool


def draw_sample(connection: duckdb.DuckDBPyConnection, table: Table, *, rows: int) -> SampledRows:
    """About `rows` rows as the temporary table `SAMPLE` of a connection of the table; the same ones every time.

    From CSV files of one line a row they are blocks of lines at 256 places spread over the bytes, which costs no pass.
    """
    if table.count() <= rows:
        query = table.scan.select(is_numbered=True)
    elif isinstance(table.scan.source, CsvLayout) and not table.scan.source.has_line_breaks:
        query = _spots(table, table.scan.source, rows)
    else:
        query = (
            f"SELECT * FROM ({table.scan.select(is_numbered=True)}) USING SAMPLE reservoir({rows} ROWS) REPEATABLE (1)"
        )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {SAMPLE} AS {query}")
    answer = connection.execute(f"SELECT count(*) FROM {SAMPLE}").fetchone()
    assert answer is not None
    return SampledRows(rows=int(answer[0]), is_whole=table.count() <= rows)


def _spots(table: Table, layout: CsvLayout, rows: int) -> str:
    target = copy_name(table.workspace, "spots")
    files = [Path(path) for path in layout.paths]
    sizes = [file.stat().st_size for file in files]
    row_bytes = max(1.0, sum(sizes) / table.count())
    with target.open("wb") as spots:
        for file, size in zip(files, sizes, strict=True):
            count = max(1, round(_SPOTS * size / sum(sizes)))
            spot_bytes = max(int(rows * row_bytes / _SPOTS), int(2 * row_bytes))
            with file.open("rb") as opened:
                for i in range(count):
                    opened.seek(size * i // count)
                    opened.readline()
                    block = opened.read(min(spot_bytes, size // count))
                    spots.write(block[: block.rfind(b"\n") + 1])
    plain = replace(layout, paths=(str(target),), skip_lines=0, has_header=False, is_lenient=True)
    plans = [_as_text(plan) for plan in table.scan.plans]
    chosen = ", ".join(f"{plan.value} AS c{i}" for i, plan in enumerate(plans))
    return f"SELECT {chosen} FROM {plain.source([plan.base_type for plan in plans])}"


def _as_text(plan: ColumnPlan) -> ColumnPlan:
    """The same column made from text, which leaves out what it cannot read instead of failing."""
    return replace(plan, base_type="VARCHAR")
