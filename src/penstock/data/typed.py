"""Opens files that know their own types, Parquet and JSON lines, as a scan of the same kind as a CSV file's."""

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import duckdb
import msgspec

from penstock.data.cells import Judgement, Notation
from penstock.data.delimited import Opened
from penstock.data.engine import Workspace, connect, mapped_errors, quote_name
from penstock.data.files import SourceFile, copy_name, decompressed, read_head
from penstock.data.options import Detection, ReadOptions, RejectedRow, TableFormat
from penstock.data.plans import plan_text_column, verify_named_columns
from penstock.data.scan import ColumnPlan, Scan, json_source, parquet_source
from penstock.data.schema import DataType
from penstock.data.survey import PLAIN_PASS, MisfitError, Pass, survey_rows
from penstock.errors import DataError
from penstock.settings import Settings

__all__ = ["open_typed"]

_SAMPLE_ROWS = 2_000
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})
_FLOATS = re.compile(r"FLOAT|DOUBLE|UBIGINT|U?HUGEINT|DECIMAL\(.*\)")
_TIMES = re.compile(r"DATE|TIMESTAMP.*")


def open_typed(
    files: Sequence[SourceFile],
    *,
    kind: TableFormat,
    options: ReadOptions,
    settings: Settings,
    workspace: Workspace,
    reading: Pass = PLAIN_PASS,
) -> Opened:
    """Raises DataError naming what is wrong with a file, with the line for JSON."""
    detections: list[Detection] = []
    rejected: list[RejectedRow] = []
    plain = list(files)
    if kind is TableFormat.JSON_LINES:
        plain = [_plain_json(file, options, workspace=workspace, notes=(detections, rejected)) for file in files]
    paths = [str(file.path) for file in plain]
    are_lines = options.format is not None or not files[0].name.endswith(".json")
    is_parquet = kind is TableFormat.PARQUET
    source = parquet_source(paths, types=options.types) if is_parquet else json_source(paths, are_lines=are_lines)
    name = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
    with (
        connect(settings, readable=paths, temporary=workspace.path) as connection,
        mapped_errors(f"cannot read {name}"),
        _json_lines_named(plain if kind is TableFormat.JSON_LINES and are_lines else ()),
    ):
        described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        columns = [(str(row[0]), str(row[1])) for row in described]
        if kind is TableFormat.JSON_LINES and [column for column, _ in columns] == ["json"]:
            raise DataError(f'{name} holds no JSON objects; expected one object a line, such as {{"a": 1}}')
        verify_named_columns([column for column, _ in columns], options)
        texts = [column for column, sql_type in columns if sql_type == "VARCHAR" and kind is TableFormat.JSON_LINES]
        samples = _distinct(connection, source, texts)
        plans = tuple(_plan(column, sql_type, samples, options) for column, sql_type in columns)
        try:
            columns_of = Scan(source=source, plans=plans, parquet=tuple(paths) if is_parquet else ())
            scan, survey = survey_rows(connection, columns_of, samples={}, reading=reading)
        except MisfitError as error:
            raise DataError(f"{name}: {error}; leave the type as the file has it") from error
    return Opened(tuple(plain), scan, survey, tuple(detections), tuple(rejected))


def _plain_json(
    file: SourceFile,
    options: ReadOptions,
    *,
    workspace: Workspace,
    notes: tuple[list[Detection], list[RejectedRow]],
) -> SourceFile:
    """The file unpacked, and without the lines that are no objects where the user asked to leave such rows out."""
    opened, compression = decompressed(file, read_head(file), workspace=workspace)
    if compression is not None:
        notes[0].append(Detection(what="compression", value=compression, how="told by its first bytes"))
    if options.bad_rows == "error":
        return opened
    target = copy_name(workspace, "clean")
    with opened.path.open("rb") as lines, target.open("wb") as clean:
        for i, line in enumerate(lines):
            reason = _json_fault(line)
            if reason is None:
                clean.write(line)
            elif line.strip():
                text = line.decode("utf-8", errors="replace").rstrip("\r\n")[:200]
                notes[1].append(RejectedRow(file=file.name, line=i + 1, reason=reason, text=text))
    return SourceFile.of(file.name, target, origin=opened.origin)


@contextmanager
def _json_lines_named(files: Sequence[SourceFile]) -> Generator[None]:
    """Finds the line that DuckDB could not read: the one it names is often a later one."""
    try:
        yield
    except duckdb.Error as error:
        for file in files:
            with file.path.open("rb") as lines:
                for i, line in enumerate(lines):
                    if line.strip() and (reason := _json_fault(line)) is not None:
                        raise DataError(
                            f"{file.name} line {i + 1} is {reason}; mend the line, or reject rows that do not fit "
                            "(--bad-rows reject)"
                        ) from error
        raise


def _json_fault(line: bytes) -> str | None:
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return f"not JSON: {error}"
    return None if isinstance(value, dict) else "not a JSON object"


def _plan(column: str, sql_type: str, samples: dict[str, list[str]], options: ReadOptions) -> ColumnPlan:
    base = quote_name(column)
    own = _logical_type(sql_type)
    told = options.types.get(column)
    is_text = sql_type == "VARCHAR" or (told is not None and told is not own) or options.marks_of(column) is not None
    if not is_text:
        how = f"the file says {sql_type}"
        judgement = Judgement(own, Notation.PLAIN, (), how)
        return ColumnPlan(
            name=column, base=base, base_type=sql_type, judgement=judgement, is_told=True, is_whole_checked=True
        )
    as_text = base if sql_type == "VARCHAR" else f"CAST({base} AS VARCHAR)"
    plan = plan_text_column(column, samples.get(column, []), base=as_text, options=options, can_scan_typed=False)
    if told is None and (plan.type is not DataType.TIMESTAMP or sql_type != "VARCHAR"):
        marks = options.marks_of(column) or ()
        judgement = Judgement(own, Notation.PLAIN, marks, f"the file says {sql_type}")
        plan = ColumnPlan(
            name=column, base=as_text, base_type="VARCHAR", judgement=judgement, trim=False, is_told=True,
            are_marks_told=True,
        )  # fmt: skip
    return plan


def _logical_type(sql_type: str) -> DataType:
    if sql_type in _INTEGERS:
        return DataType.INTEGER
    if _FLOATS.fullmatch(sql_type):
        return DataType.FLOAT
    if sql_type == "BOOLEAN":
        return DataType.BOOLEAN
    return DataType.TIMESTAMP if _TIMES.fullmatch(sql_type) else DataType.STRING


def _distinct(connection: duckdb.DuckDBPyConnection, source: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """The texts at the beginning of each column, in one query: each would look at the whole file's structure anew."""
    if not columns:
        return {}
    trimmed = ", ".join(f"trim({quote_name(column)})" for column in columns)
    rows = connection.execute(f"SELECT {trimmed} FROM {source} LIMIT {_SAMPLE_ROWS}").fetchall()
    return {column: sorted({row[i] for row in rows if row[i]}) for i, column in enumerate(columns)}
