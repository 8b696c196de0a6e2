"""Some rows of a table, held in DuckDB: all of them where they are few, else spread evenly over the files."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from penstock.data.engine import Workspace
from penstock.data.files import HEAD_BYTES, copy_name
from penstock.data.scan import CsvLayout, Scan

__all__ = ["SAMPLE", "SampledRows", "draw_sample", "estimated_rows"]

SAMPLE = "sampled_rows"
"""Name of the temporary table; its columns are c0, c1, …, places in the table."""

_SPOTS = 256


@dataclass(frozen=True)
class SampledRows:
    """rows: how many were drawn; total: of how many, about where the table was not read yet."""

    rows: int
    total: int

    @property
    def is_whole(self) -> bool:
        return self.rows >= self.total


def draw_sample(
    connection: duckdb.DuckDBPyConnection, scan: Scan, *, rows: int, total: int, workspace: Workspace
) -> SampledRows:
    """About `rows` of the `total` rows of a scan as the temporary table `SAMPLE`; the same ones every time.

    From CSV files of one line a row they are blocks of lines at 256 places spread over the bytes, which costs no pass.
    """
    if total <= rows:
        query = scan.select(is_numbered=True)
    elif isinstance(scan.source, CsvLayout) and not scan.source.has_line_breaks:
        query = _spots(scan, scan.source, rows=rows, total=total, workspace=workspace)
    else:
        chosen = scan.select(is_numbered=True)
        query = f"SELECT * FROM ({chosen}) USING SAMPLE reservoir({rows} ROWS) REPEATABLE (1)"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {SAMPLE} AS {query}")
    answer = connection.execute(f"SELECT count(*) FROM {SAMPLE}").fetchone()
    assert answer is not None
    return SampledRows(rows=int(answer[0]), total=total)


def estimated_rows(layout: CsvLayout) -> int:
    """About how many rows CSV files have, by the length of the lines they begin with."""
    files = [Path(path) for path in layout.paths]
    with files[0].open("rb") as opened:
        head = opened.read(HEAD_BYTES)
    return round(sum(file.stat().st_size for file in files) * max(head.count(b"\n"), 1) / max(len(head), 1))


def _spots(scan: Scan, layout: CsvLayout, *, rows: int, total: int, workspace: Workspace) -> str:
    target = copy_name(workspace, "spots")
    files = [Path(path) for path in layout.paths]
    sizes = [file.stat().st_size for file in files]
    row_bytes = max(1.0, sum(sizes) / total)
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
    as_text = [replace(plan, base_type="VARCHAR") for plan in scan.plans]
    chosen = ", ".join(f"{plan.value} AS c{i}" for i, plan in enumerate(as_text))
    return f"SELECT {chosen} FROM {plain.source(['VARCHAR'] * len(as_text))}"
