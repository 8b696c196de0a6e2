"""Filters and pages."""

import pytest

from penstock.errors import UsageError
from penstock.registry.listing import Filter, page_of

FIELDS = ("name", "description")


def accepts(text: str | None, name: str = "housing_prices", **labels: str) -> bool:
    return Filter.parse(text, FIELDS).accepts({"name": name, "description": "Homes in Boston"}, labels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, True),
        ("", True),
        ("  ", True),
        ("name:housing*", True),
        ("name:HOUSING*", True),
        ("name:prices", True),
        ("name:*prices", True),
        ("name:housing", True),
        ("name:price*", False),
        ("name=housing", False),
        ("name = housing_prices", True),
        ("name!=housing_prices", False),
        ("name!=other", True),
        ('description:"homes in"', True),
        ('description="Homes in Boston"', True),
        ("name:housing* AND description:boston", True),
        ("name:housing* and description:paris", False),
        ("labels.team=data", True),
        ("labels.team!=data", False),
        ("labels.team:*", True),
        ("labels.owner:*", False),
        ("labels.owner!=me", True),
        ("name:[h]*", False),
        ("name:?ousing*", False),
    ],
)
def test_conditions_hold_as_documented(text: str | None, expected: bool) -> None:
    assert accepts(text, team="data") is expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("name", "at 'name'"),
        ("name:", "at 'name:'"),
        ("name:a AND", "at its end"),
        ("name:a OR name:b", "at 'OR name:b'"),
        ("name:a name:b", "expected AND"),
        ("title:x", "asks for 'title'; expected one of name, description"),
        ("nam:x", "did you mean 'name'"),
        ('name:"a', "cannot be read"),
        ("(name:a)", "cannot be read"),
    ],
)
def test_a_filter_that_cannot_be_read_names_the_place(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        accepts(text)
    assert complaint in str(caught.value)


def test_walking_the_pages_meets_every_item_once() -> None:
    numbers = list(range(1, 251))
    met: list[int] = []
    token = None
    while True:
        page = page_of(numbers, lambda number: number, size=7, token=token)
        met += page.items
        token = page.next_page_token
        if token is None:
            break
    assert met == numbers


def test_an_exactly_full_last_page_has_no_next_one() -> None:
    assert page_of([1, 2, 3], lambda number: number, size=3).next_page_token is None


@pytest.mark.parametrize("token", ["x", "AAAA", "é", "YWZ0ZXI", "bm9wZQ=="])
def test_a_token_that_was_never_given_out_is_refused(token: str) -> None:
    with pytest.raises(UsageError, match="is not a page token"):
        page_of([1], lambda number: number, token=token)


def test_a_page_holds_at_least_one_item() -> None:
    with pytest.raises(UsageError, match="a page size of 0"):
        page_of([1], lambda number: number, size=0)
