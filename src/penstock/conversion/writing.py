"""A converted model as a bundle of kind `imported`, published once it answers as its source does."""

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from penstock.bundle.folder import BundleWriter
from penstock.bundle.manifest import FORMAT_VERSION, BundleKind, Manifest, OutputTensor, Signature, Task
from penstock.conversion.converted import Converted, Reference, plausible
from penstock.conversion.graphs import columns_of, outputs_of, split_input, with_opset
from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import BundleError, UsageError
from penstock.export.instances import instances_of
from penstock.export.parity import ABSOLUTE, RELATIVE, ParityReport, compare_answers
from penstock.export.write import PARITY_NAME, SAMPLES_NAME
from penstock.runtime.model import GRAPH_NAME, LoadedModel, load_model
from penstock.version import __version__

__all__ = ["write_imported"]

_SAMPLES = 8
_MOST_NAMED = 2_000
_MOST_SAMPLE_VALUES = 4_096


def write_imported(
    converted: Converted,
    *,
    uri: str,
    columns: Sequence[str] = (),
    classes: Sequence[str] = (),
    task: Task | None = None,
    samples: ColumnBatch | None = None,
    kind: BundleKind = BundleKind.IMPORTED,
) -> Manifest:
    """Writes the bundle to `uri`, which appears whole or not at all; returns its manifest.

    columns: names of the values of the model's one packed input, which then are columns of their own; rows may also
    come as lists. classes, task: where the source does not say them. samples: rows for `samples.jsonl`.
    Raises ParityError where the graph answers otherwise than the source, BundleError where it does not run, UsageError
    for columns or classes that do not fit, AlreadyExistsError where something is at `uri`.
    """
    names = tuple(columns) or converted.feature_names
    graph, is_positional = with_opset(converted.graph), False
    if columns or (names and len(names) <= _MOST_NAMED):
        graph, is_positional = split_input(graph, names), True
    inputs = columns_of(graph, nullable=converted.takes_missing)
    outputs = tuple(
        OutputTensor(name=name, dtype=_dtype_name(name, kind), shape=shape) for name, kind, shape in outputs_of(graph)
    )
    labels = tuple(classes) or converted.classes
    told = task or converted.task
    if labels and told is Task.OTHER:
        told = Task.BINARY_CLASSIFICATION if len(labels) == 2 else Task.MULTICLASS_CLASSIFICATION
    _check_classes(labels, outputs, is_given=bool(classes))
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        kind=kind,
        task=told,
        signature=Signature(inputs=inputs, outputs=outputs, positional=is_positional),
        graph_inputs=inputs,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=labels,
        estimator=converted.maker,
        versions={
            "penstock": __version__,
            "onnx": metadata.version("onnx"),
            "onnxruntime": onnxruntime.__version__,
            **converted.versions,
        },
        operator_domains={opset.domain or "ai.onnx": opset.version for opset in graph.opset_import},
    )
    with BundleWriter(uri) as writer:
        writer.write(GRAPH_NAME, graph.SerializeToString(deterministic=True))
        writer.stage(manifest)
        model = load_model(str(writer.folder))
        rows = _reference_rows(converted.reference, inputs, names if is_positional else ())
        if converted.reference is not None:
            report = _proven(model, rows, converted.reference)
            writer.write(PARITY_NAME, msgspec.json.format(msgspec.json.encode(report), indent=2))
        shown = rows if samples is None else samples
        lines = _sample_lines(model, shown.take(slice(0, _SAMPLES)))
        if lines:
            writer.write(SAMPLES_NAME, b"\n".join(lines) + b"\n")
        return writer.publish(manifest)


def _reference_rows(reference: Reference | None, inputs: Sequence[Column], names: Sequence[str]) -> ColumnBatch:
    """The rows that the source has answered, as columns; plausible ones where it has answered none."""
    arrays: dict[str, NDArray[Any]] = {}
    for place, column in enumerate(inputs):
        if reference is None:
            sizes = (_SAMPLES, *(8 if size is None else size for size in column.shape))
            dtype = {DataType.STRING: np.dtype(object), DataType.FLOAT: np.dtype(np.float64)}.get(column.type)
            arrays[column.name] = plausible(sizes, dtype or np.dtype(np.int64), seed=place)
        elif names:
            (packed,) = reference.inputs.values()
            arrays[column.name] = packed[:, place]
        else:
            array = reference.inputs[column.name]
            arrays[column.name] = array if column.shape else array.reshape(len(array))
        if column.type is not DataType.STRING:
            arrays[column.name] = arrays[column.name].astype(np.float64)
    return ColumnBatch(Schema(tuple(inputs)), arrays)


def _proven(model: LoadedModel, rows: ColumnBatch, reference: Reference) -> ParityReport:
    answers = model.predict(rows)
    expected = {name: reference.outputs[name] for name in answers}
    for name, array in expected.items():
        if array.dtype.kind == "u" and array.dtype == answers[name].dtype:
            # Quantized arithmetic may round a step otherwise.
            close = np.abs(array.astype(np.int64) - answers[name].astype(np.int64)) <= 1
            expected[name] = np.where(close, answers[name], array)
        elif array.dtype.kind in "iu" and answers[name].dtype.kind in "iu":
            expected[name] = array.astype(answers[name].dtype)
    differences = compare_answers(expected, answers, rows, what="sample row")
    return ParityReport(
        real_rows=rows.rows,
        sent_rows=0,
        hostile_rows=0,
        relative_tolerance=RELATIVE,
        absolute_tolerance=ABSOLUTE,
        onnxruntime=onnxruntime.__version__,
        outputs=tuple(differences),
    )


def _sample_lines(model: LoadedModel, rows: ColumnBatch) -> list[bytes]:
    """Rows as callers send them; none of large tensors."""
    if any(np.prod(rows[column.name].shape[1:], dtype=np.int64) > _MOST_SAMPLE_VALUES for column in rows.schema):
        return []
    tensors = {column.name: rows[column.name].tolist() for column in rows.schema if column.shape}
    scalars = tuple(column.name for column in rows.schema if not column.shape)
    instances = instances_of(rows.select(scalars)) if scalars else [{} for _ in range(rows.rows)]
    lines = []
    for place, instance in enumerate(instances):
        whole = instance | {name: values[place] for name, values in tensors.items()}
        try:
            model.decode([whole])
        except Exception:  # noqa: S112 - a row that cannot be sent is no example
            continue
        lines.append(msgspec.json.encode(whole))
    return lines


def _check_classes(classes: Sequence[str], outputs: Sequence[OutputTensor], *, is_given: bool) -> None:
    if not is_given:
        return
    widths = [output.shape[-1] for output in outputs if len(output.shape) > 1]
    if len(classes) not in widths and 1 not in widths and None not in widths:
        told = ", ".join(f"{output.name} of {list(output.shape)}" for output in outputs)
        raise UsageError(f"{len(classes)} classes are named; the model answers {told}")


def _dtype_name(name: str, kind: int) -> str:
    if kind == TensorProto.STRING:
        return "str"
    try:
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name)
    except (KeyError, TypeError) as error:
        raise BundleError(f"output {name!r} of the model is no plain tensor; expected numbers or texts") from error
