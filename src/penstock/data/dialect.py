"""How a CSV file separates its cells and where its table begins: delimiter, quote, preamble, header and names.

Works on a sample of text, in plain Python; the whole file is then read by DuckDB with what was found.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from penstock.data.cells import is_value
from penstock.data.options import Detection, ReadOptions
from penstock.errors import DataError, UsageError

__all__ = ["Dialect", "Sample", "detect_dialect", "parse_sample"]

DELIMITERS = (",", "\t", ";", "|")
_DELIMITER_NAMES = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "space"}
MAX_SAMPLE_ROWS = 2_000
MAX_LINE_BYTES = 64 << 20
_MAX_PREAMBLE_ROWS = 50


@dataclass(frozen=True)
class Dialect:
    """skip_lines: physical lines before the header, or before the first row where there is none (`has_header`)."""

    delimiter: str
    quote: str
    skip_lines: int
    has_header: bool
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Parsed rows of a text's beginning. lines: the 1-based physical line each row begins in."""

    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]


def parse_sample(text: str, *, delimiter: str, quote: str, is_whole: bool, limit: int = MAX_SAMPLE_ROWS) -> Sample:
    """The first rows of a text; a last row that the sample may have cut is left out unless the text `is_whole`."""
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=delimiter != " ",
    )
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            rows.append(tuple(row))
            lines.append(line)
            line = reader.line_num + 1
            if len(rows) > limit:
                break
    except csv.Error as error:
        raise DataError(f"line {line}: {error}") from error
    if rows and (len(rows) > limit or not is_whole):
        rows.pop()
        lines.pop()
    return Sample(tuple(rows), tuple(lines))


def detect_dialect(
    text: str, *, name: str, is_whole: bool, options: ReadOptions
) -> tuple[Dialect, Sample, list[Detection]]:
    """The dialect of a file that begins with this text, its first rows without the header, and what was detected.

    Raises DataError for an empty file.
    """
    if not text.strip():
        raise DataError(f"{name} is empty: it has no header and no row")
    detections: list[Detection] = []
    quote = '"' if options.quote is None else options.quote
    if options.delimiter is None:
        delimiter, how = _find_delimiter(text, quote=quote, is_whole=is_whole)
        shown = _DELIMITER_NAMES.get(delimiter, repr(delimiter))
        detections.append(Detection(what="delimiter", value=shown, how=how))
    else:
        delimiter = options.delimiter
        if len(delimiter) != 1:
            raise UsageError(f"the delimiter {delimiter!r} must be one character; expected e.g. ',' ';' '|' or a tab")
    sample = parse_sample(text, delimiter=delimiter, quote=quote, is_whole=is_whole)
    width = _usual_width(sample.rows)
    first = _first_row(sample, name=name, options=options)
    skip_lines = sample.lines[first] - 1
    if options.header is None:
        has_header, how = _looks_like_header(sample.rows[first], sample.rows[first + 1 :])
        below = _first_full_row(sample.rows, start=first)
        if (
            options.skip_lines is None
            and below > first
            and _looks_like_header(sample.rows[below], sample.rows[below + 1 :])[0]
        ):
            first, has_header, how = below, True, "names over a table, below lines that fill fewer cells"
            skip_lines = sample.lines[first] - 1
        detections.append(Detection(what="header", value="yes" if has_header else "no", how=how))
    else:
        has_header = options.header
    if options.skip_lines is None and skip_lines:
        how = f"the lines before are blank or fill fewer cells than the {width} columns of the table"
        detections.append(Detection(what="table begins", value=f"line {skip_lines + 1}", how=how))
    names = _unique_names(sample.rows[first], detections) if has_header else [f"column_{i + 1}" for i in range(width)]
    dialect = Dialect(delimiter, quote, skip_lines, has_header, tuple(names))
    start = first + has_header
    return dialect, Sample(sample.rows[start:], sample.lines[start:]), detections


def _find_delimiter(text: str, *, quote: str, is_whole: bool) -> tuple[str, str]:
    """The candidate under which most rows have the same number of cells, at least two; the more cells, the better."""
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        try:
            rows = parse_sample(text, delimiter=delimiter, quote=quote, is_whole=is_whole, limit=500).rows
        except DataError:
            continue
        widths = Counter(len(row) for row in rows if any(row))
        if not widths:
            continue
        width, votes = max(widths.items(), key=lambda item: (item[1], item[0]))
        if width < 2 and max(widths) >= 2 and len(widths) > 1:
            wider = {w: n for w, n in widths.items() if w >= 2}
            width, votes = max(wider.items(), key=lambda item: (item[1], item[0]))
        if width < 2:
            continue
        score = (votes / sum(widths.values()), width, delimiter)
        if best is None or score[:2] > best[:2]:
            best = score
    if best is None:
        return ",", "none of comma, tab, semicolon or bar separates anything: one column"
    share, width, delimiter = best
    return delimiter, f"{share:.0%} of the first rows then have {width} cells"


