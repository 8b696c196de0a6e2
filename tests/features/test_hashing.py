"""Hashes are those of ONNX Runtime's MurmurHash3, for every text."""

import random
import unicodedata

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from penstock.features.hashing import hash_words, murmur3, nfc


@pytest.fixture(scope="module")
def kernel() -> onnxruntime.InferenceSession:
    node = helper.make_node("MurmurHash3", ["text"], ["hash"], domain="com.microsoft", seed=0, positive=1)
    graph = helper.make_graph(
        [node],
        "hash",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["N"])],
        [helper.make_tensor_value_info("hash", TensorProto.UINT32, ["N"])],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnxruntime.InferenceSession(model.SerializeToString())


def texts(count: int) -> list[str]:
    """Of every length from 0, over every plane of Unicode that has text."""
    draw = random.Random(7)
    planes = [(0x20, 0x7F), (0xA0, 0x24F), (0x370, 0x5FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1F6FF)]

    def character() -> str:
        low, high = draw.choice(planes)
        return chr(draw.randrange(low, high))

    return ["".join(character() for _ in range(draw.randrange(41))) for _ in range(count)]


def test_thousands_of_texts_hash_as_in_onnx_runtime(kernel: onnxruntime.InferenceSession) -> None:
    words = [
        "",
        "a",
        "ab",
        "abc",
        "abcd",
        "\0",
        "a\0",
        "x" * 10_000,
        *("é日x" * count for count in range(2_720, 2_735)),
        *texts(5_000),
    ]
    composed = np.array([unicodedata.normalize("NFC", word) for word in words], dtype=object)
    np.testing.assert_array_equal(murmur3(np.array(words, dtype=object)), kernel.run(None, {"text": composed})[0])


def test_known_values() -> None:
    """The empty text hashes to 0; others as published for MurmurHash3_x86_32 with seed 0."""
    expected = [0, 0xB3DD93FA, 0x248BFA47, 0x149BBB7F]
    assert hash_words(["", "abc", "hello", "hello, world"]).tolist() == expected


@given(st.text())
def test_one_visible_word_is_one_word(word: str) -> None:
    decomposed = unicodedata.normalize("NFD", word)
    assert hash_words([word]).tolist() == hash_words([decomposed]).tolist()
    assert nfc(decomposed) == unicodedata.normalize("NFC", word)


def test_words_of_very_different_lengths_are_hashed_in_bounded_memory() -> None:
    words = ["x" * 1_000_000, *map(str, range(1_000))]
    alone = [int(hash_words([word])[0]) for word in words]
    assert hash_words(words).tolist() == alone


def test_no_words() -> None:
    assert hash_words([]).shape == (0,)
