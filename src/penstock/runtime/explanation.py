"""Why a model answers as it does for a row: Shapley values of its columns against real rows of the bundle.

Boosted trees get exact values of their raw score (see `tree_shap`). Any other model gets sampled ones: for random
orders of the columns, what the output changes by as each column of a background row is replaced by the explained row's
(Štrumbelj, Kononenko: Explaining prediction models and individual predictions with feature contributions, 2014).
"""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.data.columns import ColumnBatch, concatenate
from penstock.data.schema import DataType
from penstock.errors import PreconditionError
from penstock.runtime.model import LoadedModel, load_model, load_tapped, read_file, read_samples
from penstock.runtime.tree_shap import TreeShap

__all__ = ["Explainer", "Explanation", "load_explainer"]

_TREES_NAME = "trainer/model.lgb.txt"
_BACKGROUND = 100
_ROWS_AT_ONCE = 8192
_SHIFTS = 5
_TOLERANCE = 1e-4

Floats = NDArray[np.float64]
Check = Callable[[], None]
"""Called between pieces of work; raises when there is no more time."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Of one row. The attributions add up to example_score - baseline_score.

    baseline_score: mean of the output over the background. label_index, label: the class whose score is explained.
    approx_error: standard errors of the attributions over their size; 0 where they are exact.
    """

    attributions: dict[str, float]
    baseline_score: float
    example_score: float
    output_name: str
    label_index: int | None = None
    label: str | None = None
    approx_error: float = 0.0


class Explainer:
    """Explains one bundle. Holds no state between calls."""

    def __init__(self, model: LoadedModel, background: ColumnBatch, trees: "_Trees | None" = None) -> None:
        self._model = model
        self._background = background
        self._trees = trees
        self.columns = model.decoder.schema.names

    def rows_needed(self, rows: int, *, paths: int) -> int:
        """How many rows the model predicts to explain so many."""
        return rows if self._trees is not None else rows * paths * (len(self.columns) + 1)

    def explain(self, batch: ColumnBatch, *, paths: int, check: Check, seed: int = 0) -> list[Explanation]:
        """One explanation a row. paths: random orders of the columns for each row; exact methods need none."""
        if self._trees is not None:
            found = self._trees.explain(batch, self._background, check)
            if found is not None:
                return found
        return self._sampled(batch, paths, check, np.random.default_rng(seed))

    def _sampled(self, batch: ColumnBatch, paths: int, check: Check, luck: np.random.Generator) -> list[Explanation]:
        outputs = self._model.predict(batch)
        name = _output_name(self._model)
        labels = _labels(outputs[name])
        return [self._sampled_row(batch, row, name, int(labels[row]), paths, check, luck) for row in range(batch.rows)]

    def _sampled_row(
        self,
        batch: ColumnBatch,
        row: int,
        name: str,
        label: int,
        paths: int,
        check: Check,
        luck: np.random.Generator,
    ) -> Explanation:
        width = len(self.columns)
        orders = np.array([luck.permutation(width) for _ in range(paths)])
        # Each background row as often as any other, so that the baseline is as steady as it can be.
        chosen = np.resize(luck.permutation(self._background.rows), paths)
        steps = np.arange(width + 1)
        ranks = np.argsort(orders, axis=1)
        replaced = ranks[:, None, :] < steps[None, :, None]  # [paths, steps, columns]
        arrays = {}
        for place, column in enumerate(self.columns):
            before = self._background[column][chosen][:, None]
            value = batch[column][row : row + 1][None, :]
            arrays[column] = np.where(replaced[:, :, place], value, before).reshape(-1).astype(batch[column].dtype)
        mixed = ColumnBatch(batch.schema, arrays)
        scores = self._scores(mixed, name, label, check).reshape(paths, width + 1)
        gains = np.diff(scores, axis=1)
        by_column = np.zeros((paths, width))
        np.put_along_axis(by_column, orders, gains, axis=1)
        values = by_column.mean(axis=0)
        spread = by_column.std(axis=0, ddof=1) / np.sqrt(paths) if paths > 1 else np.abs(values)
        size = float(np.linalg.norm(values))
        return Explanation(
            attributions=dict(zip(self.columns, map(float, values), strict=True)),
            baseline_score=float(scores[:, 0].mean()),
            example_score=float(scores[0, -1]),
            output_name=name,
            approx_error=float(np.linalg.norm(spread)) / size if size else 0.0,
            **_label(self._model, name, label),
        )

    def _scores(self, batch: ColumnBatch, name: str, label: int, check: Check) -> Floats:
        parts = []
        for start in range(0, batch.rows, _ROWS_AT_ONCE):
            check()
            output = self._model.predict(batch.take(slice(start, start + _ROWS_AT_ONCE)))[name]
            parts.append(np.asarray(output, np.float64).reshape(len(output), -1)[:, label])
        return np.concatenate(parts)


