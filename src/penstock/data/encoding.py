"""Which characters a file's bytes stand for. Detects UTF-8, UTF-16, UTF-32 and the Windows/ISO single-byte sets."""

import codecs
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import DataError, UsageError

__all__ = ["UTF_8", "Encoding", "detect_encoding", "named_encoding", "whole_file_encoding"]

UTF_8 = "utf-8"
BLOCK_BYTES = 1 << 22

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "it begins with the UTF-8 byte order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "it begins with the UTF-32 byte order mark"),
    (codecs.BOM_UTF32_BE, "utf-32", "it begins with the UTF-32 byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "it begins with the UTF-16 byte order mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "it begins with the UTF-16 byte order mark"),
)
_C1_CONTROLS = frozenset(range(0x80, 0xA0))
_WIDE_SHARE = 0.1
"""Of a table in UTF-16, delimiters, digits, spaces and line ends alone make up more, whatever its script."""
_STRAY_SHARE = 0.5
"""Of those zeros, how many may stand in the other half, where characters such as U+3000 have theirs."""
_UNDEFINED_IN_CP1252 = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})


@dataclass(frozen=True)
class Encoding:
    """codec: a Python codec name; how: what gave it away."""

    codec: str
    how: str

    @property
    def is_utf8(self) -> bool:
        return self.codec in (UTF_8, "utf-8-sig")


def named_encoding(name: str) -> Encoding:
    """The encoding a user named. Raises UsageError for a name Python does not know."""
    try:
        codec = codecs.lookup(name).name
    except LookupError as error:
        raise UsageError(
            f"there is no encoding {name!r}; expected a codec name such as utf-8, latin-1, cp1252 or utf-16"
        ) from error
    return Encoding(UTF_8 if codec == "ascii" else codec, "as told")


def detect_encoding(head: bytes) -> Encoding:
    """The encoding of a file that begins with these bytes; a character cut at their end does not count.

    Raises DataError where bytes are 0 and the text is not UTF-16: no text in a table holds a NUL.
    """
    for mark, codec, how in _MARKS:
        if head.startswith(mark):
            return Encoding(codec, how)
    if b"\0" in head:
        return _wide(head)
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(head, final=False)
    except UnicodeDecodeError as error:
        return _single_byte(set(head), _place(head, error.start))
    return Encoding(UTF_8, "every byte is UTF-8")


def whole_file_encoding(path: Path) -> Encoding:
    """The encoding of a file told from all of its bytes, for when its beginning was not enough."""
    decoder = codecs.getincrementaldecoder(UTF_8)()
    seen: set[int] = set()
    place = ""
    lines = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            seen.update(block)
            if not place:
                try:
                    decoder.decode(block)
                except UnicodeDecodeError as error:
                    at = min(error.start, len(block) - 1)
                    place = f"byte 0x{error.object[error.start]:02X} in line {lines + block.count(10, 0, at) + 1}"
                lines += block.count(b"\n")
    if not place:
        return Encoding(UTF_8, "every byte of the file is UTF-8")
    if 0 in seen:
        raise DataError(f"{path.name} is neither UTF-8 ({place}) nor any other text: it holds NUL bytes")
    return _single_byte(seen, place)


def _wide(head: bytes) -> Encoding:
    """UTF-16 without a mark: zeros in one half of the pairs of bytes, few in the other, no broken pair."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    codec = "utf-16-le" if odd > even else "utf-16-be"
    zeros, others = max(even, odd), min(even, odd)
    pairs = len(head) // 2
    if zeros >= _WIDE_SHARE * pairs and others <= _STRAY_SHARE * zeros and _decodes(head, codec):
        half = "second" if codec == "utf-16-le" else "first"
        return Encoding(codec, f"the {half} byte of {zeros:,} of the first {pairs:,} pairs is 0")
    place = _place(head, head.index(0))
    raise DataError(
        f"the table holds {even + odd:,} NUL bytes in its first {len(head):,} bytes ({place}) and is not UTF-16; "
        "remove them, or name the encoding if it is another"
    )


def _decodes(head: bytes, codec: str) -> bool:
    """Whether these are whole characters of the codec, none of them NUL."""
    try:
        return "\0" not in codecs.getincrementaldecoder(codec)().decode(head, final=False)
    except UnicodeDecodeError:
        return False


def _single_byte(seen: set[int], place: str) -> Encoding:
    """latin-1 where only it fits or nothing tells it from cp1252; cp1252 where C1 controls would be characters."""
    controls = seen & _C1_CONTROLS
    if not controls:
        return Encoding("latin-1", f"{place} is not UTF-8, and no byte lies in 0x80–0x9F")
    if controls & _UNDEFINED_IN_CP1252:
        return Encoding("latin-1", f"{place} is not UTF-8, and byte 0x{min(controls):02X} is not defined in cp1252")
    return Encoding("cp1252", f"{place} is not UTF-8, and byte 0x{min(controls):02X} is a character in cp1252")


def _place(head: bytes, position: int) -> str:
    return f"byte 0x{head[position]:02X} in line {head.count(10, 0, position) + 1}"
