import pytest

from penstock.data.expressions.parser import parse
from penstock.data.expressions.typing import infer, typed
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import ExpressionError

SCHEMA = Schema(
    (
        Column(name="RM", type=DataType.FLOAT),
        Column(name="TAX", type=DataType.INTEGER, nullable=True),
        Column(name="TOWN", type=DataType.STRING),
        Column(name="SOLD", type=DataType.TIMESTAMP),
        Column(name="NEW", type=DataType.BOOLEAN),
        Column(name="PHOTO", type=DataType.IMAGE),
    )
)


@pytest.mark.parametrize(
    ("text", "data_type", "nullable"),
    [
        ("RM", DataType.FLOAT, False),
        ("TAX + 1", DataType.INTEGER, True),
        ("TAX + 0.5", DataType.FLOAT, True),
        ("TAX / 2", DataType.FLOAT, True),
        ("RM * 2", DataType.FLOAT, False),
        ("RM / 2", DataType.FLOAT, True),
        ("round(RM)", DataType.INTEGER, False),
        ("round(RM, 2)", DataType.FLOAT, False),
        ("RM > 3", DataType.BOOLEAN, False),
        ("TAX is missing", DataType.BOOLEAN, False),
        ("coalesce(TAX, 0)", DataType.INTEGER, False),
        ("if(NEW, TAX, 1.5)", DataType.FLOAT, True),
        ("if(TAX > 1, RM, 1.5)", DataType.FLOAT, False),
        ("float(TOWN)", DataType.FLOAT, True),
        ("SOLD > '2020-01-01'", DataType.BOOLEAN, True),
        ("truncate(SOLD, 'day')", DataType.TIMESTAMP, False),
        ("choose(TOWN, 0, 'a', 1.5)", DataType.FLOAT, False),
        ("hash_fraction(TAX)", DataType.FLOAT, False),
    ],
)
def test_a_type_is_known_before_anything_runs(text: str, data_type: DataType, nullable: bool) -> None:
    result = typed(parse(text), SCHEMA)
    assert (result.type, result.nullable) == (data_type, nullable)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("RMS * 2", 1, "there is no column 'RMS'; the table has RM, TAX, TOWN, SOLD, NEW, PHOTO; did you mean 'RM'?"),
        (
            "1 + TOWN",
            5,
            "argument 2 (y) of add(…) is TOWN, of type string; expected float or integer; texts are joined",
        ),
        ("SOLD - SOLD", 1, "the time between timestamps is days_between(…)"),
        ("RM and NEW", 1, "argument 1 (x) of and(…) is RM, of type float; expected boolean"),
        ("upper(RM)", 7, "expected string"),
        ("abs()", 1, "abs(x) takes 1 arguments, not 0"),
        ("round(1, 2, 3)", 1, "round(x, [digits]) takes 1 to 2 arguments, not 3"),
        ("concat()", 1, "concat(text, …) takes at least 1 arguments, not 0"),
        ("if(NEW, TOWN, 3)", 1, "needs values of one type, not 3 (integer) and TOWN (string)"),
        ("TAX == null", 5, "nothing equals a missing value; write 'TAX is missing'"),
        ("TOWN == TAX", 6, "needs values of one type"),
        ("TOWN == SOLD", 1, "TOWN is a string; write timestamp(TOWN) to compare it so"),
        ("SOLD > 'yesterday'", 8, "'yesterday' is no time; expected one such as '2024-05-31T12:00:00Z'"),
        ("round(RM, TAX)", 11, "argument 2 (digits) of round(…) must be a constant, not TAX"),
        ("TAX in [1, TAX]", 12, "must be a constant"),
        ("slice(TOWN, 1.5)", 13, "expected integer"),
        ("truncate(SOLD, 'decade')", 16, "expected one of year, quarter, month"),
        ("hour(SOLD, 'Mars/Base')", 1, "there is no time zone 'Mars/Base'; expected an IANA name"),
        ("hour(SOLD, '../../etc/passwd')", 1, "there is no time zone"),
        ("regex_match(TOWN, '(?=a)')", 1, "only '(?:…)' is in the common subset"),
        ("regex_replace(TOWN, 'a*', '')", 1, "can match nothing"),
        ("regex_extract(TOWN, 'a', 1)", 1, "has 0 groups; there is no group 1"),
        ("parse_date(TOWN, '%d/%m')", 1, "has no year"),
        ("bucket(RM, 2, 1)", 1, "do not rise"),
        ("replace(TOWN, '', 'a')", 1, "the text to replace is empty"),
        ("choose(TOWN, '', 'a', 'b', 'a', 'c')", 1, "a value is replaced twice"),
        ("json_text(TOWN, 'a..b')", 1, "expected a name or a place"),
        ("PHOTO", 1, "holds images, which expressions do not read"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(text: str, place: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        typed(parse(text), SCHEMA, text=text)
    assert f"character {place}: " in str(caught.value), caught.value
    assert message in str(caught.value)


def test_an_expression_that_is_always_missing_has_no_type() -> None:
    with pytest.raises(ExpressionError, match="always missing"):
        infer(parse("null"), SCHEMA)


def test_a_tree_without_positions_is_quoted_in_its_canonical_text() -> None:
    with pytest.raises(ExpressionError, match=r"expression '1 \+ TOWN', character 5"):
        infer(parse("1   +    TOWN"), SCHEMA)
