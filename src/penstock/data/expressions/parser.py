"""Text to expression tree: a precedence climbing parser for the grammar of docs/expressions.md. Knows no columns."""

from collections.abc import Callable

from penstock.data.expressions.functions import close_function, function_named
from penstock.data.expressions.tokens import Token, TokenKind, syntax_error, tokenize
from penstock.data.expressions.tree import INFIX, Call, Expression, Literal, LiteralValue, Reference, depth
from penstock.errors import ExpressionError

__all__ = ["LONGEST_TEXT", "parse"]

LONGEST_TEXT = 20_000
DEEPEST_NESTING = 40
DEEPEST_TREE = 150

_COMPARISONS = {
    **{operator: name for name, (operator, binding) in INFIX.items() if binding == INFIX["less"][1]},
    "=": "equal",
    "<>": "not_equal",
}
_ADDITIVE = {"+": "add", "-": "subtract"}
_MULTIPLICATIVE = {"*": "multiply", "/": "divide", "//": "floor_divide", "%": "modulo"}


def parse(text: str) -> Expression:
    """The tree of an expression.

    Raises ExpressionError naming the place and what was expected there: for a syntax error, for a function that does
    not exist, for nesting deeper than 40 levels, more than 150 chained operations and text over 20,000 characters.

    >>> str(parse("(RM - 3)/2 > 1 AND town is not missing"))
    '(RM - 3) / 2 > 1 and not town is missing'
    """
    if not isinstance(text, str):
        raise ExpressionError(f"an expression is a text such as 'RM * 2'; got {text!r}")
    if len(text) > LONGEST_TEXT:
        raise ExpressionError(
            f"an expression of {len(text):,} characters is longer than {LONGEST_TEXT:,}; derive it in several steps"
        )
    return _Parser(text).expression()


_Rule = Callable[[], Expression]


