"""Regular expressions that mean the same in Python's `re` and in RE2: a common subset, rewritten for both.

Classes are ASCII, `.` matches no newline, `^` and `$` are the two ends of the text. Groups, `|`,
`* + ? {m,n}` and their lazy forms are in; look-around, back-references and inline flags are not, nor repetitions of
what can match one text in several ways (`(a+)+`, `(a|a)*`, `(a?){30}`), on which Python's matcher can take exponential
time. On what is left it takes polynomial time (`.*a.*b.*c`), so only short texts go through it, the others through RE2,
whose time is linear.
"""

import math
import re
from functools import lru_cache
from typing import NamedTuple, cast

from penstock.errors import ExpressionError

__all__ = ["MOST_REPEATS", "Pattern", "pattern"]

MOST_REPEATS = 1_000
"""RE2's own bound on counted repetition."""

_MOST_TRIALS = 10_000
"""What Python's matcher may try on one text, about 0.1 ms. On a short text it takes 0.5 µs, where RE2 takes 8."""

_MOST_WAYS = 10_000
"""In how many ways a counted repetition may match one text; the matcher may have to try them all."""

_MANY = 20
"""What an unbounded repetition counts for in a counted one: a few of them in a row take polynomial time."""

_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Za-z_",
    "s": r"\t\n\f\r \x0b",
}
_CONTROLS = {"n": r"\n", "t": r"\t", "r": r"\r", "f": r"\f", "v": r"\x0b"}
_SPECIAL = frozenset(r"\.^$|?*+()[]{}")


class Pattern:
    """A checked pattern.

    text: as written. re2: for DuckDB. groups: how many it has. matches_nothing: whether the empty text can match, on
    which the dialects step on differently. most_characters: of the texts that Python's matcher gets.
    """

    def __init__(self, text: str) -> None:
        reader = _Reader(text)
        self.text = text
        self.re2 = reader.translate(end=r"\z", start=r"\A").text
        whole = reader.translate(end=r"\Z", start=r"\A")
        self.matches_nothing = whole.is_empty
        begins_anywhere = not text.startswith("^") or "|" in text
        self.most_characters = int((_MOST_TRIALS / whole.ways) ** (1 / max(1, whole.loops + begins_anywhere)))
        self._short = re.compile(whole.text, re.ASCII)
        self._long = _linear(text, self.re2)
        self.groups = self._short.groups

    def occurs_in(self, value: str) -> bool:
        return self._for(value).search(value) is not None

    def extract(self, value: str, group: int = 0) -> str | None:
        """What the first match, or that group of it, holds: "" for a group that took no part; None without a match."""
        found = self._for(value).search(value)
        return None if found is None else found[group] or ""

    def replace(self, value: str, replacement: str) -> str:
        """Every match replaced; one search a match, so that many matches that each look far ahead take long."""
        return self._for(value).sub(lambda _: replacement, value)

    def _for(self, value: str) -> "re.Pattern[str]":
        return self._short if len(value) <= self.most_characters else self._long


@lru_cache(maxsize=1_000)
def pattern(text: str) -> Pattern:
    """The checked pattern. Raises ExpressionError naming the place and what cannot stand there."""
    return Pattern(text)


def _linear(text: str, translated: str) -> "re.Pattern[str]":
    # A server whose models have no pattern does without it.
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        # It has the methods of Python's patterns.
        return cast("re.Pattern[str]", re2.compile(translated, options))
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]
        raise ExpressionError(f"regular expression {text!r} is too large for RE2 ({reason}); shorten it") from None


class _Piece(NamedTuple):
    """A rewritten part of a pattern.

    is_empty: whether the empty text can match. ways, loops: on a text of n characters the matcher tries at most
    ways * n**loops ways to match from one place on.
    """

    text: str
    is_empty: bool = False
    ways: float = 1.0
    loops: int = 0

    @property
    def is_ambiguous(self) -> bool:
        return self.ways > 1 or self.loops > 0


