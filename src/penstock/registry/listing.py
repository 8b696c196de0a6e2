"""Lists in pages, narrowed by the filter expressions of the ML Engine API."""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from penstock.errors import UsageError, did_you_mean

__all__ = ["Filter", "Page", "page_of"]

Item = TypeVar("Item")

_CONDITION = re.compile(r"\s*(?P<key>[A-Za-z][\w.-]*)\s*(?P<operator>!=|=|:)\s*(?P<value>\"[^\"]*\"|[^\s\"]+)\s*")
_AND = re.compile(r"AND\b", re.IGNORECASE)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some of the items in order. next_page_token: asks for those after these, None when these are the last."""

    items: tuple[Item, ...]
    next_page_token: str | None = None


def page_of(
    items: Iterable[Item], key: Callable[[Item], str | int], *, size: int | None = None, token: str | None = None
) -> Page[Item]:
    """At most `size` of the items whose key follows the one in the token. The items are in ascending order of `key`.

    A token stays good when items come and go. Raises UsageError for a size below 1 or a token that was never given out.
    """
    if size is not None and size < 1:
        raise UsageError(f"a page size of {size} was asked for; expected at least 1")
    found = list(items)
    if token:
        last = _decode(token)
        found = [item for item in found if _comparable(key(item)) > last]
    if size is None or len(found) <= size:
        return Page(tuple(found))
    return Page(tuple(found[:size]), _encode(key(found[size - 1])))


@dataclass(frozen=True)
class Filter:
    """Conditions such as `name:housing* AND labels.team=data`.

    `field=value` means equal, `field!=value` not equal; `field:value` means that the field holds the value, or matches
    it where it has a `*`, in any case. `labels.KEY:*` means that the label is there. Conditions are joined by AND.
    """

    conditions: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def parse(cls, text: str | None, fields: tuple[str, ...]) -> "Filter":
        """The filter of that text; None and "" accept everything.

        fields: what may be asked for besides labels. Raises UsageError naming the part that cannot be read, or the
        field that is unknown.
        """
        return cls(tuple(_parse(text, fields)) if text and text.strip() else ())

    def accepts(self, fields: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        """Whether an item with these fields and labels meets every condition."""
        return all(_holds(_value(key, fields, labels), operator, value) for key, operator, value in self.conditions)


def _parse(text: str, fields: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    position = 0
    while True:
        found = _CONDITION.match(text, position)
        if not found:
            rest = text[position:].strip()
            raise UsageError(
                f"the filter {text!r} cannot be read at {repr(rest) if rest else 'its end'}: expected FIELD:VALUE, "
                "FIELD=VALUE or FIELD!=VALUE, joined by AND"
            )
        key = found["key"]
        if key not in fields and not key.startswith("labels."):
            raise UsageError(
                f"the filter {text!r} asks for {key!r}; expected one of {', '.join(fields)}, labels.KEY"
                f"{did_you_mean(key, fields)}"
            )
        yield key, found["operator"], found["value"].strip('"')
        if found.end() == len(text):
            return
        joint = _AND.match(text, found.end())
        if not joint:
            raise UsageError(
                f"the filter {text!r} cannot be read at {text[found.end() :]!r}: expected AND and another condition"
            )
        position = joint.end()


def _value(key: str, fields: Mapping[str, str], labels: Mapping[str, str]) -> str | None:
    return labels.get(key.removeprefix("labels.")) if key.startswith("labels.") else fields[key]


def _holds(actual: str | None, operator: str, value: str) -> bool:
    if operator == "!=":
        return actual != value
    if actual is None:
        return False
    if operator == "=":
        return actual == value
    actual, value = actual.lower(), value.lower()
    if "*" in value:
        # Of fnmatch's signs only '*' is one here.
        return fnmatchcase(actual, value.replace("[", "[[]").replace("?", "[?]"))
    return value in actual


def _comparable(key: str | int) -> str:
    return f"{key:020d}" if isinstance(key, int) else key


def _encode(key: str | int) -> str:
    return base64.urlsafe_b64encode(f"after:{_comparable(key)}".encode()).decode()


def _decode(token: str) -> str:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not text.startswith("after:"):
        raise UsageError(f"{token[:40]!r} is not a page token; expected the next_page_token of the page before")
    return text.removeprefix("after:")
