"""MurmurHash3 x86_32 with seed 0 over UTF-8 NFC, as ONNX Runtime's `com.microsoft.MurmurHash3` computes it.

Source: Austin Appleby, MurmurHash3.cpp (public domain), `MurmurHash3_x86_32`.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["hash_pairs", "hash_words", "murmur3", "nfc"]

_C1 = np.uint32(0xCC9E2D51)
_C2 = np.uint32(0x1B873593)
_BATCH_BYTES = 1 << 26
_LONG_BYTES = 1 << 14


def murmur3(texts: NDArray[Any]) -> NDArray[np.uint32]:
    """The hash of each text, uint32 `[rows]`. Each distinct text is hashed once."""
    rows: list[str] = texts.tolist()
    distinct = list(set(rows))
    hashes = dict(zip(distinct, hash_words(distinct).tolist(), strict=True))
    return np.fromiter(map(hashes.__getitem__, rows), dtype=np.uint32, count=len(rows))


def nfc(text: str) -> str:
    """The canonical composition of a text, so that one visible word is one word."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def hash_words(words: Sequence[str]) -> NDArray[np.uint32]:
    """The hash of each word, uint32 `[words]`, computed for all words at once, four bytes a step."""
    encoded = [nfc(word).encode("utf-8", "surrogatepass") for word in words]
    result = np.empty(len(encoded), dtype=np.uint32)
    # Longest first, so that the words a step still concerns are a prefix; in batches of bounded size.
    order = sorted(range(len(encoded)), key=lambda i: -len(encoded[i]))
    start = 0
    while start < len(order) and len(encoded[order[start]]) > _LONG_BYTES:
        result[order[start]] = _hash_long(encoded[order[start]])
        start += 1
    while start < len(order):
        width = len(encoded[order[start]]) // 4 * 4 + 4
        stop = start + max(1, _BATCH_BYTES // width)
        index = order[start:stop]
        result[index] = _hash_batch([encoded[i] for i in index], width)
        start = stop
    return result


def hash_pairs(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The hash of the 64-bit integers `left * 2**32 + right`, of the arrays' shape.

    left: in `[0, 2**31)`, right: in `[0, 2**32)`.
    """
    state = np.zeros(np.shape(left), dtype=np.uint32)
    for block in (right, left):
        mixed = state ^ _scramble(block.astype(np.uint32))
        state = _rotate(mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    return _finish(state ^ np.uint32(8))


def _hash_batch(words: list[bytes], width: int) -> NDArray[np.uint32]:
    """words: longest first; width: a multiple of 4 above the longest length."""
    lengths = np.fromiter(map(len, words), dtype=np.uint32, count=len(words))
    padded = b"".join(word.ljust(width, b"\0") for word in words)
    blocks = np.frombuffer(padded, dtype="<u4").reshape(len(words), width // 4)
    full = lengths // np.uint32(4)
    state = np.zeros(len(words), dtype=np.uint32)
    for step in range(int(full[0])):
        active = int(np.searchsorted(-full.astype(np.int64), -step, side="left"))
        mixed = state[:active] ^ _scramble(blocks[:active, step])
        state[:active] = _rotate(mixed, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    # The bytes behind a word's end are zero, and scrambling zero gives zero: a word without a tail is left as it is.
    state ^= _scramble(blocks[np.arange(len(words)), full])
    return _finish(state ^ lengths)


def _finish(state: NDArray[np.uint32]) -> NDArray[np.uint32]:
    state ^= state >> np.uint32(16)
    state *= np.uint32(0x85EBCA6B)
    state ^= state >> np.uint32(13)
    state *= np.uint32(0xC2B2AE35)
    state ^= state >> np.uint32(16)
    return state


def _hash_long(word: bytes) -> int:
    """The same for one long word, without a step's price in NumPy calls for four bytes."""
    mask = 0xFFFFFFFF
    state = 0
    whole = len(word) // 4 * 4
    for block in np.frombuffer(word[:whole], dtype="<u4").tolist():
        mixed = block * 0xCC9E2D51 & mask
        state ^= (mixed << 15 | mixed >> 17) * 0x1B873593 & mask
        state = ((state << 13 | state >> 19) * 5 + 0xE6546B64) & mask
    tail = int.from_bytes(word[whole:], "little") * 0xCC9E2D51 & mask
    state ^= (tail << 15 | tail >> 17) * 0x1B873593 & mask
    state ^= len(word)
    state = (state ^ state >> 16) * 0x85EBCA6B & mask
    state = (state ^ state >> 13) * 0xC2B2AE35 & mask
    return state ^ state >> 16


def _scramble(block: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return _rotate(block * _C1, 15) * _C2


def _rotate(value: NDArray[np.uint32], bits: int) -> NDArray[np.uint32]:
    return (value << np.uint32(bits)) | (value >> np.uint32(32 - bits))
