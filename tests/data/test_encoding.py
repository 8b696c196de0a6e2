"""Encodings told from a file's first bytes."""

from pathlib import Path

import pytest

from penstock.data.encoding import detect_encoding
from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.settings import Settings

LATIN = "town,price\n" + "".join(f"town {i},{i * 3}\n" for i in range(100))
CHINESE = "城市,价格\n" + "".join(f"北京市朝阳区,{i}\n" for i in range(100))


@pytest.mark.parametrize("text", [LATIN, CHINESE, "城市\u3000名,12\n" * 50])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_found(text: str, codec: str) -> None:
    found = detect_encoding(text.encode(codec))
    assert found.codec == codec
    # A head is cut anywhere, also within a character.
    assert detect_encoding(text.encode(codec)[:-1]).codec == codec


@pytest.mark.parametrize("text", [LATIN, CHINESE])
@pytest.mark.parametrize("count", [1, 3])
def test_stray_nul_bytes_do_not_make_a_text_utf_16(text: str, count: int) -> None:
    lines = text.encode().splitlines(keepends=True)
    lines[4] = b"a\x00" * count + lines[4]
    with pytest.raises(DataError, match=r"byte 0x00 in line 5\) and is not UTF-16"):
        detect_encoding(b"".join(lines))


def test_utf_32_without_a_mark_is_not_taken_for_utf_16() -> None:
    with pytest.raises(DataError, match="is not UTF-16"):
        detect_encoding(LATIN.encode("utf-32-le"))


def test_a_table_with_a_nul_byte_is_refused_with_its_line(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "nul.csv"
    file.write_bytes(LATIN.encode() + b"to\x00wn,1\n")
    with pytest.raises(DataError, match="line 102"):
        open_table(str(file), settings=settings)


def test_a_table_in_utf_16_without_a_mark_is_read(tmp_path: Path, settings: Settings) -> None:
    file = tmp_path / "wide.csv"
    file.write_bytes(CHINESE.encode("utf-16-le"))
    with open_table(str(file), settings=settings) as table:
        assert table.schema.names == ("城市", "价格")
        assert table.count() == 100
