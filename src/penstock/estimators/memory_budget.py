"""What a table needs in memory to be trained on whole, and how much is read at a time where that is not there."""

from dataclasses import dataclass

from penstock.data.schema import DataType, Schema

__all__ = ["MemoryBudget", "bytes_of_rows"]

_NUMBER_BYTES = 32
_WORD_BYTES = 96
"""A cell as read, copied once by a split, encoded, and on the device, with room to spare: a training on a million rows
of ten columns took 20 bytes a number and 78 a word of six letters (DuckDB 2.0, JAX 0.10).
"""

_LIBRARIES_MB = 500
_WINDOWS = 12
_LEAST_ROWS = 256


def bytes_of_rows(schema: Schema, rows: int) -> int:
    """About what training on that many rows of these columns in memory takes."""
    row = sum(_WORD_BYTES if column.type is DataType.STRING else _NUMBER_BYTES for column in schema)
    return row * rows


@dataclass(frozen=True)
class MemoryBudget:
    """cap_mb: of the whole process, Python and its libraries included."""

    cap_mb: int

    @property
    def data_bytes(self) -> int:
        """What is left for rows; of a cap that the libraries alone exceed, a quarter."""
        return max(self.cap_mb - _LIBRARIES_MB, self.cap_mb // 4, 1) * 1_000_000

    @property
    def window_bytes(self) -> int:
        """Of encoded rows that are shuffled together. About four of them are in memory at once."""
        return self.data_bytes // _WINDOWS

    @property
    def database_mb(self) -> int:
        return max(64, self.data_bytes // 4_000_000)

    def holds(self, schema: Schema, rows: int) -> bool:
        """Whether that many rows can be trained on in memory."""
        return bytes_of_rows(schema, rows) <= self.data_bytes

    def rows_at_once(self, schema: Schema) -> int:
        """Raw rows to read at a time."""
        return max(_LEAST_ROWS, self.window_bytes // max(1, bytes_of_rows(schema, 1)))