class _Parser:
    """One method a level of precedence; each returns the tree of what it consumed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(tokenize(text))
        self._next = 0
        self._depth = 0

    def expression(self) -> Expression:
        tree = self._or()
        if self._token.kind is not TokenKind.END:
            raise self._expected("an operator or the end")
        if depth(tree) > DEEPEST_TREE:
            raise syntax_error(self._text, None, f"it chains more than {DEEPEST_TREE} operations; derive it in steps")
        return tree

    def _or(self) -> Expression:
        left = self._and()
        while (token := self._keyword("or")) is not None:
            left = Call("or", (left, self._and()), token.position)
        return left

    def _and(self) -> Expression:
        left = self._not()
        while (token := self._keyword("and")) is not None:
            left = Call("and", (left, self._not()), token.position)
        return left

    def _not(self) -> Expression:
        if (token := self._keyword("not")) is None:
            return self._comparison()
        return Call("not", (self._nested(self._not),), token.position)

    def _comparison(self) -> Expression:
        left = self._additive()
        tree = self._compared(left)
        if tree is not left and (self._operator(*_COMPARISONS, consume=False) or self._token.value in ("in", "is")):
            raise self._error("comparisons do not chain; write 'a < b and b < c'")
        return tree

    def _compared(self, left: Expression) -> Expression:
        if (token := self._operator(*_COMPARISONS)) is not None:
            return Call(_COMPARISONS[str(token.value)], (left, self._additive()), token.position)
        if (token := self._keyword("is")) is not None:
            negated = self._keyword("not") is not None
            if self._keyword("missing") is None and self._keyword("null") is None:
                raise self._expected("'missing'")
            return _negated(Call("is_missing", (left,), token.position), when=negated)
        negated = self._token.value == "not" and self._token.kind is TokenKind.KEYWORD
        if negated:
            self._next += 1
        if (token := self._keyword("in")) is not None:
            return _negated(Call("in", (left, *self._choices()), token.position), when=negated)
        if negated:
            raise self._expected("'in'")
        return left

    def _choices(self) -> tuple[Expression, ...]:
        opening = self._operator("[", "(")
        if opening is None:
            raise self._expected("a list such as [1, 2]")
        return self._items("]" if opening.value == "[" else ")")

    def _additive(self) -> Expression:
        left = self._multiplicative()
        while (token := self._operator(*_ADDITIVE)) is not None:
            left = Call(_ADDITIVE[str(token.value)], (left, self._multiplicative()), token.position)
        return left

    def _multiplicative(self) -> Expression:
        left = self._unary()
        while (token := self._operator(*_MULTIPLICATIVE)) is not None:
            left = Call(_MULTIPLICATIVE[str(token.value)], (left, self._unary()), token.position)
        return left

    def _unary(self) -> Expression:
        if (token := self._operator("-", "+")) is None:
            return self._power()
        operand = self._nested(self._unary)
        if token.value == "+":
            return operand
        if isinstance(operand, Literal) and isinstance(operand.value, int | float) and operand.value > 0:
            return Literal(-operand.value, token.position)
        return Call("negative", (operand,), token.position)

    def _power(self) -> Expression:
        left = self._atom()
        if (token := self._operator("**")) is not None:
            return Call("power", (left, self._nested(self._unary)), token.position)
        return left

    def _atom(self) -> Expression:
        token = self._token
        constants: dict[str, LiteralValue] = {"true": True, "false": False, "null": None, "missing": None}
        match token.kind:
            case TokenKind.NUMBER | TokenKind.TEXT:
                self._next += 1
                return Literal(token.value, token.position)
            case TokenKind.KEYWORD if token.value in constants:
                self._next += 1
                return Literal(constants[str(token.value)], token.position)
            case TokenKind.COLUMN:
                self._next += 1
                return Reference(str(token.value), token.position)
            case TokenKind.NAME:
                self._next += 1
                return self._call(token) if self._operator("(") else Reference(str(token.value), token.position)
            case TokenKind.OPERATOR if token.value == "(":
                self._next += 1
                tree = self._nested(self._or)
                self._close(")")
                return tree
            case _:
                raise self._expected("a value: a column, a number, a 'text', a function or '('")

    def _call(self, name: Token) -> Expression:
        function = function_named(str(name.value))
        if function is None:
            raise syntax_error(
                self._text, name.position, f"there is no function {name.value!r}{close_function(str(name.value))}"
            )
        return Call(function.name, self._items(")"), name.position)

    def _items(self, closing: str) -> tuple[Expression, ...]:
        if self._operator(closing):
            return ()
        items = [self._nested(self._or)]
        while self._operator(","):
            items.append(self._nested(self._or))
        self._close(closing)
        return tuple(items)

    def _close(self, closing: str) -> None:
        if self._operator(closing) is None:
            raise self._expected(f"{closing!r}")

    def _nested(self, rule: "_Rule") -> Expression:
        self._depth += 1
        if self._depth > DEEPEST_NESTING:
            raise self._error(f"nested deeper than {DEEPEST_NESTING} levels; derive it in several steps")
        tree = rule()
        self._depth -= 1
        return tree

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _keyword(self, word: str) -> Token | None:
        return self._take(TokenKind.KEYWORD, (word,))

    def _operator(self, *operators: str, consume: bool = True) -> Token | None:
        return self._take(TokenKind.OPERATOR, operators, consume=consume)

    def _take(self, kind: TokenKind, values: tuple[str, ...], *, consume: bool = True) -> Token | None:
        token = self._token
        if token.kind is not kind or token.value not in values:
            return None
        if consume:
            self._next += 1
        return token

    def _expected(self, what: str) -> ExpressionError:
        return self._error(f"expected {what}, found {self._token}")

    def _error(self, problem: str) -> ExpressionError:
        return syntax_error(self._text, self._token.position, problem)


def _negated(tree: Expression, *, when: bool) -> Expression:
    return Call("not", (tree,), tree.position) if when else tree
