"""Exporters: when a training writes a bundle, and how many are kept; names and arguments of `tf.estimator`'s."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from penstock.errors import UsageError
from penstock.estimators.estimator import Estimator
from penstock.store import blobs

__all__ = ["BestExporter", "Exporter", "FinalExporter", "LatestExporter"]


class Exporter(ABC):
    """Writes bundles to `MODEL_DIR/export/NAME/TIMESTAMP`.

    serving_input_receiver_fn: what callers send; None for the training columns.
    """

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
    ) -> None:
        if not name or "/" in name:
            raise UsageError(f"the exporter's name is {name!r}; expected the name of a folder")
        self.name = name
        self._serving_input_receiver_fn = serving_input_receiver_fn
        self._assets_extra = assets_extra
        self._as_text = as_text

    @abstractmethod
    def export(
        self, estimator: Estimator, export_path: str, eval_result: Mapping[str, float], is_the_final_export: bool
    ) -> str | None:
        """The path of the bundle written under `export_path`, None where none is due."""

    def _export(self, estimator: Estimator, export_path: str) -> str:
        return estimator.export_saved_model(
            export_path, self._serving_input_receiver_fn, self._assets_extra, self._as_text
        )


class FinalExporter(Exporter):
    """Exports once, when the training is over."""

    def export(
        self, estimator: Estimator, export_path: str, eval_result: Mapping[str, float], is_the_final_export: bool
    ) -> str | None:
        return self._export(estimator, export_path) if is_the_final_export else None


class LatestExporter(Exporter):
    """Exports after evaluations, and keeps the newest bundles. exports_to_keep: None keeps all."""

    def __init__(
        self,
        name: str,
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        exports_to_keep: int | None = 5,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text)
        if exports_to_keep is not None and exports_to_keep < 1:
            raise UsageError(f"exports_to_keep is {exports_to_keep}; expected at least 1, or None for all")
        self._exports_to_keep = exports_to_keep

    def export(
        self, estimator: Estimator, export_path: str, eval_result: Mapping[str, float], is_the_final_export: bool
    ) -> str | None:
        path = self._export(estimator, export_path)
        if self._exports_to_keep is not None:
            for old in _exports(export_path)[: -self._exports_to_keep]:
                blobs.remove_folder(old, under=export_path)
        return path


class BestExporter(LatestExporter):
    """Exports where an evaluation is better than all before it in this training.

    compare_fn: takes the best and the current metrics, and says whether the current are better; by default a lower
    loss.
    """

    def __init__(
        self,
        name: str = "best_exporter",
        serving_input_receiver_fn: Callable[[], Any] | None = None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        exports_to_keep: int | None = 5,
        *,
        compare_fn: Callable[[Mapping[str, float], Mapping[str, float]], bool] | None = None,
    ) -> None:
        super().__init__(name, serving_input_receiver_fn, assets_extra, as_text, exports_to_keep)
        self._is_better = compare_fn or (lambda best, current: current["loss"] < best["loss"])
        self._best: Mapping[str, float] | None = None

    def export(
        self, estimator: Estimator, export_path: str, eval_result: Mapping[str, float], is_the_final_export: bool
    ) -> str | None:
        if self._best is not None and not self._is_better(self._best, eval_result):
            return None
        self._best = dict(eval_result)
        return super().export(estimator, export_path, eval_result, is_the_final_export)


def _exports(export_path: str) -> list[str]:
    """Finished bundles under a folder or URI, oldest first."""
    names = [name for name in blobs.child_folders(export_path) if name.isdecimal()]
    places = [blobs.join(export_path, name) for name in sorted(names, key=int)]
    return [place for place in places if blobs.exists(blobs.join(place, "bundle.json"))]
