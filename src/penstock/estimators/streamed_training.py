"""Training on rows that do not fit in memory: one pass to fit features and head, then blocks encoded to disk as the
first epoch asks for them, and read from there ever after.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch
from penstock.errors import ConfigError, DataError
from penstock.estimators.example_stream import ExampleBlock, ExampleStream
from penstock.estimators.examples import Batching, Examples, concatenated
from penstock.estimators.feed import Feed
from penstock.estimators.front import Front, fit_front
from penstock.estimators.label_summary import LabelSummary
from penstock.estimators.loop import Rows
from penstock.estimators.normalization import Normalization
from penstock.estimators.preparation import FitHead, chosen_columns, factors_of_classes, targets_of
from penstock.estimators.row_cache import RowCache, RowLayout
from penstock.estimators.row_split import scattered_rows
from penstock.estimators.setup import AnyHead, Setup, pick_samples
from penstock.estimators.streamed_feed import StreamedFeed
from penstock.estimators.training_rows import ClassWeight, FittedFront, Recall, TrainingRows
from penstock.features.accumulation import RowSample
from penstock.features.column import FeatureColumn
from penstock.features.fitted import FittedFeatures, fit_features, needs_targets
from penstock.features.statistics import gather_statistics
from penstock.features.target import FittedTargetMean, gather_targets

__all__ = ["StreamedTraining"]

_SAMPLE_ROWS = 100_000
_HELD_OUT = 1
"""Put to the seed, so that rows held out are not those of a split by the same seed."""


class StreamedTraining:
    """folder: where encoded rows are cached."""

    def __init__(self, stream: ExampleStream, *, folder: Path) -> None:
        if not stream.rows:
            raise DataError("the input has no rows; training needs at least one")
        self._stream = stream
        self._folder = folder
        self._share = 0.0
        self._seed = 0
        self._labels: LabelSummary | None = None
        self._sample: ColumnBatch | None = None
        self._held_out: Examples | None = None
        self._cache: RowCache | None = None
        self._blocks: tuple[int, Iterator[ExampleBlock]] | None = None

    @property
    def rows(self) -> int:
        return self._stream.rows

    @property
    def batching(self) -> Batching:
        return self._stream.batching

    @property
    def data_digest(self) -> str | None:
        return self._stream.data_digest

    @property
    def kept(self) -> int:
        return sum(self._counts())

    def fit(
        self,
        columns: Sequence[FeatureColumn] | None,
        fit_head: FitHead,
        *,
        normalization: Normalization | None,
        seed: int,
    ) -> FittedFront:
        stream = self._stream
        statistics = gather_statistics(self._gathering())
        assert self._labels is not None
        assert self._sample is not None
        head = fit_head(self._labels, stream.label)
        columns = chosen_columns(columns, statistics, label=stream.label)
        targets = None
        if needs_targets(columns):
            pairs = ((one.features, _targets(head, one)) for one in stream.batches())
            targets = gather_targets(columns, statistics, pairs)
        features = fit_features(columns, statistics, targets=targets)
        front = fit_front(features.blocks, features.encode(self._sample), normalization=normalization, seed=seed)
        used = features.raw_schema.names
        ignored = tuple(name for name in (*stream.schema.names, *stream.unread) if name not in used)
        return FittedFront(features, head, front.normalizer, ignored)

    def samples(self, features: FittedFeatures, *, seed: int) -> ColumnBatch:
        if self._sample is None:
            self._gather()
        assert self._sample is not None
        return pick_samples(self._sample, features.raw_schema, seed=seed)

    def hold_out(self, share: float, *, seed: int) -> None:
        self._share, self._seed = share, seed + _HELD_OUT

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
        size = batching.rows_per_step(self.kept)
        if size >= self.kept:
            raise ConfigError(
                f"every step is to see all {self.kept:,} rows, which do not fit in memory under a cap of "
                f"{self._stream.budget.cap_mb:,} MB; give a batch_size, or raise PENSTOCK_TRAINING_MEMORY_MB"
            )
        factors = self._factors(setup.head, class_weight)
        counts = self._counts()
        first = next((block for block, count in enumerate(counts) if count), 0)
        layout = RowLayout.of(self._encoded(self._read(first), setup, factors))
        described = [setup.features, setup.head, setup.normalizer, setup.weight_column, repr(factors), self._share]
        key = hashlib.sha256(msgspec.json.encode([*described, self._seed, self._stream.identity])).hexdigest()[:24]
        cache = RowCache(self._folder, key=key)
        cache.check_room(sum(counts) * layout.row_bytes)
        self._cache = cache

        def rows_of(block: int) -> Rows:
            if not cache.has(block, counts[block], layout):
                cache.write(block, self._encoded(self._read(block), setup, factors))
            return cache.read(block, counts[block], layout)

        mean_count = max(1, sum(counts) // len(counts))
        return StreamedFeed(
            counts=counts,
            block=rows_of,
            window_blocks=max(1, self._stream.budget.window_bytes // (layout.row_bytes * mean_count)),
            batch_size=size,
            seed=seed,
            shuffle=batching.shuffle,
            is_shuffled_at_first=self._stream.is_random_access,
            offset=offset,
        )

    def some(self, setup: Setup, *, class_weight: ClassWeight, recall: Recall) -> Rows:
        first = next((block for block, count in enumerate(self._counts()) if count), 0)
        return self._encoded(self._read(first), setup, self._factors(setup.head, class_weight))

    def held_out(self, setup: Setup, *, class_weight: ClassWeight, recall: Recall) -> tuple[Rows, NDArray[Any]]:
        if self._held_out is None:
            self._gather()
        examples = self._held_out
        assert examples is not None
        assert examples.labels is not None
        front = Front(setup.features.blocks, setup.normalizer)
        factors = self._factors(setup.head, class_weight)
        labels = setup.head.encode(examples.labels)
        rows = Rows(front.pack(setup.features.encode(examples.features)), labels, _weights(examples, labels, factors))
        return rows, examples.labels

    def close(self, *, is_over: bool) -> None:
        self._blocks = None
        if is_over and self._cache is not None:
            self._cache.remove()

    def _gather(self) -> None:
        for _ in self._gathering():
            pass

    def _gathering(self) -> Iterator[ColumnBatch]:
        """Features of all rows, while labels are summed up, rows sampled, and those held out kept."""
        labels, sample = LabelSummary(), RowSample(self._stream.schema, size=_SAMPLE_ROWS)
        held_out: list[Examples] = []
        for block in self._stream.read():
            examples = block.examples
            if not examples.features.rows:
                continue
            assert examples.labels is not None
            labels.add(examples.labels if examples.weights is None else examples.labels[examples.weights > 0])
            sample.add(examples.features)
            if self._share:
                held_out.append(examples.take(self._is_held_out(block.positions)))
            yield examples.features
        self._labels, self._sample = labels, sample.rows()
        self._held_out = concatenated(held_out) if held_out else None

    def _is_held_out(self, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        return scattered_rows(positions, self._share, seed=self._seed)

    def _counts(self) -> list[int]:
        """Rows of each block that are trained on."""
        stream = self._stream
        counts = []
        for block in range(stream.blocks):
            positions = stream.positions(block)
            counts.append(len(positions) - (int(self._is_held_out(positions).sum()) if self._share else 0))
        return counts

    def _factors(self, head: AnyHead, class_weight: ClassWeight) -> NDArray[np.float64] | None:
        counts = None
        if class_weight == "balanced" and head.classes:
            if self._labels is None:
                self._gather()
            assert self._labels is not None
            ids = head.encode(self._labels.values(self._stream.label))
            counts = np.bincount(
                ids, weights=self._labels.counts(self._stream.label), minlength=len(head.classes)
            ).astype(np.int64)
        return factors_of_classes(head, counts, class_weight)

    def _read(self, block: int) -> ExampleBlock:
        """A block of the table; the next one of a table that is read in order costs no new pass."""
        following, blocks = self._blocks if self._blocks is not None else (-1, iter(()))
        if following != block:
            blocks = self._stream.read(block)
        read = next(blocks)
        self._blocks = None if self._stream.is_random_access else (block + 1, blocks)
        return read

    def _encoded(self, block: ExampleBlock, setup: Setup, factors: NDArray[np.float64] | None) -> Rows:
        """The block's rows that are trained on, as the network reads them."""
        features, examples = setup.features, block.examples
        if any(isinstance(column, FittedTargetMean) for column in features.columns):
            encoded = features.encode_training(examples.features, first_row=block.first_row)
        else:
            encoded = features.encode(examples.features)
        assert examples.labels is not None
        labels = setup.head.encode(examples.labels)
        rows = Rows(Front(features.blocks, setup.normalizer).pack(encoded), labels, _weights(examples, labels, factors))
        return rows.take(~self._is_held_out(block.positions)) if self._share else rows


def _weights(
    examples: Examples, labels: NDArray[Any], factors: NDArray[np.float64] | None
) -> NDArray[np.float32] | None:
    if factors is None:
        return examples.weights
    of_rows: NDArray[np.float32] = factors[labels].astype(np.float32)
    return of_rows if examples.weights is None else examples.weights * of_rows


def _targets(head: AnyHead, examples: Examples) -> NDArray[np.float64]:
    assert examples.labels is not None
    return targets_of(head.encode(examples.labels), len(head.classes))


def _proves_protocol(training: StreamedTraining) -> TrainingRows:
    return training
