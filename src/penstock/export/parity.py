"""Compares a trained model's own answers with those of its bundle, on real rows and on hostile ones."""

from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, is_missing
from penstock.data.schema import Schema
from penstock.errors import BundleError, ExportError, InstanceError, ParityError
from penstock.export.caller_rows import caller_rows
from penstock.export.hostile import hostile_rows
from penstock.export.instances import composed, instances_of, sendable
from penstock.export.model import ServableModel
from penstock.runtime.model import LoadedModel, RowTransform

__all__ = ["ABSOLUTE", "RELATIVE", "OutputParity", "ParityReport", "check_parity", "compare_answers"]

RELATIVE = 1e-4
ABSOLUTE = 1e-5
"""Of an output's largest value among the rows compared. Both sides add up float32 products in orders of their own."""

_MAX_ROWS = 1_000


class OutputParity(msgspec.Struct, frozen=True, kw_only=True):
    """How far the two sides are apart in one output, at most. Of class ids and names, both are 0."""

    name: str
    max_absolute_difference: float
    max_relative_difference: float


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """`parity.json`: what was compared, and that it was found equal.

    real_rows: rows of the training data. hostile_rows: the same rows with missing, never-seen and extreme values.
    sent_rows: those of the real rows that went through the decoding of prediction requests as well.
    """

    real_rows: int
    sent_rows: int
    hostile_rows: int
    relative_tolerance: float
    absolute_tolerance: float
    onnxruntime: str
    outputs: tuple[OutputParity, ...]


def check_parity(
    model: ServableModel,
    bundle: LoadedModel,
    *,
    samples: ColumnBatch,
    recipe: RowTransform | None = None,
    sent: ColumnBatch | None = None,
) -> tuple[ParityReport, ColumnBatch]:
    """The comparison of model and bundle, and the sendable rows that it was made with (for `samples.jsonl`).

    samples: real raw rows of the model's inputs; the first 1,000 are taken. sent: with a recipe in front of the model,
    real rows of the recipe's inputs; without them, rows that mean the samples, as far as that can be told
    (`caller_rows`).
    Raises ParityError naming output, row, the row's values and both numbers; ExportError where there is nothing to
    compare.
    """
    inputs = tuple(column.name for column in model.graph_inputs)
    real = samples.select(inputs).take(slice(0, _MAX_ROWS))
    real = composed(ColumnBatch(Schema(model.graph_inputs), real.arrays))
    if not real.rows:
        raise ExportError("there are no sample rows to compare the model's answers on; expected at least one")
    if recipe is not None:
        real = caller_rows(recipe, real) if sent is None else composed(sent.take(slice(0, _MAX_ROWS)))

    def own_answers(batch: ColumnBatch) -> dict[str, NDArray[Any]]:
        return model.predict(batch if recipe is None else recipe.apply(batch))

    requests = real.take(np.flatnonzero(sendable(real)))
    expected = own_answers(real)
    _refuse_diverged(expected)

    def compare(own: dict[str, NDArray[Any]], served: dict[str, NDArray[Any]], rows: ColumnBatch, what: str) -> Any:
        return compare_answers(own, served, rows, what=what, undecided=model.undecided(own))

    differences = compare(expected, _served(bundle, real), real, "real row")
    if requests.rows:
        compare(own_answers(requests), _served(bundle, _decoded(bundle, requests)), requests, "request")
    hostile = hostile_rows(real)
    worst = compare(own_answers(hostile), _served(bundle, hostile), hostile, "hostile row")
    report = ParityReport(
        real_rows=real.rows,
        sent_rows=requests.rows,
        hostile_rows=hostile.rows,
        relative_tolerance=RELATIVE,
        absolute_tolerance=ABSOLUTE,
        onnxruntime=onnxruntime.__version__,
        outputs=tuple(_larger(a, b) for a, b in zip(differences, worst, strict=True)),
    )
    return report, requests


def _refuse_diverged(answers: dict[str, NDArray[Any]]) -> None:
    for name, answer in answers.items():
        if answer.dtype.kind == "f" and not np.isfinite(answer).all():
            row = int(np.flatnonzero(~np.isfinite(answer).reshape(len(answer), -1).all(axis=1))[0])
            raise ExportError(
                f"output {name!r} of the trained model is {answer[row].tolist()} for real row {row}: its training has "
                "diverged; train again with a lower learning rate"
            )


