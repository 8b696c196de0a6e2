"""Regular expressions that mean the same in Python's `re` and in RE2: a common subset, rewritten for both.

Classes are ASCII, `.` matches no newline, `^` and `$` are the two ends of the text. Groups, `|`,
`* + ? {m,n}` and their lazy forms are in; look-around, back-references and inline flags are not, nor repetitions of
what can match one text in several ways (`(a+)+`, `(a|a)*`, `(a?){30}`), on which Python's matcher can take exponential
time.
"""

import math
import re
from functools import lru_cache

from penstock.errors import ExpressionError

__all__ = ["MOST_REPEATS", "Pattern", "pattern"]

MOST_REPEATS = 1_000
"""RE2's own bound on counted repetition."""

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

    text: as written. re2: for DuckDB. compiled: for Python. groups: how many it has. matches_nothing: whether the empty
    text can match, on which the dialects step on differently.
    """

    def __init__(self, text: str) -> None:
        reader = _Reader(text)
        self.text = text
        self.re2 = reader.translate(end=r"\z", start=r"\A")
        self.compiled = re.compile(reader.translate(end=r"\Z", start=r"\A"), re.ASCII)
        self.groups = self.compiled.groups
        self.matches_nothing = reader.matches_nothing


@lru_cache(maxsize=1_000)
def pattern(text: str) -> Pattern:
    """The checked pattern. Raises ExpressionError naming the place and what cannot stand there."""
    return Pattern(text)


class _Reader:
    """Recursive descent over the pattern; each method returns the rewritten text and what it can match.

    A piece is (text, may be empty, in how many ways it can match one text).
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._start = ""
        self._end = ""
        self.matches_nothing = False

    def translate(self, *, start: str, end: str) -> str:
        self._at, self._start, self._end = 0, start, end
        written, self.matches_nothing, _ = self._alternatives()
        if self._at < len(self._text):
            raise self._error("')' closes nothing; write '\\)' for the character")
        return written

    def _alternatives(self) -> tuple[str, bool, float]:
        begins = [self._at]
        pieces = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            begins.append(self._at)
            pieces.append(self._sequence())
        firsts = [self._text[begin : begin + 1] for begin in begins]
        # Where the first character tells the branches apart, one text matches one of them.
        is_told = len(set(firsts)) == len(firsts) and not any(
            first in _SPECIAL or self._text[begin + 1 : begin + 2] in ("*", "?", "{") or piece[1]
            for first, begin, piece in zip(firsts, begins, pieces, strict=True)
        )
        ways = (max if is_told else sum)(piece[2] for piece in pieces)
        return "|".join(p[0] for p in pieces), any(p[1] for p in pieces), ways

    def _sequence(self) -> tuple[str, bool, float]:
        written, is_empty, ways = "", True, 1.0
        while self._peek() not in ("", "|", ")"):
            piece = self._repeated()
            written += piece[0]
            is_empty = is_empty and piece[1]
            ways *= piece[2]
        return written, is_empty, ways

    def _repeated(self) -> tuple[str, bool, float]:
        began = self._at
        written, is_empty, ways = self._atom()
        if (bounds := self._bounds()) is None:
            return written, is_empty, ways
        low, high, suffix = bounds
        if high is None and (ways > 1 or is_empty):
            self._at = began
            raise self._error(
                "a repetition inside an unbounded repetition, or alternatives that begin alike, can take exponential "
                "time; flatten it, such as [ab]* for (a|b)*"
            )
        if high is not None and ways > 1 and high * math.log(min(ways, _MANY)) > math.log(_MOST_WAYS):
            self._at = began
            raise self._error(f"what is repeated {suffix} can match one text in too many ways; flatten it")
        if self._peek() == "?":
            self._at += 1
            suffix += "?"
        if self._bounds() is not None:
            raise self._error("two repetitions follow each other")
        within = (
            math.inf if high is None else (high - low + 1) * min(ways, _MANY) ** high if ways > 1 else high - low + 1
        )
        return written + suffix, is_empty or low == 0, within

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

    def _atom(self) -> tuple[str, bool, float]:
        character = self._take()
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class(), False, 1.0
            case ".":
                return r"[^\n]", False, 1.0
            case "^":
                return self._start, True, 1.0
            case "$":
                return self._end, True, 1.0
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._at -= 1
                raise self._error(f"{character!r} repeats nothing; write '\\{character}' for the character")
            case "]" | "}":
                return "\\" + character, False, 1.0
            case _:
                return _written(character), False, 1.0

    def _group(self) -> tuple[str, bool, float]:
        opening = "("
        if self._peek() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise self._error("of the groups that begin with '(?', only '(?:…)' is in the common subset")
            self._at += 2
            opening = "(?:"
        written, is_empty, ways = self._alternatives()
        if self._take() != ")":
            raise self._error("expected ')'")
        return f"{opening}{written})", is_empty, ways

    def _escape(self) -> tuple[str, bool, float]:
        character = self._take()
        if character in _CLASSES:
            return f"[{_CLASSES[character]}]", False, 1.0
        if character.lower() in _CLASSES:
            return f"[^{_CLASSES[character.lower()]}]", False, 1.0
        if character in _CONTROLS:
            return _CONTROLS[character], False, 1.0
        if character in ("b", "B"):
            return f"\\{character}", True, 1.0
        return self._literal_escape(character), False, 1.0

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
