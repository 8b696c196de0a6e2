"""The profile of a training's rows where nobody hands one in: what a model trained from Python code is watched by."""

from pathlib import Path

import numpy as np

from penstock.data.batch_profile import profile_batch
from penstock.data.columns import ColumnBatch
from penstock.data.profiler import profile_table
from penstock.data.schema import Schema
from penstock.estimators.example_stream import ExampleStream
from penstock.estimators.examples import Examples
from penstock.features.arrays import batch_of_arrays
from penstock.settings import load_settings
from penstock.store.blobs import replace_file

__all__ = ["profile_of_rows", "some_rows"]

_MOST_ROWS = 100_000
_PROFILE = "profile.json"


def some_rows(examples: Examples | ExampleStream, *, seed: int) -> Examples | ExampleStream:
    """Up to 100,000 of the rows, drawn by seed; of a stream, which holds none, all."""
    if isinstance(examples, ExampleStream) or examples.features.rows <= _MOST_ROWS:
        return examples
    return examples.take(np.sort(np.random.default_rng(seed).choice(examples.features.rows, _MOST_ROWS, replace=False)))


def profile_of_rows(folder: Path, seen: Examples | ExampleStream | None) -> bytes | None:
    """The profile, also kept in the model folder; that of an earlier process where this one trained nothing.

    None where no process that trained exported anything.
    """
    kept = folder / _PROFILE
    if seen is None:
        return kept.read_bytes() if kept.is_file() else None
    if isinstance(seen, ExampleStream):
        profile = profile_table(seen.table, relations=False)
    else:
        profile = profile_batch(_with_label(seen), settings=load_settings())
    replace_file(kept, profile.to_json())
    return profile.to_json()


def _with_label(examples: Examples) -> ColumnBatch:
    features = examples.features
    if examples.labels is None or examples.labels.ndim > 1 or examples.label in features.schema:
        return features
    label = batch_of_arrays({examples.label: examples.labels})
    return ColumnBatch(Schema((*features.schema.columns, *label.schema.columns)), {**features.arrays, **label.arrays})
