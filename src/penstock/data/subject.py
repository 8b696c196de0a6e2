"""A column before the pass over all rows, and what a sample of the rows says of its values."""

import math
from dataclasses import dataclass
from typing import Any

import duckdb

from penstock.data.sample import SAMPLE, SampledRows
from penstock.data.schema import DataType
from penstock.data.survey import ColumnSurvey

__all__ = ["MAX_FREQUENT", "MIN_FREQUENT_SHARE", "Subject", "frequent_values", "sampled_distinct", "sampled_values"]

MAX_FREQUENT = 100
MIN_FREQUENT_SHARE = 1e-3
_MIN_COUNT = 3


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A column before the pass. place: it is `c<place>` in the SQL of all rows and of the sample.

    kept: how many values to keep. survey: what an earlier pass found, None in the first: then the sample has to do.
    """

    type: DataType
    place: int
    kept: int
    sample: SampledRows
    survey: ColumnSurvey | None

    @property
    def name(self) -> str:
        return f"c{self.place}"

    @property
    def value(self) -> str:
        """SQL of the column's values as Python gets them: timestamps as microseconds."""
        return f"epoch_us({self.name})" if self.type is DataType.TIMESTAMP else self.name

    @property
    def number(self) -> str:
        return f"CAST({self.value} AS DOUBLE)"

    @property
    def hash(self) -> str:
        """SQL of a value's hash; whole numbers hash as the same floats do."""
        return f"hash({self.name})" if self.type is DataType.STRING else f"hash({self.number})"


def sampled_values(subject: Subject, connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """The different values of the sample. The empty text is left out: DuckDB has it stand for all other texts."""
    query = f"SELECT DISTINCT {subject.value} FROM {SAMPLE} WHERE {subject.name} IS NOT NULL ORDER BY 1"
    return [row[0] for row in connection.execute(query).fetchall() if row[0] != ""]


def sampled_distinct(subject: Subject, connection: duckdb.DuckDBPyConnection) -> int:
    """About how many different values all rows hold, by those of the sample: the GEE of Charikar et al., PODS 2000."""
    answer = connection.execute(
        f"SELECT count(*), count(CASE WHEN n = 1 THEN 1 END) FROM (SELECT count(*) AS n FROM {SAMPLE} "
        f"WHERE {subject.name} IS NOT NULL GROUP BY {subject.name})"
    ).fetchone()
    assert answer is not None
    different, once = int(answer[0]), int(answer[1])
    scale = math.sqrt(max(subject.sample.total, 1) / max(subject.sample.rows, 1))
    return round(different - once + scale * once)


def frequent_values(subject: Subject, connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """The values that are frequent in the sample. The empty text is none: DuckDB has it stand for all others."""
    least = max(_MIN_COUNT, math.ceil(subject.sample.rows * MIN_FREQUENT_SHARE))
    is_other = f"{subject.name} = ''" if subject.type is DataType.STRING else f"isinf({subject.number})"
    rows = connection.execute(
        f"SELECT {subject.value}, count(*) FROM {SAMPLE} WHERE {subject.name} IS NOT NULL AND NOT ({is_other}) "
        f"GROUP BY 1 HAVING count(*) >= {least} ORDER BY 2 DESC, 1 LIMIT {MAX_FREQUENT}"
    ).fetchall()
    return [row[0] for row in rows]
