"""What a fitted feature column hands to a model: one named block of numbers or ids. Knows nothing of models."""

from typing import Literal

import msgspec

__all__ = ["Block", "BlockKind", "Combiner", "Representation"]

BlockKind = Literal["dense", "ids"]
Representation = Literal["indicator", "embedding", "linear"]
Combiner = Literal["mean", "sqrtn", "sum"]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """The shape and meaning of one block.

    name: unique among the blocks of a model, as `tf.feature_column` names columns (`CRIM`, `sex_indicator`).
    kind: "dense" is float32 `[rows, width]`; "ids" is one id a row, int32 `[rows, 1]` (int64 in a graph).
    columns: raw columns it is computed from.
    width: values a row; 1 for ids.
    features: what each of the `width` values is, for people (`CRIM`, `CRIM_is_missing`).
    num_buckets: ids lie in `[0, num_buckets)`; None for a dense block.
    representation: how a model reads the block. Of ids: "indicator", one-hot; "embedding", a trained
        `[num_buckets, dimension]` table; "linear", a weight an id, in linear models. Of dense values: None, as they
        are; "indicator", as they are too, being presences, counts, weights of words or points on a circle, which
        nobody should rescale; "embedding", multiplied with a trained `[width, dimension]` matrix.
    dimension: of the embedding.
    unseen: ids (of a dense block: places) no training row has, such as an unknown word or a missing value. Their rows
        of a table are never trained: a model gives them neutral values at the end of training, never the random ones
        it began with.
    """

    name: str
    kind: BlockKind
    columns: tuple[str, ...]
    width: int = 1
    features: tuple[str, ...] = ()
    num_buckets: int | None = None
    representation: Representation | None = None
    dimension: int | None = None
    unseen: tuple[int, ...] = ()
