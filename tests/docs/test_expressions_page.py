from pathlib import Path

import pytest

from penstock.data.expressions.functions import FAMILIES, FUNCTIONS
from penstock.data.expressions.signature import Function

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "expressions.md").read_text()


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
def test_the_page_says_of_a_function_what_the_function_says(function: Function) -> None:
    cells = [f"`{function.signature()}`", function.summary, f"`{function.example}`", f"`{function.answer}`"]
    assert f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" in PAGE


def test_the_page_has_no_function_too_many() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) == len(FUNCTIONS)
    assert all(f"### {family}" in PAGE for family in FAMILIES)
