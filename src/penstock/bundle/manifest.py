"""`bundle.json`: what a bundle is, what it takes, what it answers, and what made it."""

from enum import StrEnum
from typing import Any

import msgspec

from penstock.data.schema import Column

__all__ = ["FORMAT_VERSION", "BundleKind", "Label", "Manifest", "OutputTensor", "Signature", "Task"]

FORMAT_VERSION = 1


class BundleKind(StrEnum):
    TRAINED = "trained"
    IMPORTED = "imported"
    PACK = "pack"
    GRAPH = "graph"


class Task(StrEnum):
    REGRESSION = "regression"
    BINARY_CLASSIFICATION = "binary_classification"
    MULTICLASS_CLASSIFICATION = "multiclass_classification"
    OTHER = "other"


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """One output of the graph, named as tf.estimator names it.

    dtype: NumPy name of the element type; strings are "str".
    shape: sizes with None for a free one; the first is the batch.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller sends and gets.

    inputs: columns of an instance. A column that is not nullable is required; null, NaN and (if nullable) absence mean
        missing.
    outputs: what a prediction holds.
    ignored: columns that may be sent and are not used: the label, and training columns the model leaves out.
    positional: whether a row may also come as a list of its values in the order of `inputs`, as it goes into models
        that were made for one packed input.
    """

    inputs: tuple[Column, ...]
    outputs: tuple[OutputTensor, ...]
    ignored: tuple[str, ...] = ()
    positional: bool = False


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """The column a model was trained to predict."""

    name: str
    unit: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of `bundle.json`.

    graph_inputs: what `model.onnx` takes, a `[N,1]` input a column. Equal to `signature.inputs` unless `recipe.json`
        turns the one into the other.
    classes: of a classifier, in the order of its class ids.
    metrics: of the evaluation at export, by name.
    estimator, parameters: class name and arguments of what was trained.
    versions: distributions that made the bundle, by name.
    operator_domains: operator sets of the graph with their versions, contributed ones included.
    data_digest: SHA-256 of the training data's identity (its files' names, sizes and digests).
    files: SHA-256 of every other file of the bundle, by its path in the bundle.
    """

    format_version: int
    kind: BundleKind
    task: Task
    signature: Signature
    graph_inputs: tuple[Column, ...]
    created: str
    files: dict[str, str] = {}
    label: Label | None = None
    classes: tuple[str, ...] = ()
    metrics: dict[str, float] = {}
    estimator: str | None = None
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    operator_domains: dict[str, int] = {}
    data_digest: str | None = None
    global_step: int | None = None
