"""The SQL that reads typed columns out of files: what DuckDB scans, and one expression a column on top of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from penstock.data.cells import CERTAIN_MARKS, ISO_OFFSET_PATTERN, Judgement, Notation
from penstock.data.dialect import MAX_LINE_BYTES
from penstock.data.engine import quote_name, quote_text
from penstock.data.schema import DataType

__all__ = ["PARQUET_FILE", "SQL_TYPES", "ColumnPlan", "CsvLayout", "Scan", "json_source", "parquet_source", "path_list"]

PARQUET_FILE = "penstock file name"

SQL_TYPES = {
    DataType.INTEGER: "BIGINT",
    DataType.FLOAT: "DOUBLE",
    DataType.BOOLEAN: "BOOLEAN",
    DataType.STRING: "VARCHAR",
    DataType.TIMESTAMP: "TIMESTAMP",
}

_NEW_LINE = r", new_line = '\r\n'"

_COMMA_GROUPS = r"[+-]?([0-9]{1,3}(,[0-9]{3})+|[0-9]+)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
_DECIMAL_COMMA = r"[+-]?([0-9]{1,3}(\.[0-9]{3})+|[0-9]+)(,[0-9]+)?"
_TRUE = "'true', 't', 'yes', 'y', '1'"
_FALSE = "'false', 'f', 'no', 'n', '0'"


@dataclass(frozen=True, kw_only=True)
class ColumnPlan:
    """How one column is read.

    base: SQL of the column as scanned. base_type: its type there.
    trim: whether spaces around cells are dropped; is_padded: whether there may be any.
    is_told: whether the user named the type. are_marks_told: whether the user named the null marks.
    is_whole_checked: whether all cells of an integer column are known to be whole; until then it is read as DOUBLE.
    """

    name: str
    base: str
    base_type: str
    judgement: Judgement
    timezone: str = "UTC"
    trim: bool = True
    is_padded: bool = True
    is_told: bool = False
    are_marks_told: bool = False
    is_whole_checked: bool = False

    @property
    def type(self) -> DataType:
        return self.judgement.type

    @property
    def is_text(self) -> bool:
        """Whether the column is scanned as text and made into its type by `value`."""
        return self.base_type == "VARCHAR"

    @property
    def cell(self) -> str:
        """A text column's cell: trimmed, NULL where it is empty or a null mark."""
        text, marks = self.trimmed, self.null_marks
        if not marks:
            return f"nullif({text}, '')"
        longest = max(len(mark.encode()) for mark in marks)
        is_mark = " OR ".join(f"{text} = {quote_text(mark)}" for mark in ("", *marks))
        return f"CASE WHEN strlen({text}) <= {longest} AND ({is_mark}) THEN NULL ELSE {text} END"

    @property
    def trimmed(self) -> str:
        if not self.trim or not self.is_padded:
            return self.base
        # DuckDB's trim takes ten times as long as a look at both ends; other spaces than ' ' are not ASCII.
        base = self.base
        return (
            f"CASE WHEN prefix({base}, ' ') OR suffix({base}, ' ') OR strlen({base}) <> length({base}) "
            f"THEN trim({base}) ELSE {base} END"
        )

    @property
    def null_marks(self) -> tuple[str, ...]:
        """Until all cells were seen, every certain mark counts in text; afterwards those that are there."""
        if self.type is DataType.STRING and not self.are_marks_told and not self.is_whole_checked:
            return tuple(dict.fromkeys((*self.judgement.marks, *CERTAIN_MARKS)))
        return self.judgement.marks

    @property
    def value(self) -> str:
        """The column as SQL of its type; NULL where the cell is missing or cannot be read."""
        return self.value_of(self.cell) if self.is_text else self._converted()

    def value_of(self, cell: str) -> str:
        """The value of a text column, of the SQL of its cell."""
        match self.type:
            case DataType.STRING:
                return cell
            case DataType.INTEGER | DataType.FLOAT:
                return self._number(cell)
            case DataType.BOOLEAN:
                lower = f"lower({cell})"
                return f"CASE WHEN {lower} IN ({_TRUE}) THEN true WHEN {lower} IN ({_FALSE}) THEN false END"
            case _:
                return self._timestamp(cell)

    def checked(self, judgement: Judgement) -> "ColumnPlan":
        """The plan once all cells were seen."""
        base_type = "BIGINT" if self.base_type == "DOUBLE" and judgement.type is DataType.INTEGER else self.base_type
        return replace(self, judgement=judgement, base_type=base_type, is_whole_checked=True)

    def _converted(self) -> str:
        kind = self.base_type
        if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL"):
            return f"nullif(CAST({self.base} AS DOUBLE), 'nan'::DOUBLE)"
        if kind == "TIMESTAMP WITH TIME ZONE":
            return f"make_timestamp(epoch_us({self.base}))"
        if kind == SQL_TYPES[self.type]:
            return self.base
        if self.type is DataType.STRING and (kind == "JSON" or re.search(r"\[|\(", kind)):
            return f"CAST(to_json({self.base}) AS VARCHAR)"
        return f"CAST({self.base} AS {SQL_TYPES[self.type]})"

    def _number(self, cell: str) -> str:
        kind = "BIGINT" if self.type is DataType.INTEGER and self.is_whole_checked else "DOUBLE"
        match self.judgement.notation:
            case Notation.LONG_INTEGER:
                return f"CASE WHEN regexp_full_match({cell}, '[+-]?[0-9]+') THEN TRY_CAST({cell} AS BIGINT) END"
            case Notation.COMMA_GROUPS:
                pattern, digits = _COMMA_GROUPS, f"replace({cell}, ',', '')"
            case Notation.DECIMAL_COMMA:
                pattern, digits = _DECIMAL_COMMA, f"replace(replace({cell}, '.', ''), ',', '.')"
            case _:
                number = f"TRY_CAST({cell} AS {kind})"
                return f"nullif({number}, 'nan')" if kind == "DOUBLE" else number
        return f"CASE WHEN regexp_full_match({cell}, {quote_text(pattern)}) THEN TRY_CAST({digits} AS {kind}) END"

    def _timestamp(self, cell: str) -> str:
        """DuckDB's TIMESTAMP drops an offset silently and its TIMESTAMPTZ is slow: each reads what is meant for it."""
        zone = quote_text(self.timezone)
        local = f"TRY_CAST({cell} AS TIMESTAMP)"
        if self.timezone != "UTC":
            local = f"timezone('UTC', timezone({zone}, {local}))"
        has_no_offset = (
            f"strlen({cell}) = 10 OR (strlen({cell}) = 19 AND substr({cell}, 17, 1) = ':') "
            f"OR NOT regexp_matches({cell}, {quote_text(ISO_OFFSET_PATTERN)})"
        )
        iso = (
            f"CASE WHEN {has_no_offset} THEN {local} ELSE make_timestamp(epoch_us(TRY_CAST({cell} AS TIMESTAMPTZ))) END"
        )
        if not self.judgement.formats:
            return iso
        tried = [self._strptime(cell, form) for form in self.judgement.formats]
        read = f"coalesce({', '.join(tried)})" if len(tried) > 1 else tried[0]
        if self.timezone != "UTC":
            read = f"timezone('UTC', timezone({zone}, {read}))"
        return f"coalesce({iso}, {read})"

    def _strptime(self, cell: str, form: str) -> str:
        """DuckDB reads "14" as the year 14 where %Y stands; strptime wants four digits, and so do we."""
        read = f"try_strptime({cell}, {quote_text(form)})"
        return f"CASE WHEN regexp_matches({cell}, '[0-9]{{4}}') THEN {read} END" if "%Y" in form else read


