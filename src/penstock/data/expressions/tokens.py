"""Cuts the text of an expression into tokens, and words the errors that point into it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from penstock.data.expressions.tree import KEYWORDS
from penstock.errors import ExpressionError

__all__ = ["LARGEST_INTEGER", "Token", "TokenKind", "syntax_error", "tokenize"]

LARGEST_INTEGER = 2**53
"""Numbers are 64-bit floats, so whole numbers beyond this are not exact."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*)
    |(?P<column>`(?:[^`\\]|\\.)*`)
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<operator>\*\*|//|==|!=|<>|<=|>=|[-+*/%<>=(),\[\]])""",
    re.VERBOSE | re.DOTALL,
)

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"', "`": "`"}

_FOREIGN = {
    "&&": "'and'",
    "&": "'and'",
    "||": "'or' (or concat(…) for text)",
    "|": "'or'",
    "!": "'not'",
    "~": "'not'",
    "^": "'**'",
    "?": "if(condition, value, other)",
    "'": "a closing quote",
    '"': "a closing quote",
    "`": "a closing backtick",
}


class TokenKind(Enum):
    NUMBER = "number"
    NAME = "name"
    KEYWORD = "keyword"
    COLUMN = "column"
    TEXT = "text"
    OPERATOR = "operator"
    END = "end"


@dataclass(frozen=True)
class Token:
    """value: the number, the name, the text without its quotes, or the operator. position: in the text, from 0."""

    kind: TokenKind
    value: str | int | float
    position: int

    def __str__(self) -> str:
        return "the end of the expression" if self.kind is TokenKind.END else repr(str(self.value))


def tokenize(text: str) -> Iterator[Token]:
    """The tokens, the last of kind END. Raises ExpressionError at the first character that cannot begin one."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise _unreadable(text, position)
        group = found.lastgroup
        assert group is not None
        if group != "space":
            yield _token(text, TokenKind(group), found.group(), position)
        position = found.end()
    yield Token(TokenKind.END, "", len(text))


def syntax_error(text: str, position: int | None, problem: str) -> ExpressionError:
    """An error that quotes the expression and names the place, counted from 1."""
    place = "" if position is None else f", character {position + 1}"
    return ExpressionError(f"expression {text!r}{place}: {problem}")


def _token(text: str, kind: TokenKind, value: str, position: int) -> Token:
    match kind:
        case TokenKind.NUMBER:
            return Token(kind, _number(text, value, position), position)
        case TokenKind.TEXT | TokenKind.COLUMN:
            return Token(kind, _ESCAPE.sub(_unescape, value[1:-1]), position)
        case TokenKind.NAME if value.lower() in KEYWORDS:
            return Token(TokenKind.KEYWORD, value.lower(), position)
        case _:
            return Token(kind, value, position)


def _number(text: str, digits: str, position: int) -> int | float:
    if digits.isdecimal():
        number = int(digits) if len(digits) <= 20 else LARGEST_INTEGER + 1
        if number > LARGEST_INTEGER:
            raise syntax_error(text, position, f"{digits} is beyond 2**53, above which whole numbers are not exact")
        return number
    if math.isinf(float(digits)):
        raise syntax_error(text, position, f"{digits} is larger than a 64-bit float can hold")
    return float(digits)


def _unescape(found: re.Match[str]) -> str:
    code, character = found.groups()
    if code is not None:
        return chr(int(code, 16))
    # An unknown escape keeps its backslash, so that regular expressions need not double theirs.
    return _ESCAPED.get(character, found.group())


def _unreadable(text: str, position: int) -> ExpressionError:
    for length in (2, 1):
        piece = text[position : position + length]
        if piece in _FOREIGN:
            return syntax_error(text, position, f"{piece!r} is not of this language; expected {_FOREIGN[piece]}")
    return syntax_error(text, position, f"{text[position]!r} cannot stand here; expected a value or an operator")
