"""How a text is cut into tokens and tokens become ids. Cutting is at characters of a fixed list, never by locale."""

from functools import cached_property

import msgspec

from penstock.features.lookup import WordLookup

__all__ = ["NUMBER_PATTERN", "PAIR_LIMIT", "TEXT_SEPARATORS", "Tokens"]

TEXT_SEPARATORS = (
    ' \t\n\r\f\v!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\u00a0\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u3000\u3001\u3002'
)
"""ASCII's spaces and punctuation but the apostrophe, and the commonest of Unicode's."""

PAIR_LIMIT = 2**31 - 1
"""Ids and hashes that stand first in a pair are taken modulo this: two fit into the 64 bits that are hashed."""

NUMBER_PATTERN = "[+-]?[0-9]{1,15}([.][0-9]{1,15})?"
"""What counts as a weight. Bounded, because a number outside float64's range would end the whole prediction."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Tokens lie between separators; empty ones do not count.

    lookup: ids of known tokens. None: a token's id is its hash modulo `width`.
    pairs: whether two tokens next to each other are counted too, as one (bigrams); only of hashed tokens.
    weight_separator: stands between a token and its weight (`red:0.5`). A token without one weighs 1, one whose weight
        is no decimal number 0.
    """

    separators: str
    width: int
    lookup: WordLookup | None = None
    pairs: bool = False
    weight_separator: str | None = None

    @property
    def pattern(self) -> str:
        """A regular expression of one separator."""
        return "[" + "".join(f"\\x{{{ord(character):x}}}" for character in self.separators) + "]"

    def split(self, text: str) -> list[str]:
        """The tokens of a text in order."""
        return [token for token in text.translate(self._to_first).split(self.separators[0]) if token]

    @cached_property
    def _to_first(self) -> dict[int, str]:
        return {ord(character): self.separators[0] for character in self.separators}
