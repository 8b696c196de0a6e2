"""Columns of free text: counts of hashed words and word pairs."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from penstock.data.schema import DataType
from penstock.features.block import Block
from penstock.features.column import BlockColumn, raw_column
from penstock.features.operators import Operators, Values
from penstock.features.statistics import Statistics
from penstock.features.tokens import TEXT_SEPARATORS, Tokens

__all__ = ["FittedText", "TextColumn"]


@dataclass(frozen=True, kw_only=True)
class TextColumn(BlockColumn):
    """Words, and pairs of neighbouring words, hashed to `hash_bucket_size` ids and counted. Case counts.

    dimension: of a trained vector an id, averaged over the text; None hands the counts to the model.
    """

    key: str
    hash_bucket_size: int = 1_000
    pairs: bool = True
    dimension: int | None = None

    @property
    def name(self) -> str:
        return f"{self.key}_text"

    @property
    def keys(self) -> tuple[str, ...]:
        return (self.key,)

    def fit(self, statistics: Statistics) -> "FittedText":
        raw_column(statistics, self.key, purpose=f"the text {self.key!r}", types=(DataType.STRING,))
        tokens = Tokens(separators=TEXT_SEPARATORS, width=self.hash_bucket_size, pairs=self.pairs)
        return FittedText(name=self.name, key=self.key, tokens=tokens, dimension=self.dimension)


class FittedText(msgspec.Struct, frozen=True, kw_only=True, tag="text"):
    """The square root of each id's share of the text's words: rows of length 1, in which frequent words do not drown
    the others. A missing text is one word of its own, an empty one is 0 throughout.
    """

    name: str
    key: str
    tokens: Tokens
    dimension: int | None

    @property
    def block(self) -> Block:
        return Block(
            name=self.name,
            kind="dense",
            columns=(self.key,),
            width=self.tokens.width,
            features=tuple(f"{self.name}_{i}" for i in range(self.tokens.width)),
            representation="indicator" if self.dimension is None else "embedding",
            dimension=self.dimension,
        )

    def compute(self, operators: Operators, columns: Mapping[str, Values]) -> Values:
        counts = operators.count_tokens(columns[self.key], self.tokens)
        total = operators.sum(counts)
        share = counts / operators.where(total > 0.0, total, operators.constant([[1.0]], "float32"))
        return operators.sqrt(share)