class _Reader:
    """Recursive descent over the pattern; each method returns the rewritten part and what it can match."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._start = ""
        self._end = ""

    def translate(self, *, start: str, end: str) -> _Piece:
        self._at, self._start, self._end = 0, start, end
        whole = self._alternatives()
        if self._at < len(self._text):
            raise self._error("')' closes nothing; write '\\)' for the character")
        return whole

    def _alternatives(self) -> _Piece:
        begins = [self._at]
        pieces = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            begins.append(self._at)
            pieces.append(self._sequence())
        firsts = [self._text[begin : begin + 1] for begin in begins]
        # Where the first character tells the branches apart, one text matches one of them.
        is_told = len(set(firsts)) == len(firsts) and not any(
            first in _SPECIAL or self._text[begin + 1 : begin + 2] in ("*", "?", "{") or piece.is_empty
            for first, begin, piece in zip(firsts, begins, pieces, strict=True)
        )
        return _Piece(
            "|".join(piece.text for piece in pieces),
            any(piece.is_empty for piece in pieces),
            (max if is_told else sum)(piece.ways for piece in pieces),
            max(piece.loops for piece in pieces),
        )

    def _sequence(self) -> _Piece:
        whole = _Piece("", is_empty=True)
        while self._peek() not in ("", "|", ")"):
            piece = self._repeated()
            whole = _Piece(
                whole.text + piece.text,
                whole.is_empty and piece.is_empty,
                whole.ways * piece.ways,
                whole.loops + piece.loops,
            )
        return whole

    def _repeated(self) -> _Piece:
        began = self._at
        piece = self._atom()
        if (bounds := self._bounds()) is None:
            return piece
        low, high, suffix = bounds
        if high is None and (piece.is_ambiguous or piece.is_empty):
            self._at = began
            raise self._error(
                "a repetition inside an unbounded repetition, or alternatives that begin alike, can take exponential "
                "time; flatten it, such as [ab]* for (a|b)*"
            )
        counted = _MANY if piece.loops else min(piece.ways, _MANY)
        if high is not None and high * math.log(counted) > math.log(_MOST_WAYS):
            self._at = began
            raise self._error(f"what is repeated {suffix} can match one text in too many ways; flatten it")
        if self._peek() == "?":
            self._at += 1
            suffix += "?"
        if self._bounds() is not None:
            raise self._error("two repetitions follow each other")
        is_empty = piece.is_empty or low == 0
        if high is None:
            return _Piece(piece.text + suffix, is_empty, loops=1)
        return _Piece(
            piece.text + suffix, is_empty, (high - low + 1) * min(piece.ways, _MOST_TRIALS) ** high, piece.loops * high
        )

    def _bounds(self) -> tuple[int, int | None, str] | None:
        sign = self._peek()
        if sign in ("*", "+", "?"):
            self._at += 1
            return {"*": (0, None, "*"), "+": (1, None, "+"), "?": (0, 1, "?")}[sign]
        if sign != "{":
            return None
        found = re.compile(r"\{(\d{1,5})(,(\d{1,5})?)?\}").match(self._text, self._at)
        if found is None:
            raise self._error("expected a count such as {2} or {2,5}; write '\\{' for the character")
        low = int(found[1])
        high = low if found[2] is None else None if found[3] is None else int(found[3])
        if max(low, high or 0) > MOST_REPEATS or (high is not None and high < low):
            raise self._error(f"{found[0]} is not a count up to {MOST_REPEATS}")
        self._at = found.end()
        return low, high, found[0]

    def _atom(self) -> _Piece:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return _Piece(self._class())
            case ".":
                return _Piece(r"[^\n]")
            case "^":
                return _Piece(self._start, is_empty=True)
            case "$":
                return _Piece(self._end, is_empty=True)
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._at -= 1
                raise self._error(f"{character!r} repeats nothing; write '\\{character}' for the character")
            case "]" | "}":
                return _Piece("\\" + character)
            case _:
                return _Piece(_written(character))

    def _group(self) -> _Piece:
        opening = "("
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise self._error("of the groups that begin with '(?', only '(?:…)' is in the common subset")
            self._at += 2
            opening = "(?:"
        within = self._alternatives()
        if self._take() != ")":
            raise self._error("expected ')'")
        return within._replace(text=f"{opening}{within.text})")

    def _escape(self) -> _Piece:
        character = self._take()
        if character in _CLASSES:
            return _Piece(f"[{_CLASSES[character]}]")
        if character.lower() in _CLASSES:
            return _Piece(f"[^{_CLASSES[character.lower()]}]")
        if character in _CONTROLS:
            return _Piece(_CONTROLS[character])
        if character in ("b", "B"):
            return _Piece(f"\\{character}", is_empty=True)
        return _Piece(self._literal_escape(character))

    def _class(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        items = ""
        while self._peek() != "]" or not items:
            items += self._class_item()
        self._at += 1
        return f"[^{items}]" if negated else f"[{items}]"

    def _class_item(self) -> str:
        first = self._class_character()
        following = self._text[self._at + 1 : self._at + 2]
        if self._peek() != "-" or following in ("]", "") or len(first) > 1:
            return first if len(first) > 1 else _written(first)
        self._at += 1
        last = self._class_character()
        if len(last) > 1 or last < first:
            raise self._error(f"'{first}-{last}' is not a range of characters")
        return f"{_written(first)}-{_written(last)}"

    def _class_character(self) -> str:
        """One character, or the rewritten text of a class such as `\\d`."""
        character = self._take()
        if character == "":
            raise self._error("expected ']'")
        if character == "[":
            self._at -= 1
            raise self._error("write '\\[' for the character within a class")
        if character != "\\":
            return character
        character = self._take()
        if character in _CLASSES:
            return _CLASSES[character]
        if character in _CONTROLS:
            return {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}[character]
        return self._literal_escape(character)[-1]

    def _literal_escape(self, character: str) -> str:
        if character == "" or (character.isalnum() and character.isascii()) or ord(character) < 32:
            self._at -= len(character)
            raise self._error(f"'\\{character}' is not in the common subset of regular expressions")
        return _written(character)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character

    def _error(self, problem: str) -> ExpressionError:
        return ExpressionError(f"regular expression {self._text!r}, character {self._at + 1}: {problem}")


def _written(character: str) -> str:
    """The character so that both dialects take it for itself, inside and outside of a class."""
    if character in _SPECIAL or character in "-^&~#":
        return "\\" + character
    if ord(character) < 32 or ord(character) == 127:
        return f"\\x{ord(character):02x}"
    return character
