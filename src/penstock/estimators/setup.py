"""What an estimator fits before its first step, and the files of it in a model folder: features, head, example rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from penstock.data.columns import ColumnBatch, dtype_of
from penstock.data.schema import Schema
from penstock.errors import NotFoundError, PreconditionError, TrainingError
from penstock.estimators.classification_heads import BinaryHead, MulticlassHead
from penstock.estimators.normalization import Normalizer
from penstock.estimators.regression_head import RegressionHead
from penstock.features.fitted import FittedFeatures
from penstock.store.blobs import replace_file

__all__ = ["SAMPLE_ROWS", "AnyHead", "Setup", "load_samples", "load_setup", "pick_samples", "save_setup"]

SAMPLE_ROWS = 256

_SETUP = "estimator.json"
_SAMPLES = "samples.msgpack"

AnyHead = RegressionHead | BinaryHead | MulticlassHead


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything but the weights.

    estimator, parameters: class name and arguments, as JSON. ignored: columns of the training data that are not used.
    normalizer: of a network's dense values. rows: of the training data.
    """

    estimator: str
    parameters: dict[str, Any]
    features: FittedFeatures
    head: AnyHead
    normalizer: Normalizer | None = None
    weight_column: str | None = None
    ignored: tuple[str, ...] = ()
    rows: int = 0
    data_digest: str | None = None


def save_setup(folder: Path, setup: Setup, samples: ColumnBatch) -> None:
    """Writes both files, the setup last: where it is, the rest is too."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        columns = {name: array.tolist() for name, array in samples.arrays.items()}
        replace_file(folder / _SAMPLES, msgspec.msgpack.encode(columns))
        replace_file(folder / _SETUP, msgspec.json.format(msgspec.json.encode(setup), indent=1))
    except OSError as error:
        raise TrainingError(f"writing to the model folder {str(folder)!r} failed: {error}") from error


def load_setup(folder: Path) -> Setup | None:
    """The setup in a model folder; None where there is none. Raises PreconditionError for one that cannot be read."""
    try:
        return msgspec.json.decode((folder / _SETUP).read_bytes(), type=Setup)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, OSError) as error:
        raise PreconditionError(
            f"{_SETUP} in the model folder {str(folder)!r} cannot be read ({error}); use another model_dir"
        ) from error


def load_samples(folder: Path, schema: Schema) -> ColumnBatch:
    """The example rows kept at training, with the columns of `schema`."""
    try:
        columns = msgspec.msgpack.decode((folder / _SAMPLES).read_bytes(), type=dict[str, list[Any]])
    except (OSError, msgspec.MsgspecError) as error:
        raise NotFoundError(f"the example rows in the model folder {str(folder)!r} cannot be read: {error}") from error
    return ColumnBatch(
        schema, {column.name: np.array(columns[column.name], dtype=dtype_of(column.type)) for column in schema}
    )


def pick_samples(batch: ColumnBatch, schema: Schema, *, seed: int) -> ColumnBatch:
    """Up to 256 rows, drawn by seed and in their order."""
    chosen = batch.select(schema.names)
    if batch.rows <= SAMPLE_ROWS:
        return chosen
    index = np.random.default_rng(seed).choice(batch.rows, SAMPLE_ROWS, replace=False)
    return chosen.take(np.sort(index))


def check_same(folder: Path, setup: Setup, *, estimator: str, parameters: Mapping[str, Any]) -> None:
    """Raises PreconditionError where the folder holds the training of another estimator, or of other arguments."""
    differences = []
    if setup.estimator != estimator:
        differences.append(f"estimator {setup.estimator}, now {estimator}")
    else:
        now = msgspec.json.decode(msgspec.json.encode(parameters))
        for name in sorted({*setup.parameters, *now}):
            before, after = setup.parameters.get(name), now.get(name)
            if before != after:
                differences.append(f"{name} {before!r}, now {after!r}")
    if differences:
        raise PreconditionError(
            f"the model folder {str(folder)!r} holds a training of another configuration ({'; '.join(differences)}); "
            "use another model_dir, or delete this one"
        )