def compare_answers(
    expected: dict[str, NDArray[Any]],
    found: dict[str, NDArray[Any]],
    rows: ColumnBatch,
    *,
    what: str,
    undecided: NDArray[np.bool_] | None = None,
) -> list[OutputParity]:
    """How far apart the trainer's answers (`expected`) and the bundle's (`found`) are.

    undecided: rows that only numbers are compared of, besides those whose two best classes are tied.
    Raises ParityError where an output is absent, of another shape, not a number, or further apart than the tolerance.
    """
    if list(expected) != list(found):
        raise ParityError(f"the trainer answers with outputs {list(expected)}, the bundle with {list(found)}")
    is_tied = _tied(expected.get("probabilities"))
    report = []
    for name, own in expected.items():
        served = found[name]
        if own.shape != served.shape:
            raise ParityError(
                f"output {name!r} has shape {list(own.shape)} in the trainer and {list(served.shape)} in the bundle"
            )
        if own.dtype.kind == "f":
            report.append(_compare_numbers(name, own, served, rows, what))
        else:
            differs = (own != served).reshape(len(own), -1).any(axis=1) & ~is_tied(len(own))
            if undecided is not None:
                differs &= ~undecided
            _refuse_first(name, differs, own, served, rows, what)
            report.append(OutputParity(name=name, max_absolute_difference=0.0, max_relative_difference=0.0))
    return report


def _compare_numbers(name: str, own: NDArray[Any], served: NDArray[Any], rows: ColumnBatch, what: str) -> OutputParity:
    own, served = own.astype(np.float64), served.astype(np.float64)
    # A model may overflow on extreme values, if it does so on both sides; `check_parity` sees to real rows.
    known = np.isfinite(own)
    size = np.abs(np.where(known, own, 0.0))
    scale = float(np.max(size, initial=0.0))
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.where(known, own - served, 0.0))
    # Written so that NaN in `served` counts as too far.
    near = np.where(known, difference <= RELATIVE * size + ABSOLUTE * scale, ~np.isfinite(served))
    far: NDArray[np.bool_] = np.asarray(~near.reshape(len(own), -1).all(axis=1))
    _refuse_first(name, far, own, served, rows, what)
    relative = np.divide(difference, size, out=np.zeros_like(difference), where=size > ABSOLUTE * scale)
    return OutputParity(
        name=name,
        max_absolute_difference=float(np.max(difference, initial=0.0)),
        max_relative_difference=float(np.max(relative, initial=0.0)),
    )


def _refuse_first(
    name: str, wrong: NDArray[np.bool_], own: NDArray[Any], served: NDArray[Any], rows: ColumnBatch, what: str
) -> None:
    if not wrong.any():
        return
    row = int(np.flatnonzero(wrong)[0])
    values = ", ".join(f"{column.name}={_shown(rows[column.name][row], rows, column.name)}" for column in rows.schema)
    raise ParityError(
        f"output {name!r} of {what} {row} is {own[row].tolist()} in the trainer and {served[row].tolist()} in the "
        f"bundle ({int(wrong.sum())} of {len(wrong)} rows are wrong); nothing was published. The row: {values}"
    )


def _shown(value: Any, rows: ColumnBatch, name: str) -> str:
    if isinstance(value, np.ndarray):
        return f"a tensor of {list(value.shape)}"
    missing = bool(is_missing(np.asarray([value], dtype=rows[name].dtype), rows.schema[name].type)[0])
    return "missing" if missing else repr(value.item() if hasattr(value, "item") else value)


def _tied(probabilities: NDArray[Any] | None) -> Any:
    """Of a number of rows, those whose two best classes are as good as tied: either may win by a rounding."""

    def of(rows: int) -> NDArray[np.bool_]:
        if probabilities is None or probabilities.ndim != 2 or probabilities.shape[1] < 2:
            return np.zeros(rows, dtype=bool)
        best = np.sort(probabilities, axis=1)
        return np.asarray(best[:, -1] - best[:, -2] < 2 * RELATIVE)

    return of


def _served(bundle: LoadedModel, batch: ColumnBatch) -> dict[str, NDArray[Any]]:
    try:
        return bundle.predict(batch)
    except BundleError as error:
        raise ExportError(f"the exported graph cannot be run: {error}") from error


def _decoded(bundle: LoadedModel, sent: ColumnBatch) -> ColumnBatch:
    """The rows as they arrive when sent as JSON."""
    instances = msgspec.json.decode(msgspec.json.encode(instances_of(sent)))
    try:
        return bundle.decode(instances)
    except InstanceError as error:
        raise ParityError(f"a real row cannot be sent to the model: {error}") from error


def _larger(a: OutputParity, b: OutputParity) -> OutputParity:
    return OutputParity(
        name=a.name,
        max_absolute_difference=max(a.max_absolute_difference, b.max_absolute_difference),
        max_relative_difference=max(a.max_relative_difference, b.max_relative_difference),
    )
