"""The arithmetic that feature columns are written in: performed on arrays in training, written as nodes in a graph.

A column's formula is stated once, against `Operators`. `ArrayOperators` computes it; `GraphOperators` emits it. Both do
the same operations on the same element types in the same order, so they agree to the last bit wherever IEEE 754 defines
the operation.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from penstock.export.tensor import ElementType
from penstock.features.lookup import Lookup
from penstock.features.tokens import Tokens

__all__ = ["Operators", "Values"]

Values = Any
"""An array `[rows, width]`, or a `Tensor` of a graph; both know `+ - * / // %`, comparisons, `& | ~`.

`//` and `%` are used of integers that are not negative only: there ONNX and NumPy agree.
"""


class Operators(Protocol):
    """What a formula may use besides Python's operators. All values are `[rows, width]`."""

    def constant(self, value: Any, dtype: ElementType) -> Values: ...

    def cast(self, values: Values, dtype: ElementType) -> Values: ...

    def is_nan(self, values: Values) -> Values: ...

    def where(self, condition: Values, then: Values, otherwise: Values) -> Values: ...

    def clip(self, values: Values, low: Values, high: Values) -> Values:
        """Values limited to `[low, high]`; values are not NaN."""

    def abs(self, values: Values) -> Values: ...

    def sign(self, values: Values) -> Values: ...

    def floor(self, values: Values) -> Values: ...

    def sqrt(self, values: Values) -> Values: ...

    def exp(self, values: Values) -> Values: ...

    def power(self, values: Values, exponents: Values) -> Values: ...

    def log(self, values: Values) -> Values: ...

    def sin(self, values: Values) -> Values: ...

    def cos(self, values: Values) -> Values: ...

    def tanh(self, values: Values) -> Values: ...

    def arcsin(self, values: Values) -> Values:
        """Of float32."""

    def concat(self, parts: Sequence[Values]) -> Values:
        """The columns of all parts, side by side."""

    def pick(self, values: Values, columns: Sequence[int]) -> Values:
        """The columns at these positions."""

    def count_reached(self, values: Values, boundaries: Sequence[float]) -> Values:
        """How many of the ascending boundaries each value reaches (`boundary <= value`), int64 `[rows, 1]`."""

    def look_up(self, values: Values, lookup: Lookup) -> Values:
        """The id of each word or number, int64 `[rows, 1]`."""

    def is_missing_text(self, values: Values) -> Values: ...

    def text_of(self, values: Values) -> Values:
        """Decimal text of int64 values."""

    def hash_text(self, values: Values) -> Values:
        """MurmurHash3 of each text as int64 in `[0, 2**32)`."""

    def hash_pair(self, left: Values, right: Values) -> Values:
        """MurmurHash3 of two ids together as int64 in `[0, 2**32)`; left in `[0, 2**31)`, right in `[0, 2**32)`."""

    def count_tokens(self, values: Values, tokens: Tokens) -> Values:
        """How often each id occurs among the tokens of each text, or what they weigh together, float32
        `[rows, tokens.width]`.
        """

    def take(self, table: NDArray[np.float64], ids: Values) -> Values:
        """The row of a table that each id names, float64 `[rows, width]`."""

    def sum(self, values: Values) -> Values:
        """Of each row, `[rows, 1]`. float32 sums are only of whole numbers, which add up alike in any order."""

    def one_hot(self, ids: Values, size: int) -> Values:
        """1.0 at each id, float32 `[rows, size]`."""