class _Trees:
    """Exact values of a model whose only hard part is trees over columns that each feature comes from one of."""

    def __init__(self, model: LoadedModel, tap: str, shap: TreeShap) -> None:
        """model: answers the trees' features under the name `tap`."""
        self._model = model
        self._tap = tap
        self._shap = shap
        self._name = "logits" if "logits" in model.output_names else _output_name(model)

    def explain(self, batch: ColumnBatch, background: ColumnBatch, check: Check) -> list[Explanation] | None:
        """None where the values cannot be told of columns, or do not add up to the output."""
        asked = batch.rows
        together = concatenate([batch, background])
        outputs = self._model.predict(together)
        features = np.asarray(outputs[self._tap], np.float64)
        if features.shape[1] != self._shap.features:
            return None
        owners = self._owners(together, features, check)
        if owners is None:
            return None
        check()
        by_feature = self._shap.values(features)
        raw = by_feature.sum(axis=1) + self._shap.baseline
        output = np.asarray(outputs[self._name], np.float64).reshape(len(raw), -1)
        if output.shape != raw.shape or np.abs(by_feature[:, owners < 0]).max(initial=0.0) > 0:
            return None
        by_column = np.zeros((asked, len(self._model.decoder.schema), raw.shape[1]))
        for feature, owner in enumerate(owners):
            if owner >= 0:
                by_column[:, owner] += by_feature[:asked, feature]
        labels = _labels(output)
        found = []
        for row in range(asked):
            label = int(labels[row])
            line = _line(raw[:, label], output[:, label])
            if line is None:
                return None
            slope, offset = line
            values = dict(
                zip(self._model.decoder.schema.names, map(float, slope * by_column[row, :, label]), strict=True)
            )
            found.append(
                Explanation(
                    attributions=values,
                    baseline_score=float(slope * self._shap.baseline[label] + offset),
                    example_score=float(output[row, label]),
                    output_name=self._name,
                    **_label(self._model, self._name, label),
                )
            )
        return found

    def _owners(self, batch: ColumnBatch, features: Floats, check: Check) -> NDArray[np.int64] | None:
        """The column that each feature comes from, -1 for one that never changed; None where one comes from several."""
        owners = np.full(features.shape[1], -1, np.int64)
        shifts = sorted({1, *np.linspace(1, max(batch.rows - 1, 1), _SHIFTS).astype(int).tolist()})
        for place, column in enumerate(batch.schema.names):
            moved = np.zeros(features.shape[1], bool)
            for shift in shifts:
                check()
                arrays = {**batch.arrays, column: np.roll(batch[column], shift)}
                other = np.asarray(self._model.predict(ColumnBatch(batch.schema, arrays))[self._tap], np.float64)
                moved |= ~((other == features) | (np.isnan(other) & np.isnan(features))).all(axis=0)
            if (owners[moved] >= 0).any():
                return None
            owners[moved] = place
        return owners


def load_explainer(uri: str) -> Explainer:
    """Of the bundle at `uri`. Raises as `load_model`, and PreconditionError for a bundle that cannot be explained."""
    model = load_model(uri)
    if any(column.type is DataType.IMAGE for column in model.decoder.schema):
        raise PreconditionError(f"the model of {uri} takes images, whose answers are not explained")
    rows = read_samples(uri, model.manifest, limit=_BACKGROUND)
    if not rows:
        raise PreconditionError(f"the bundle {uri} keeps no samples.jsonl, the rows that an explanation compares with")
    _output_name(model)
    background = model.decode(rows)
    trees = None
    if _TREES_NAME in model.manifest.files and (tapped := load_tapped(uri, "TreeEnsemble")) is not None:
        text = read_file(uri, model.manifest, _TREES_NAME).decode()
        trees = _Trees(*tapped, TreeShap(text))
    return Explainer(model, background, trees)


def _output_name(model: LoadedModel) -> str:
    """What is explained where a choice is: a regression's value, a classifier's probabilities."""
    numbers = [output.name for output in model.manifest.signature.outputs if output.dtype.startswith("float")]
    for name in ("predictions", "probabilities", "logits", *numbers):
        if name in numbers:
            return name
    raise PreconditionError("the model has no output of floating point numbers, so there is nothing to explain")


def _labels(output: NDArray[Any]) -> NDArray[np.int64]:
    """The column of the largest score in each row."""
    return np.asarray(output.reshape(len(output), -1).argmax(axis=1), np.int64)


def _label(model: LoadedModel, name: str, place: int) -> dict[str, Any]:
    """Which class a column of the output is of."""
    classes = model.manifest.classes
    if not classes or name not in ("probabilities", "logits"):
        return {}
    index = 1 if name == "logits" and len(classes) == 2 else place
    return {"label_index": index, "label": classes[index]}


def _line(raw: Floats, output: Floats) -> tuple[float, float] | None:
    """Slope and offset from raw scores to the output; None where it is not of that shape."""
    if np.ptp(raw) <= 1e-12 * max(1.0, float(np.abs(raw).max())):
        return 1.0, float(output[0] - raw[0])
    slope, offset = np.polyfit(raw - raw.mean(), output, 1)
    offset -= slope * raw.mean()
    error = np.abs(slope * raw + offset - output).max()
    return (float(slope), float(offset)) if error <= _TOLERANCE * max(float(np.ptp(output)), 1e-12) else None
