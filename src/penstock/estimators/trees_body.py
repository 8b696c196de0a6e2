"""Boosted trees between blocks and head: LightGBM trains and answers, `TreeEnsemble` serves."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightgbm
import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.estimators.fitted_model import Body
from penstock.estimators.setup import Setup
from penstock.estimators.trees import emit_trees, nodes_of
from penstock.export.graph import GraphBuilder
from penstock.features.block import Block
from penstock.features.categorical import FittedIds
from penstock.features.fitted import FittedFeatures
from penstock.features.lookup import NumberLookup
from penstock.features.numeric import FittedNumeric
from penstock.features.vocabulary import Vocabulary

__all__ = ["TreesBody", "tree_features", "tree_matrix"]

MODEL_NAME = "model.lgb.txt"

_LARGEST = 3e38
_MOST_CODES = 31


@dataclass(frozen=True)
class TreesBody:
    """model: LightGBM's own text. trees_used: iterations that count."""

    blocks: tuple[Block, ...]
    model: str

    def outputs(self, encoded: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        matrix = tree_matrix(self.blocks, encoded)
        scores = np.asarray(self._booster.predict(matrix, raw_score=True), dtype=np.float32)
        return scores.reshape(len(matrix), -1)

    def emit(self, graph: GraphBuilder, blocks: Mapping[str, str]) -> str:
        columns = []
        for block in self.blocks:
            is_dense = block.kind == "dense"
            columns.append(blocks[block.name] if is_dense else graph.cast(blocks[block.name], _FLOAT))
        features = columns[0] if len(columns) == 1 else graph.node("Concat", columns, axis=1, hint="features")
        return emit_trees(graph, nodes_of(self.model), features)

    def trainer_files(self) -> dict[str, bytes]:
        return {MODEL_NAME: self.model.encode()}

    @property
    def has_splits(self) -> bool:
        """Whether any tree tells one row from another."""
        return bool(self._booster.feature_importance("split").any())

    def importances(self) -> dict[str, float]:
        """Share of the total gain of the splits on each feature."""
        gains = self._booster.feature_importance("gain")
        total = float(gains.sum()) or 1.0
        names = [name for block in self.blocks for name in (block.features or (block.name,))]
        return {name: float(gain) / total for name, gain in zip(names, gains, strict=True)}

    def contributions(self, encoded: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
        """SHAP values of raw scores by feature, `[rows]` or `[rows, classes]`, and `expected_value`."""
        names = [name for block in self.blocks for name in (block.features or (block.name,))]
        found = np.asarray(self._booster.predict(tree_matrix(self.blocks, encoded), pred_contrib=True))
        by_class = found.reshape(len(found), -1, len(names) + 1)
        arrays = by_class[:, 0] if by_class.shape[1] == 1 else by_class.transpose(0, 2, 1)
        return {name: arrays[:, i] for i, name in enumerate([*names, "expected_value"])}

    @cached_property
    def _booster(self) -> Any:
        return lightgbm.Booster(model_str=self.model)


_FLOAT = 1  # onnx.TensorProto.FLOAT


def tree_features(setup: Setup) -> FittedFeatures:
    """The features as trees read them: numbers on their own scale, and missing ones as such.

    Splits do not care about scale; a missing value that stays missing can be sent either way at each split. Of columns
    that were chosen automatically, a number is not also a category, but for the few values of an hour or a month: of
    an age in years as well, trees learn the noise of each (AUC on adult 0.928 without, 0.925 with).
    """
    features = setup.features
    numbers = {column.number.key for column in features.columns if isinstance(column, FittedNumeric)}
    if setup.parameters.get("feature_columns") is not None:
        numbers = set()
    columns = [
        msgspec.structs.replace(
            column,
            fill=float("nan") if column.indicator else column.fill,
            log_unit=0.0,
            center=0.0,
            scale=1.0,
            low=-_LARGEST,
            high=_LARGEST,
            indicator=False,
        )
        if isinstance(column, FittedNumeric)
        else column
        for column in features.columns
        if _number_of_many(column) not in numbers
    ]
    return FittedFeatures(raw_schema=features.raw_schema, columns=tuple(columns))


def _number_of_many(column: object) -> str | None:
    """The raw number that a category of many values is made of; None for any other column."""
    if not (isinstance(column, FittedIds) and isinstance(column.categorical, Vocabulary)):
        return None
    lookup = column.categorical.lookup
    return column.categorical.key if isinstance(lookup, NumberLookup) and len(lookup.numbers) > _MOST_CODES else None


def tree_matrix(blocks: tuple[Block, ...], encoded: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """All blocks side by side, float32 `[rows, features]`; ids as numbers."""
    return np.concatenate([np.asarray(encoded[block.name], np.float32) for block in blocks], axis=1)


def _proves_protocol(body: TreesBody) -> Body:
    return body