def _usual_width(rows: Sequence[tuple[str, ...]]) -> int:
    widths = Counter(len(row) for row in rows if any(row))
    return max(widths.items(), key=lambda item: (item[1], item[0]))[0] if widths else 1


def _first_row(sample: Sample, *, name: str, options: ReadOptions) -> int:
    """The first row that is not blank, after the lines the user says to skip."""
    skip = options.skip_lines or 0
    for i, (row, line) in enumerate(zip(sample.rows, sample.lines, strict=True)):
        if line > skip and any(row):
            return i
    raise DataError(f"{name} is empty: it has no row" + (f" after the {skip} lines to skip" if skip else ""))


def _first_full_row(rows: Sequence[tuple[str, ...]], *, start: int) -> int:
    """The first row that fills more than half the cells of the fullest row near it: titles above a table fill few."""
    filled = [sum(1 for cell in row if cell.strip()) for row in rows[: start + _MAX_PREAMBLE_ROWS]]
    for i in range(start, len(filled)):
        if filled[i] * 2 > max(filled[i : i + 6]):
            return i
    return start


def _looks_like_header(top: tuple[str, ...], below: Sequence[tuple[str, ...]]) -> tuple[bool, str]:
    """A header's cells are names: texts over columns of numbers or dates, unlike what stands below them."""
    cells = [cell.strip() for cell in top]
    rows = [row for row in below[:200] if len(row) == len(top)]
    if not rows:
        texts = [cell for cell in cells if cell and not is_value(cell)]
        if len(texts) * 2 >= max(len([cell for cell in cells if cell]), 1):
            return True, "the first row holds names, and no row of its width follows"
        return False, "the first row holds values"
    votes = 0
    evidence = ""
    for i, cell in enumerate(cells):
        column = [row[i].strip() for row in rows if row[i].strip()]
        if not column:
            continue
        values = sum(1 for text in column if is_value(text))
        if not cell:
            continue
        if values * 2 > len(column):
            vote = 2 if not is_value(cell) else -2
            if vote > 0 and not evidence:
                evidence = f"{cell!r} stands over values such as {column[0]!r}"
        elif cell in column:
            vote = -1
        elif _is_year_row(cells) or 2 * len(set(column)) <= len(column):
            # Among values that come again and again, one that does not is their name.
            vote = 1
        else:
            vote = 0
        votes += vote
    if votes > 0 or (_is_year_row(cells) and not is_value(cells[0])):
        return True, evidence or "the first row holds names over a table of values"
    if votes < 0:
        return False, "the first row is like those below it"
    if len(set(cells)) == len(cells) and all(cells) and not any(is_value(cell) for cell in cells):
        return True, "the first row holds different texts that do not come again below"
    return False, "the first row is like those below it"


def _is_year_row(cells: Sequence[str]) -> bool:
    """Years over a crosstab: a header though its cells are numbers ("Year, 2000, 2001, …")."""
    numbers = [int(cell) for cell in cells[1:] if cell.isdecimal() and len(cell) == 4]
    return len(numbers) == len(cells) - 1 >= 2 and all(b - a == 1 for a, b in pairwise(numbers))


def _unique_names(cells: Sequence[str], detections: list[Detection]) -> list[str]:
    """Names of the columns: trimmed, `column_7` for an empty one, `name_2` for one that comes again."""
    names: list[str] = []
    for i, cell in enumerate(cells):
        name = " ".join(cell.split()) if "\n" in cell or "\r" in cell else cell.strip()
        if not name:
            name = f"column_{i + 1}"
            detections.append(Detection(what="name", value=name, how=f"the header of column {i + 1} is empty"))
        if name in names:
            again = next(f"{name}_{n}" for n in range(2, len(cells) + 2) if f"{name}_{n}" not in [*names, *cells])
            detections.append(Detection(what="name", value=again, how=f"the header has {name!r} more than once"))
            name = again
        names.append(name)
    return names
