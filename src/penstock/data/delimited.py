"""Opens CSV files: from bytes of unknown encoding and dialect to a scan whose every row and cell is accounted for."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import duckdb

from penstock.data.cells import MAX_INTEGER, judge, uses_decimal_comma
from penstock.data.dialect import Dialect, Sample, detect_dialect, parse_sample
from penstock.data.encoding import detect_encoding, named_encoding, whole_file_encoding
from penstock.data.engine import Workspace, connect, mapped_errors
from penstock.data.files import HEAD_BYTES, SourceFile, decompressed, read_head, transcoded
from penstock.data.options import Detection, ReadOptions, RejectedRow
from penstock.data.plans import plan_text_column, verify_named_columns
from penstock.data.repair import count_notes, has_odd_quotes_above, iterate_rows, repaired
from penstock.data.scan import ColumnPlan, CsvLayout, Scan
from penstock.data.schema import DataType
from penstock.data.survey import PLAIN_PASS, MisfitError, Pass, Survey, misfit_texts, survey_rows
from penstock.errors import DataError
from penstock.settings import Settings

__all__ = ["Opened", "open_delimited"]

_SPOTS = 16
_SPOT_BYTES = 1 << 15
_LONG_DIGITS = len(str(MAX_INTEGER))
_MAX_REPAIRS = 100
_WIDTH_ERROR = re.compile(
    r"CSV Error on Line: (\d+)\nOriginal Line: ?(.*)\nExpected Number of Columns: (\d+) Found: (\d+)"
)
_LINE_ERROR = re.compile(r"CSV Error on Line: (\d+)\nOriginal Line: ?(.*?)\n+(.*)")
_FILE_LINE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Opened:
    """An opened source: what to scan, what the first pass found, what was detected, and the rows left out."""

    files: tuple[SourceFile, ...]
    scan: Scan
    survey: Survey
    detections: tuple[Detection, ...]
    rejected: tuple[RejectedRow, ...] = ()


def open_delimited(
    files: Sequence[SourceFile],
    *,
    options: ReadOptions,
    settings: Settings,
    workspace: Workspace,
    reading: Pass = PLAIN_PASS,
) -> Opened:
    """Raises DataError naming the file, the line and what is wrong where a row does not fit."""
    detections: list[Detection] = []
    plain = [_as_utf8(file, options, workspace=workspace, detections=detections) for file in files]
    text, is_whole = _head_text(plain[0])
    dialect, sample, found = detect_dialect(text, name=plain[0].name, is_whole=is_whole, options=options)
    detections += found
    verify_named_columns(dialect.names, options)
    for other in plain[1:]:
        _verify_same_dialect(plain[0], other, dialect, options)
    if is_whole and (notes := count_notes(plain[0], dialect)):
        sample = Sample(sample.rows[:-notes], sample.lines[:-notes])
    samples = _distinct_cells(sample, dialect)
    padded = {i for row in sample.rows for i, cell in enumerate(row) if cell != cell.strip()}
    plans = _plans(plain[0], dialect, samples, options, padded=padded)
    opening = _Opening(plain, dialect, plans, samples, options, settings, workspace, reading)
    scan, survey = opening.run()
    if opening.is_transcoded:
        detections = [found for found in detections if found.what != "encoding"]
    return Opened(tuple(opening.files), scan, survey, (*detections, *opening.detections), tuple(opening.rejected))


class _Opening:
    """The attempts to read all rows: each failure that has a cure is cured in `files`, and the pass begins anew."""

    def __init__(
        self,
        files: list[SourceFile],
        dialect: Dialect,
        plans: tuple[ColumnPlan, ...],
        samples: Mapping[str, Sequence[str]],
        options: ReadOptions,
        settings: Settings,
        workspace: Workspace,
        reading: Pass,
    ) -> None:
        self.reading = reading
        self.originals = files
        self.files = files
        self.dialect = dialect
        self.plans = plans
        self.samples = samples
        self.options = options
        self.settings = settings
        self.workspace = workspace
        self.detections: list[Detection] = []
        self.rejected: list[RejectedRow] = []
        self._misfits: dict[int, tuple[str, frozenset[str]]] = {}
        self.is_transcoded = False
        self._is_clean = False
        self._has_long_lines = False

    def run(self) -> tuple[Scan, Survey]:
        if any(has_odd_quotes_above(file, self.dialect) for file in self.originals):
            self._repair()
            how = "one above the rows is not doubled or not closed; it was rewritten row by row"
            self.detections.append(Detection(what="quotes", value="odd", how=how))
        elif self._notes() or self.options.bad_rows == "reject":
            self._repair()
        for _ in range(_MAX_REPAIRS):
            scan = Scan(source=self._layout(), plans=self.plans)
            paths = [str(file.path) for file in self.files]
            connection = connect(self.settings, readable=paths, temporary=self.workspace.path)
            try:
                with connection, mapped_errors(f"cannot read {self._names()}"):
                    return self._survey(connection, scan)
            except _Retry:
                continue
        raise DataError(f"cannot read {self._names()}: no way of reading it fits all of its rows")

    def _survey(self, connection: duckdb.DuckDBPyConnection, scan: Scan) -> tuple[Scan, Survey]:
        try:
            return survey_rows(connection, scan, samples=self.samples, reading=self.reading)
        except MisfitError as error:
            self._reject_or_raise(connection, scan, error)
        except duckdb.InvalidInputException as error:
            self._mend_or_raise(error)
        raise _Retry

    def _layout(self) -> CsvLayout:
        dialect = self.dialect
        return CsvLayout(
            paths=tuple(str(file.path) for file in self.files),
            delimiter=dialect.delimiter,
            quote=dialect.quote or ('"' if self._is_clean else ""),
            skip_lines=0 if self._is_clean else dialect.skip_lines,
            has_header=dialect.has_header and not self._is_clean,
            has_long_lines=self._has_long_lines,
            is_rewritten=self._is_clean,
            has_line_breaks=any("\n" in text for texts in self.samples.values() for text in texts),
        )

    def _notes(self) -> int:
        return sum(count_notes(file, self.dialect) for file in self.originals)

    def _repair(self) -> None:
        self.rejected = []
        clean = []
        for file in self.originals:
            done, rejected = repaired(
                file,
                self.dialect,
                notes=count_notes(file, self.dialect),
                misfits=self._misfits,
                rejects=self.options.bad_rows == "reject",
                workspace=self.workspace,
            )
            clean.append(done)
            self.rejected += rejected
        self.files = clean
        self._is_clean = True
        notes = [row for row in self.rejected if row.reason == "a note below the table"]
        if notes:
            how = f"below an empty row they fill one cell of {len(self.dialect.names)}; they are left out"
            value = f"{len(notes)} rows from line {notes[0].line}"
            self.detections = [Detection(what="notes below the table", value=value, how=how)]

    def _reject_or_raise(self, connection: duckdb.DuckDBPyConnection, scan: Scan, error: MisfitError) -> None:
        index = next(i for i, plan in enumerate(scan.plans) if plan.name == error.plan.name)
        why = f"of type {error.plan.type}"
        if self.options.bad_rows == "reject":
            known = self._misfits.get(index, ("", frozenset()))[1]
            self._misfits[index] = (why, known | frozenset(misfit_texts(connection, scan, error.plan)))
            self._repair()
            return
        for file in self.originals:
            for row in iterate_rows(file, self.dialect):
                if len(row.cells) > index and row.cells[index].strip() == error.text:
                    raise DataError(
                        f"{file.name} line {row.line}: {error.text!r} in column {error.plan.name!r} is not {why}; "
                        "leave the type to be detected, or reject rows that do not fit"
                    ) from error
        raise DataError(f"{self._names()}: {error}") from error

    def _mend_or_raise(self, error: duckdb.InvalidInputException) -> None:
        message = str(error)
        if "unicode" in message and self.options.encoding is None and not self._is_clean:
            self._transcode(message)
        elif "invalid state" in message and not self._is_clean:
            self._repair()
            how = "line ends are mixed; it was rewritten row by row"
            self.detections.append(Detection(what="line ends", value="mixed", how=how))
        elif "line size" in message.lower() and not self._has_long_lines:
            self._has_long_lines = True
        else:
            raise _explained(message, self.originals) from error

    def _transcode(self, message: str) -> None:
        self.is_transcoded = True
        named = _FILE_LINE.search(message)
        mended = []
        for file in self.originals:
            if named is None or named[1] == str(file.path):
                encoding = whole_file_encoding(file.path)
                self.detections.append(Detection(what="encoding", value=encoding.codec, how=encoding.how))
                mended.append(transcoded(file, encoding, workspace=self.workspace))
            else:
                mended.append(file)
        self.originals = self.files = mended

    def _names(self) -> str:
        first = self.originals[0].name
        return first if len(self.originals) == 1 else f"{first} and {len(self.originals) - 1} more"


class _Retry(Exception):  # noqa: N818 a signal, not an error
    pass


def _as_utf8(
    file: SourceFile, options: ReadOptions, *, workspace: Workspace, detections: list[Detection]
) -> SourceFile:
    head = read_head(file)
    file, compression = decompressed(file, head, workspace=workspace)
    if compression is not None:
        detections.append(Detection(what="compression", value=compression, how="told by its first bytes"))
        head = read_head(file)
    encoding = detect_encoding(head) if options.encoding is None else named_encoding(options.encoding)
    if options.encoding is None:
        found = Detection(what="encoding", value=encoding.codec, how=encoding.how)
        if found not in detections:
            detections.append(found)
    return file if encoding.is_utf8 else transcoded(file, encoding, workspace=workspace)


def _head_text(file: SourceFile) -> tuple[str, bool]:
    head = read_head(file)
    return head.decode("utf-8-sig", errors="ignore"), len(head) < HEAD_BYTES


def _verify_same_dialect(first: SourceFile, other: SourceFile, dialect: Dialect, options: ReadOptions) -> None:
    text, is_whole = _head_text(other)
    same = replace(options, delimiter=dialect.delimiter, header=dialect.has_header)
    found, _, _ = detect_dialect(text, name=other.name, is_whole=is_whole, options=same)
    if found.names != dialect.names:
        raise DataError(
            f"{other.name} has the columns {', '.join(found.names)}, but {first.name} has {', '.join(dialect.names)}; "
            "files read as one table must have the same columns in the same order; "
            "to compare two tables, give the other to data profile as --against"
        )
    if found.skip_lines != dialect.skip_lines:
        raise DataError(
            f"the table begins in line {found.skip_lines + 1} of {other.name}, but in line {dialect.skip_lines + 1} "
            f"of {first.name}; read them one by one"
        )


def _distinct_cells(sample: Sample, dialect: Dialect) -> dict[str, list[str]]:
    width = len(dialect.names)
    rows = [row for row in sample.rows if len(row) == width]
    return {
        name: list(dict.fromkeys(cell for row in rows if (cell := row[i].strip())))
        for i, name in enumerate(dialect.names)
    }


def _plans(
    file: SourceFile,
    dialect: Dialect,
    samples: Mapping[str, Sequence[str]],
    options: ReadOptions,
    *,
    padded: Collection[int],
) -> tuple[ColumnPlan, ...]:
    decimal_comma = uses_decimal_comma(samples.values()) if options.decimal is None else options.decimal == ","
    plans = []
    for i, (name, texts) in enumerate(samples.items()):
        plans.append(
            plan_text_column(
                name, texts, base=f"c{i}", options=options, decimal_comma=decimal_comma, is_padded=i in padded
            )
        )
    zeros = _zero_padded_elsewhere(file, dialect, plans)
    return tuple(
        replace(plan, base_type="VARCHAR", judgement=judge([zeros[i]])) if i in zeros else plan
        for i, plan in enumerate(plans)
    )


def _zero_padded_elsewhere(file: SourceFile, dialect: Dialect, plans: Sequence[ColumnPlan]) -> dict[int, str]:
    """Zero-padded cells ("007") at spots spread over a large file, by column index: no later pass can see them."""
    whole = [i for i, plan in enumerate(plans) if plan.type is DataType.INTEGER and not plan.is_told]
    size = file.path.stat().st_size
    if size <= HEAD_BYTES or not whole:
        return {}
    zeros: dict[int, str] = {}
    with file.path.open("rb") as opened:
        for spot in range(1, _SPOTS + 1):
            opened.seek((size - _SPOT_BYTES) * spot // _SPOTS)
            text = opened.read(_SPOT_BYTES).partition(b"\n")[2].decode("utf-8", errors="replace")
            for row in parse_sample(text, delimiter=dialect.delimiter, quote=dialect.quote, is_whole=False).rows:
                if len(row) != len(dialect.names):
                    continue
                for i in whole:
                    cell = row[i].strip()
                    digits = cell.lstrip("+-")
                    may_be_code = len(digits) > 1 and (digits[0] == "0" or len(digits) >= _LONG_DIGITS)
                    if may_be_code and digits.isdecimal() and judge([cell]).type is DataType.STRING:
                        zeros.setdefault(i, cell)
    return zeros


def _explained(message: str, files: Sequence[SourceFile]) -> DataError:
    """DuckDB's account of a row it cannot read, in one paragraph and with the user's name of the file."""
    named = _FILE_LINE.search(message)
    name = next((file.name for file in files if named and str(file.path) == named[1]), files[0].name)
    width = _WIDTH_ERROR.search(message)
    tail = "mend the line, or reject rows that do not fit (--bad-rows reject)"
    if width:
        line, text, expected, found = width.groups()
        return DataError(
            f"{name} line {line} has {found} cells where the table has {expected} columns: {text[:120]!r}; {tail}"
        )
    other = _LINE_ERROR.search(message)
    if other:
        line, text, reason = other.groups()
        return DataError(f"{name} line {line}: {reason.strip().rstrip('.')}: {text[:120]!r}; {tail}")
    return DataError(f"cannot read {name}: {message.splitlines()[0]}")
