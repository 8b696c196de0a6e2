from copy import copy

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.data.expressions.patterns import pattern
from penstock.errors import ExpressionError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(a+)+", "a repetition inside an unbounded repetition"),
        ("(a*)*", "a repetition inside an unbounded repetition"),
        ("(a|b?)+", "a repetition inside an unbounded repetition"),
        ("(a|a)*b", "alternatives that begin alike"),
        ("(aa|a)+", "alternatives that begin alike"),
        ("(a{1,2})*", "a repetition inside an unbounded repetition"),
        ("(a?){30}a{30}", "too many ways"),
        ("(a{0,20}){20}", "too many ways"),
        ("(.*a){12}", "too many ways"),
        ("(?i)a", "only '(?:…)'"),
        ("(?P<x>a)", "only '(?:…)'"),
        ("a(?!b)", "only '(?:…)'"),
        (r"(a)\1", "is not in the common subset"),
        (r"\pL", "is not in the common subset"),
        ("a**", "two repetitions follow each other"),
        ("*a", "repeats nothing"),
        ("(a", "expected ')'"),
        ("a)", "closes nothing"),
        ("[a", "expected ']'"),
        ("[b-a]", "is not a range"),
        ("[[:alpha:]]", "write '\\['"),
        ("a{2", "expected a count"),
        ("a{5,2}", "is not a count"),
        ("a{2000}", "is not a count"),
        ("a\\", "is not in the common subset"),
    ],
)
def test_what_the_two_dialects_do_not_share_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        pattern(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (r"(\d{1,3}\.){3}\d{1,3}", "10.0.0.127"),
        ("(foo|bar)+", "foobarfoo"),
        ("(?:ab|[cd])?e", "abe"),
        (r"(\w+ ){2}", "to be "),
        (r"^(\w+)\s+(\d+)$", "rooms  6"),
        ("(ab)*", "abab"),
        ("a{0,1000}b", "aaab"),
    ],
)
def test_repetitions_that_cost_little_are_taken(text: str, subject: str) -> None:
    assert pattern(text).extract(subject) == subject


atoms = st.sampled_from(
    ["a", "b", "-", " ", ".", r"\d", r"\w", r"\s", r"\D", r"\.", "é", "日", "[ab]", "[^a]", r"[\d-]", "[a-c]"]
)
repeats = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??"])
pieces = st.builds(str.__add__, atoms, repeats)
sequences = st.lists(pieces, min_size=1, max_size=4).map("".join)
patterns = st.one_of(
    sequences,
    st.builds("^{}".format, sequences),
    st.builds("{}$".format, sequences),
    st.builds("({})({})".format, sequences, sequences),
    st.builds("(?:{}|{})".format, sequences, sequences),
    st.builds(r"\b{}\B".format, sequences),
)
subjects = st.text(alphabet="ab-. 1é日\n_", max_size=12)


@pytest.fixture(scope="module")
def engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@given(text=patterns, subject=subjects)
def test_python_and_re2_find_the_same(text: str, subject: str, engine: duckdb.DuckDBPyConnection) -> None:
    checked = pattern(text)
    short, long = copy(checked), copy(checked)
    short.most_characters, long.most_characters = len(subject), -1
    matches = engine.execute("SELECT regexp_matches($1, $2)", [subject, checked.re2]).fetchone()
    assert matches == (short.occurs_in(subject),) == (long.occurs_in(subject),)
    for group in range(checked.groups + 1):
        part = engine.execute(f"SELECT regexp_extract($1, $2, {group})", [subject, checked.re2]).fetchone()
        assert part == (short.extract(subject, group) or "",)
        assert short.extract(subject, group) == long.extract(subject, group)
    if not checked.matches_nothing:
        assert short.replace(subject, "<é>") == long.replace(subject, "<é>")


@pytest.mark.parametrize(
    "text",
    [
        ".*a.*b.*c",
        "a.*b",
        r"\s+$",
        r"(\w+)@(\w+)\.(\w+)!",
        "(a*b?){3}c",
        "a{0,90}a{0,90}a{0,80}b",
        "(?:a|ab|b)a*(?:.*c|.*d)",
    ],
)
@pytest.mark.parametrize("subject", ["a" * 100_000, "a-" * 50_000, " " * 100_000 + "x", "é" * 99_999 + "@"])
def test_no_text_keeps_the_matcher_busy(text: str, subject: str) -> None:
    """Python's matcher would need minutes to years for most of these."""
    assert not pattern(text).occurs_in(subject)
    assert pattern(text).extract(subject) is None
    assert pattern(text).replace(subject, "") == subject


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("ab", 10_000),
        (r"^(\w+)\s+(\d+)$", 21),
        (r"^\w+$", 10_000),
        (r"\w+", 100),
        ("(.*a){3}", 10),
        ("(a{0,300}){3}", 0),
    ],
)
def test_python_gets_the_texts_on_which_it_tries_little(text: str, characters: int) -> None:
    assert pattern(text).most_characters == characters


def test_what_re2_has_no_room_for_is_refused() -> None:
    for text in ("(?:[é日x-z]{1000}){1000}", r"(?:\W{900}b){1}" * 100):
        with pytest.raises(ExpressionError, match="too large for RE2"):
            pattern(text)


def test_a_pattern_stays_as_it_was_written() -> None:
    assert pattern(r"\d+").text == r"\d+"
    assert not pattern("^a.c$").occurs_in("a\nc")
