import json
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from penstock.serving.answers import Answers


def test_float32_is_written_with_its_own_digits() -> None:
    values = np.array([[0.1], [1 / 3], [16777216], [1e-30], [3.4e38]], dtype=np.float32)
    text = Answers({"y": values}).rows(0, 5, bare=True).decode()
    assert text == "[[0.1],[0.33333334],[16777216.0],[1e-30],[3.4e+38]]"
    assert np.array_equal(np.array(json.loads(text), dtype=np.float32), values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_that_json_lacks_are_bare_tokens_and_the_others_keep_their_digits(dtype: type) -> None:
    values: NDArray[Any] = np.array([[0.1, np.nan], [np.inf, -np.inf]], dtype=dtype)
    text = Answers({"y": values}).rows(0, 2, bare=True).decode()
    assert text == "[[0.1,NaN],[Infinity,-Infinity]]"
    assert math.isnan(json.loads(text)[0][1])


def test_any_slice_of_the_rows_can_be_written() -> None:
    answers = Answers({"a": np.arange(10.0)[:, None], "s": np.array([["é"]] * 10, dtype=object)})
    for start in range(10):
        for stop in range(start, 11):
            expected = [{"a": [float(row)], "s": ["é"]} for row in range(start, stop)]
            assert json.loads(answers.rows(start, stop, bare=True)) == expected
            columns = {"a": [[float(row)] for row in range(start, stop)], "s": [["é"]] * (stop - start)}
            assert json.loads(answers.columns(start, stop)) == columns


def test_bare_leaves_out_the_name_of_an_only_output() -> None:
    answers = Answers({"y": np.array([[1, 2]], dtype=np.int64)})
    assert answers.rows(0, 1, bare=True) == b"[[1,2]]"
    assert answers.rows(0, 1, bare=False) == b'[{"y":[1,2]}]'
    assert answers.columns(0, 1) == b"[[1,2]]"


def test_strings_of_outputs_called_bytes_are_base64() -> None:
    answers = Answers({"png_bytes": np.array([["é"]], dtype=object)})
    assert json.loads(answers.rows(0, 1, bare=True)) == [[{"b64": "w6k="}]]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([True, False]), "[true,false]"),
        (np.array([1, 2], dtype=np.int32), "[1,2]"),
        (np.array([1, 2], dtype=np.longlong), "[1,2]"),
        (np.array([0.5, 2], dtype=np.float32), "[0.5,2.0]"),
        (np.array([0.5, 2], dtype=np.float16), "[0.5,2.0]"),
        (np.zeros((2, 0), dtype=np.float32), "[[],[]]"),
        (np.arange(8.0).reshape(2, 2, 2).transpose(0, 2, 1), "[[[0.0,2.0],[1.0,3.0]],[[4.0,6.0],[5.0,7.0]]]"),
    ],
)
def test_other_types_and_shapes(array: NDArray[Any], expected: str) -> None:
    assert Answers({"y": array}).rows(0, len(array), bare=True).decode() == expected
    assert (
        json.loads(Answers({"y": array, "z": array}).rows(0, len(array), bare=True))[0]["y"] == json.loads(expected)[0]
    )
