"""A table of required columns as a Parquet file: one row group, one gzipped page a column, plain encoding.

For processes that have neither DuckDB nor Arrow. Source: https://parquet.apache.org/docs/file-format/ and its
`parquet.thrift`, written in Thrift's compact protocol.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ParquetColumn", "parquet_bytes"]

_MAGIC = b"PAR1"
_GZIP = 2
_PLAIN, _RLE = 0, 3
_INT64, _DOUBLE, _BYTE_ARRAY = 2, 5, 6
_UTF8, _TIMESTAMP_MICROS = 0, 10
_PHYSICAL = {"integer": _INT64, "timestamp": _INT64, "float": _DOUBLE, "text": _BYTE_ARRAY}
_CONVERTED = {"timestamp": _TIMESTAMP_MICROS, "text": _UTF8}
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class ParquetColumn:
    """values: int for integer and timestamp (microseconds since 1970 UTC), float, or str; none is missing."""

    name: str
    type: Literal["integer", "timestamp", "float", "text"]
    values: Sequence[Any]


def parquet_bytes(columns: Sequence[ParquetColumn]) -> bytes:
    """The file of these columns, which are of one length."""
    rows = len(columns[0].values)
    content = bytearray(_MAGIC)
    chunks = []
    for column in columns:
        offset = len(content)
        plain = _plain(column)
        packer = zlib.compressobj(wbits=_GZIP_WINDOW)
        packed = packer.compress(plain) + packer.flush()
        values = _struct((1, _i32(rows)), (2, _i32(_PLAIN)), (3, _i32(_RLE)), (4, _i32(_RLE)))
        head = _struct((1, _i32(0)), (2, _i32(len(plain))), (3, _i32(len(packed))), (5, (_STRUCT, values)))
        content += head + packed
        meta = _struct(
            (1, _i32(_PHYSICAL[column.type])),
            (2, _list(_I32, [_zigzag(_PLAIN)])),
            (3, _list(_BINARY, [_binary(column.name.encode())])),
            (4, _i32(_GZIP)),
            (5, _i64(rows)),
            (6, _i64(len(head) + len(plain))),
            (7, _i64(len(head) + len(packed))),
            (9, _i64(offset)),
        )
        chunks.append(_struct((2, _i64(offset)), (3, (_STRUCT, meta))))
    size = len(content) - len(_MAGIC)
    group = _struct((1, _list(_STRUCT, chunks)), (2, _i64(size)), (3, _i64(rows)))
    root = _struct((4, (_BINARY, _binary(b"schema"))), (5, _i32(len(columns))))
    footer = _struct(
        (1, _i32(1)),
        (2, _list(_STRUCT, [root, *map(_schema, columns)])),
        (3, _i64(rows)),
        (4, _list(_STRUCT, [group])),
        (6, (_BINARY, _binary(b"penstock"))),
    )
    return bytes(content + footer + struct.pack("<I", len(footer)) + _MAGIC)


def _plain(column: ParquetColumn) -> bytes:
    match column.type:
        case "text":
            encoded = [value.encode("utf-8", "backslashreplace") for value in column.values]
            return b"".join(struct.pack("<I", len(value)) + value for value in encoded)
        case "float":
            return struct.pack(f"<{len(column.values)}d", *column.values)
        case _:
            return struct.pack(f"<{len(column.values)}q", *column.values)


def _schema(column: ParquetColumn) -> bytes:
    fields = [(1, _i32(_PHYSICAL[column.type])), (3, _i32(0)), (4, (_BINARY, _binary(column.name.encode())))]
    if column.type in _CONVERTED:
        fields.append((6, _i32(_CONVERTED[column.type])))
    return _struct(*fields)


# Thrift's compact protocol: a value is its type with its bytes.
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_Value = tuple[int, bytes]


def _struct(*fields: tuple[int, _Value]) -> bytes:
    content, last = bytearray(), 0
    for number, (kind, value) in fields:
        content.append((number - last) << 4 | kind)
        content += value
        last = number
    return bytes(content) + b"\x00"


def _list(kind: int, items: Iterable[bytes]) -> _Value:
    parts = list(items)
    short = len(parts) < 15
    head = bytes([len(parts) << 4 | kind]) if short else bytes([0xF0 | kind]) + _varint(len(parts))
    return _LIST, head + b"".join(parts)


def _i32(value: int) -> _Value:
    return _I32, _zigzag(value)


def _i64(value: int) -> _Value:
    return _I64, _zigzag(value)


def _binary(value: bytes) -> bytes:
    return _varint(len(value)) + value


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
