"""The rows of a training: in memory, or streamed from a table that is larger. What fitting and steps ask of both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.estimators.examples import Batching, Examples
from penstock.estimators.feed import Feed, HeldFeed
from penstock.estimators.front import Front, fit_front
from penstock.estimators.loop import Rows
from penstock.estimators.normalization import Normalization, QuantileNormalizer, RobustNormalizer
from penstock.estimators.preparation import FitHead, class_factors, encode_rows, fit_columns
from penstock.estimators.row_split import split_rows
from penstock.estimators.setup import AnyHead, Setup, pick_samples
from penstock.features.column import FeatureColumn
from penstock.features.fitted import FittedFeatures

__all__ = ["FittedFront", "HeldTraining", "Recall", "TrainingRows"]

Made = TypeVar("Made")
ClassWeight = Mapping[str, float] | str | None


@dataclass(frozen=True)
class FittedFront:
    """What is fitted to the rows before the first step."""

    features: FittedFeatures
    head: AnyHead
    normalizer: QuantileNormalizer | RobustNormalizer | None
    ignored: tuple[str, ...]


class Recall(Protocol):
    """Finds again what another training on the same rows made."""

    def __call__(self, key: tuple[Any, ...], make: Callable[[], Made]) -> Made: ...


class TrainingRows(Protocol):
    """Labelled rows, of which some may be held out before the others are trained on."""

    @property
    def rows(self) -> int: ...

    @property
    def batching(self) -> Batching: ...

    @property
    def data_digest(self) -> str | None: ...

    def fit(
        self,
        columns: Sequence[FeatureColumn] | None,
        fit_head: FitHead,
        *,
        normalization: Normalization | None,
        seed: int,
    ) -> FittedFront:
        """Features, head and normalizer fitted to all rows."""

    def samples(self, features: FittedFeatures, *, seed: int) -> ColumnBatch:
        """Example rows, for the bundle and its parity."""

    def hold_out(self, share: float, *, seed: int) -> None:
        """Leaves some rows out of training."""

    @property
    def kept(self) -> int:
        """Rows that are trained on."""

    def feed(
        self,
        setup: Setup,
        batching: Batching,
        *,
        seed: int,
        offset: int,
        class_weight: ClassWeight,
        recall: Recall,
    ) -> Feed:
        """The rows that are trained on, encoded."""

    def some(self, setup: Setup, *, class_weight: ClassWeight, recall: Recall) -> Rows:
        """All or many of these, for weights that start from what rows are like."""

    def held_out(self, setup: Setup, *, class_weight: ClassWeight, recall: Recall) -> tuple[Rows, NDArray[Any]]:
        """The rows left out, encoded, and their raw labels."""

    def close(self, *, is_over: bool) -> None:
        """Lets go of what only this training needs. is_over: whether it ran to its end."""


class HeldTraining:
    """Rows in memory."""

    def __init__(self, examples: Examples) -> None:
        assert examples.labels is not None
        self._examples = examples
        self._kept: NDArray[Any] = np.arange(examples.features.rows)
        self._held_out: NDArray[Any] | None = None
        self._encoded: Rows | None = None

    @property
    def rows(self) -> int:
        return self._examples.features.rows

    @property
    def batching(self) -> Batching:
        return self._examples.batching

    @property
    def data_digest(self) -> str | None:
        return self._examples.data_digest

    @property
    def kept(self) -> int:
        return len(self._kept)

    def fit(
        self,
        columns: Sequence[FeatureColumn] | None,
        fit_head: FitHead,
        *,
        normalization: Normalization | None,
        seed: int,
    ) -> FittedFront:
        examples = self._examples
        assert examples.labels is not None
        # Rows of weight 0 are as if they were not there.
        counted = slice(None) if examples.weights is None else examples.weights > 0
        head = fit_head(examples.labels[counted], examples.label)
        features = fit_columns(columns, examples, head)
        encoded = encode_rows(features, examples, slice(None))
        front = fit_front(features.blocks, encoded, normalization=normalization, seed=seed)
        used = features.raw_schema.names
        ignored = tuple(name for name in (*examples.features.schema.names, *examples.unread) if name not in used)
        return FittedFront(features, head, front.normalizer, ignored)

    def samples(self, features: FittedFeatures, *, seed: int) -> ColumnBatch:
        return pick_samples(self._examples.features, features.raw_schema, seed=seed)

    def hold_out(self, share: float, *, seed: int) -> None:
        self._kept, self._held_out = split_rows(self.rows, share, seed=seed)

    def feed(
        self,
        setup: Setup,
        batching: Batching,
        *,
        seed: int,
        offset: int,
        class_weight: ClassWeight,
        recall: Recall,
    ) -> Feed:
        return HeldFeed(
            self.some(setup, class_weight=class_weight, recall=recall), batching.order(self.kept, seed=seed), offset
        )

    def some(self, setup: Setup, *, class_weight: ClassWeight, recall: Recall) -> Rows:
        if self._encoded is None:
            part = "training rows" if self._held_out is None else "training rows but those held out"
            self._encoded = recall((part, setup), lambda: self._rows(setup, self._kept, class_weight))
        return self._encoded

    def held_out(self, setup: Setup, *, class_weight: ClassWeight, recall: Recall) -> tuple[Rows, NDArray[Any]]:
        index = self._held_out
        assert index is not None
        assert self._examples.labels is not None
        rows = recall(("rows held out", setup), lambda: self._rows(setup, index, class_weight))
        return rows, self._examples.labels[index]

    def close(self, *, is_over: bool) -> None:
        return None

    def _rows(self, setup: Setup, index: NDArray[Any], class_weight: ClassWeight) -> Rows:
        examples = self._examples
        assert examples.labels is not None
        labels = setup.head.encode(examples.labels[index])
        weights = None if examples.weights is None else examples.weights[index]
        factors = class_factors(setup.head, labels, class_weight)
        if factors is not None:
            weights = factors if weights is None else weights * factors
        front = Front(setup.features.blocks, setup.normalizer)
        return Rows(front.pack(encode_rows(setup.features, examples, index)), labels, weights)


def _proves_protocol(training: HeldTraining) -> TrainingRows:
    return training