@dataclass(frozen=True, kw_only=True)
class CsvLayout:
    """CSV files with nothing left to guess.

    has_long_lines: whether a line exceeds DuckDB's usual bound of 2 MB. has_line_breaks: whether cells hold any.
    is_lenient: whether rows that do not fit are left out silently.
    is_rewritten: whether we wrote the files: their lines end alike whatever breaks cells hold, and DuckDB is told so.
    """

    paths: tuple[str, ...]
    delimiter: str
    quote: str
    skip_lines: int
    has_header: bool
    has_long_lines: bool = False
    has_line_breaks: bool = False
    is_lenient: bool = False
    is_rewritten: bool = False

    def source(self, types: Sequence[str]) -> str:
        """A call of read_csv that reads the columns as c0, c1, … of these types."""
        columns = ", ".join(f"c{i}: '{kind}'" for i, kind in enumerate(types))
        quote = quote_text(self.quote)
        long_lines = (
            f", max_line_size = {MAX_LINE_BYTES}, buffer_size = {MAX_LINE_BYTES}" if self.has_long_lines else ""
        )
        return (
            f"read_csv({path_list(self.paths)}, columns = {{{columns}}}, auto_detect = false, "
            f"delim = {quote_text(self.delimiter)}, quote = {quote}, escape = {quote}, "
            f"header = {str(self.has_header).lower()}, skip = {self.skip_lines}, nullstr = ''"
            f"{long_lines}{', ignore_errors = true' if self.is_lenient else ''}"
            f"{_NEW_LINE if self.is_rewritten else ''})"
        )


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Columns over a source: CSV files, or the SQL of a table function that knows its types.

    parquet: the files, where that function reads Parquet: any range of their rows can be read by itself.
    """

    source: CsvLayout | str
    plans: tuple[ColumnPlan, ...]
    parquet: tuple[str, ...] = ()

    @property
    def source_sql(self) -> str:
        if isinstance(self.source, str):
            return self.source
        return self.source.source([plan.base_type for plan in self.plans])

    def select(self, names: Sequence[str] | None = None, *, is_numbered: bool = False) -> str:
        """A SELECT of the columns under their own names, or under c0, c1, … (places in the table) if `is_numbered`."""
        chosen = [
            f"{plan.value} AS {f'c{i}' if is_numbered else quote_name(plan.name)}"
            for i, plan in enumerate(self.plans)
            if names is None or plan.name in names
        ]
        return f"SELECT {', '.join(chosen)} FROM {self.source_sql}"


def parquet_source(
    paths: Iterable[str], *, types: Mapping[str, DataType] | None = None, is_numbered: bool = False
) -> str:
    """types: of columns that stand in the names of folders, `zone=01`; for the others the files know them.

    is_numbered: with the columns `file_row_number` and `PARQUET_FILE`, by which ranges of rows are read.
    """
    found = list(paths)
    in_folders = {
        unquote(part.partition("=")[0]) for path in found[:1] for part in Path(path).parent.parts if "=" in part
    }
    told = ", ".join(
        f"{quote_text(name)}: {SQL_TYPES[kind]}" for name, kind in (types or {}).items() if name in in_folders
    )
    hive_types = f", hive_types = {{{told}}}" if told else ""
    numbers = f", file_row_number = true, filename = {quote_text(PARQUET_FILE)}" if is_numbered else ""
    return f"read_parquet({path_list(found)}, union_by_name = true{hive_types}{numbers})"


def json_source(paths: Iterable[str], *, are_lines: bool) -> str:
    """read_json with the types of all values; what is nested stays JSON. are_lines: whether each line is an object."""
    layout = "newline_delimited" if are_lines else "auto"
    return (
        f"read_json({path_list(paths)}, format = '{layout}', maximum_depth = 2, sample_size = -1, "
        f"maximum_object_size = {MAX_LINE_BYTES})"
    )


def path_list(paths: Iterable[str]) -> str:
    return "[" + ", ".join(quote_text(path) for path in paths) + "]"
