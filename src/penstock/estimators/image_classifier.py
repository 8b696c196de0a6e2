"""`ImageClassifier`: photos to classes, by a frozen pre-trained backbone and a logistic regression behind it."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from penstock.bundle.manifest import Label
from penstock.data.columns import ColumnBatch
from penstock.data.schema import Column, Schema
from penstock.errors import ConfigError, DataError, PreconditionError, StoreError, UsageError
from penstock.estimators.backbone import Backbone, Scaling, backbone_place, load_backbone
from penstock.estimators.classification_heads import BinaryHead, MulticlassHead, fit_classification_head
from penstock.estimators.estimator import free_timestamp, refuse_hooks, rows_of
from penstock.estimators.logistic import LogisticModel, fit_logistic
from penstock.estimators.model_folder import ModelFolder
from penstock.estimators.photo_input import PhotoInput
from penstock.estimators.photo_model import PhotoModel, middle_view, moved_view
from penstock.estimators.preparation import class_factors, notice
from penstock.estimators.progress import make_progress
from penstock.estimators.run_config import RunConfig
from penstock.export.write import BundleFacts, write_bundle
from penstock.runtime.images import decode_photo
from penstock.settings import load_settings
from penstock.store import blobs
from penstock.store.blobs import replace_file

__all__ = ["ImageClassifier"]

_STATE = "image_classifier.json"
_WEIGHTS = "image_classifier.npz"
_MARGIN = 1.15
_CHUNK = 64
_SAMPLES = 16
_SHOWN = 5

Pixels = NDArray[np.uint8]


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What a training leaves besides weights."""

    head: BinaryHead | MulticlassHead
    parameters: dict[str, Any]
    backbone_digest: str
    data_digest: str
    step: int
    photos: int
    metrics: dict[str, float] = {}


class ImageClassifier:
    """Classifies photos. With a few dozen a class it does what an own network needs thousands for.

    backbone: an image classifier as an ONNX file, a bundle's folder or the name of a pack; its last layer is cut off.
    scaling, layer, image_size: see `load_backbone`. augmentation: views of each photo besides the one that is served:
    shifted, and half of them mirrored. weight_decay: None chooses by cross-validation. bad_photos: whether photos that
    cannot be decoded stop the training or are counted and left out.
    """

    def __init__(
        self,
        backbone: str | Path,
        *,
        model_dir: str | Path | None = None,
        config: RunConfig | None = None,
        scaling: Scaling = "auto",
        layer: str | None = None,
        image_size: int | None = None,
        augmentation: int = 3,
        weight_decay: float | None = None,
        class_weight: Mapping[str, float] | str | None = None,
        label_vocabulary: Sequence[str] | None = None,
        bad_photos: Literal["refuse", "skip"] = "refuse",
    ) -> None:
        import tempfile

        if scaling not in ("auto", "none", "unit", "signed", "imagenet"):
            raise ConfigError(f"scaling is {scaling!r}; expected auto, none, unit, signed or imagenet")
        if bad_photos not in ("refuse", "skip"):
            raise ConfigError(f"bad_photos is {bad_photos!r}; expected refuse or skip")
        if not 0 <= augmentation <= 100:
            raise ConfigError(f"augmentation is {augmentation}; expected 0 to 100 views of each photo")
        if weight_decay is not None and not weight_decay > 0:
            raise ConfigError(f"weight_decay is {weight_decay}; expected a number above 0")
        self._config = config or RunConfig()
        self._place = ModelFolder(model_dir or self._config.model_dir or tempfile.mkdtemp(prefix="penstock-"))
        self._path = backbone_place(str(backbone), settings=load_settings())
        self._scaling: Scaling = scaling
        self._layer, self._size = layer, image_size
        self._augmentation, self._decay = augmentation, weight_decay
        self._class_weight, self._vocabulary = class_weight, label_vocabulary
        self._skips = bad_photos == "skip"
        self._params: dict[str, Any] = {
            "backbone": str(backbone),
            "scaling": scaling,
            "layer": layer,
            "image_size": image_size,
            "augmentation": augmentation,
            "weight_decay": weight_decay,
            "class_weight": class_weight,
            "label_vocabulary": None if label_vocabulary is None else list(label_vocabulary),
            "bad_photos": bad_photos,
            "seed": self._config.seed,
        }

    @property
    def model_dir(self) -> str:
        return self._place.place

    @property
    def config(self) -> RunConfig:
        return self._config

    @property
    def params(self) -> dict[str, Any]:
        """The arguments that make the model what it is, as JSON values."""
        return dict(self._params)

    def train(
        self,
        input_fn: Callable[[], Any],
        hooks: Sequence[Any] | None = None,
        steps: int | None = None,
        max_steps: int | None = None,
        saving_listeners: Sequence[Any] | None = None,
    ) -> Self:
        """Computes the embeddings once, and fits the head to its optimum: `steps` and `max_steps` have no effect.

        input_fn: gives what `inputs.photo_input_fn` makes. Raises DataError for photos nothing can be learned from.
        """
        refuse_hooks(hooks, saving_listeners)
        photos = _photos(input_fn, labelled=True)
        labels = photos.labels
        assert labels is not None
        head = fit_classification_head(labels, label=photos.label, label_vocabulary=self._vocabulary)
        views = 1 + self._augmentation
        title = f"embedding {len(photos)} photos"
        embeddings, groups = [], []
        samples: list[Pixels] = []
        with make_progress(title, show=self._config.show_progress, first=0, total=len(photos)) as progress:
            seen = 0
            for places, pixels in self._decoded(photos, margin=_MARGIN if views > 1 else 1.0):
                random = np.random.default_rng([self._config.seed, seen])
                cut = [middle_view(large, self._backbone.size) for large in pixels]
                embeddings.append(self._backbone.embed(np.stack(cut)))
                groups.append(places)
                for _ in range(self._augmentation):
                    moved = [moved_view(large, self._backbone.size, random) for large in pixels]
                    embeddings.append(self._backbone.embed(np.stack(moved)))
                    groups.append(places)
                samples += [cut[i] for i in range(min(len(cut), _SAMPLES - len(samples)))]
                seen += len(places)
                progress.update(seen, float("nan"))
        rows, group = np.concatenate(embeddings), np.concatenate(groups)
        # The view that is served comes first of each group.
        order = np.argsort(group, kind="stable")
        rows, group = rows[order], group[order]
        ids = head.encode(labels)[group]
        if len(set(ids.tolist())) < 2:
            raise DataError("the photos that can be read are of one class only; a classifier needs at least two")
        factors = class_factors(head, ids, self._class_weight)
        weights = np.ones(len(rows)) if factors is None else factors.astype(np.float64)
        model = fit_logistic(
            rows,
            ids,
            group,
            classes=len(head.classes),
            weights=weights,
            decays=() if self._decay is None else (self._decay,),
            seed=self._config.seed,
        )
        self._keep(head, model, np.stack(samples), photos, len(set(group.tolist())))
        return self

    def evaluate(
        self,
        input_fn: Callable[[], Any],
        steps: int | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | None = None,
        name: str | None = None,
    ) -> dict[str, float]:
        """Metrics on labelled photos. name: of this evaluation; an unnamed one is kept for the export."""
        refuse_hooks(hooks)
        del steps, checkpoint_path
        state, model = self._state(), self.fitted_model()
        photos = _photos(input_fn, labelled=True)
        assert photos.labels is not None
        outputs, places = self._outputs(model, photos)
        metrics = {**model.head.evaluate(outputs, photos.labels[places], None), "global_step": float(state.step)}
        if name is None:
            finite = {key: value for key, value in metrics.items() if np.isfinite(value)}
            self._write_state(msgspec.structs.replace(state, metrics=finite))
        return metrics

    def predict(
        self,
        input_fn: Callable[[], Any],
        predict_keys: Sequence[str] | str | None = None,
        hooks: Sequence[Any] | None = None,
        checkpoint_path: str | None = None,
        yield_single_examples: bool = True,
    ) -> Iterator[dict[str, Any]]:
        """Answers, a photo each. input_fn: gives photos with or without labels, or a list of paths."""
        refuse_hooks(hooks)
        del checkpoint_path
        model = self.fitted_model()
        outputs, _ = self._outputs(model, _photos(input_fn, labelled=False))
        answers = model.head.answers(outputs)
        keys = [predict_keys] if isinstance(predict_keys, str) else list(predict_keys or answers)
        for key in keys:
            if key not in answers:
                raise UsageError(f"predict_keys names {key!r}; this model answers {', '.join(answers)}")
        return rows_of({key: answers[key] for key in keys}, single=yield_single_examples)

    def export_saved_model(
        self,
        export_dir_base: str | Path,
        serving_input_receiver_fn: Any = None,
        assets_extra: Mapping[str, str] | None = None,
        as_text: bool = False,
        checkpoint_path: str | None = None,
    ) -> str:
        """Writes a bundle under `export_dir_base/TIMESTAMP`, proven on training photos, and returns its path.

        Its one input is a photo: uint8 pixels in the graph, a file in base64 or pixels on the wire.
        """
        del checkpoint_path
        if as_text or serving_input_receiver_fn is not None:
            raise UsageError(
                "a bundle of photos takes photos; as_text and serving_input_receiver_fn have no meaning here"
            )
        state, model = self._state(), self.fitted_model()
        uri = free_timestamp(str(export_dir_base))
        files: dict[str, bytes | Path] = {_WEIGHTS: (self._place.path / _WEIGHTS).read_bytes()}
        files |= {name: Path(path) for name, path in (assets_extra or {}).items()}
        with np.load(self._place.path / _WEIGHTS) as kept:
            pixels = kept["samples"]
        write_bundle(
            model,
            uri=uri,
            facts=BundleFacts(
                task=state.head.task,
                estimator=type(self).__name__,
                label=Label(name=state.head.label),
                classes=state.head.classes,
                parameters={**state.parameters, "backbone_digest": state.backbone_digest},
                metrics={key: value for key, value in state.metrics.items() if key != "global_step"},
                data_digest=state.data_digest,
                global_step=state.step,
            ),
            samples=ColumnBatch(Schema((self._backbone.column,)), {self._backbone.column.name: pixels}),
            trainer_files=files,
        )
        return uri

    export_savedmodel = export_saved_model

    def latest_checkpoint(self) -> str | None:
        path = self._place.path / _WEIGHTS
        return str(path.with_suffix("")) if path.exists() else None

    def fitted_model(self) -> "PhotoModel":
        """The trained model. Raises PreconditionError where nothing is trained."""
        state = self._state()
        with np.load(self._place.path / _WEIGHTS) as kept:
            weights = LogisticModel(kept["kernel"], kept["bias"], 0.0, {}, state.step)
        return PhotoModel(self._backbone, weights, state.head)

    @cached_property
    def _backbone(self) -> Backbone:
        return load_backbone(self._path, scaling=self._scaling, layer=self._layer, size=self._size)

    def _keep(
        self, head: BinaryHead | MulticlassHead, model: LogisticModel, samples: Pixels, photos: PhotoInput, count: int
    ) -> None:
        content = io.BytesIO()
        np.savez(content, kernel=model.kernel, bias=model.bias, samples=samples)
        self._place.path.mkdir(parents=True, exist_ok=True)
        replace_file(self._place.path / _WEIGHTS, content.getvalue())
        state = _State(
            head=head,
            parameters={**self._params, "weight_decay": model.decay},
            backbone_digest=hashlib.sha256(self._path.read_bytes()).hexdigest(),
            data_digest=photos.digest(),
            step=max(1, model.iterations),
            photos=count,
        )
        self._write_state(state)

    def _write_state(self, state: _State) -> None:
        replace_file(self._place.path / _STATE, msgspec.json.format(msgspec.json.encode(state), indent=1))
        self._place.bring_back()

    def _state(self) -> _State:
        try:
            return msgspec.json.decode((self._place.path / _STATE).read_bytes(), type=_State)
        except FileNotFoundError:
            raise PreconditionError(f"nothing is trained in {self.model_dir!r} yet; call train first") from None
        except msgspec.MsgspecError as error:
            raise StoreError(f"{_STATE} of {self.model_dir} is damaged: {error}") from error

    def _outputs(self, model: "PhotoModel", photos: PhotoInput) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Of the photos that can be read, and which these are."""
        parts, places = [], []
        for place, pixels in self._decoded(photos, margin=1.0):
            parts.append(model.weights.outputs(self._backbone.embed(np.stack(pixels))))
            places.append(place)
        return np.concatenate(parts), np.concatenate(places)

    def _decoded(self, photos: PhotoInput, *, margin: float) -> Iterator[tuple[NDArray[np.int64], list[Pixels]]]:
        """Photos by the chunk, with their places. margin: how much larger than served, for views of them.

        Raises DataError for photos that cannot be decoded, once all are tried, or leaves them out with a notice.
        """
        height, width = self._backbone.size
        column = msgspec.structs.replace(
            self._backbone.column, shape=(round(height * margin), round(width * margin), 3)
        )
        bad: list[str] = []
        with ThreadPoolExecutor(load_settings().threads) as pool:
            for start in range(0, len(photos), _CHUNK):
                chunk = range(start, min(start + _CHUNK, len(photos)))
                tried = list(pool.map(lambda place: _decode(photos.files[place], column), chunk))
                bad += [result for result in tried if isinstance(result, str)]
                good = [
                    (place, result) for place, result in zip(chunk, tried, strict=True) if not isinstance(result, str)
                ]
                if good and (not bad or self._skips):
                    yield np.array([place for place, _ in good], dtype=np.int64), [pixels for _, pixels in good]
        if not bad:
            return
        told = "; ".join(bad[:_SHOWN]) + (f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else "")
        if not self._skips:
            raise DataError(
                f"{len(bad)} of {len(photos)} photos cannot be read: {told}. "
                "Mend or remove them, or say bad_photos: skip"
            )
        if len(bad) == len(photos):
            raise DataError(f"none of {len(photos)} photos can be read: {told}")
        notice(f"left out {len(bad)} of {len(photos)} photos, which cannot be read: {told}")


def _photos(input_fn: Callable[[], Any], *, labelled: bool) -> PhotoInput:
    if not callable(input_fn):
        raise UsageError(f"input_fn is a {type(input_fn).__name__}; expected a function without arguments")
    value = input_fn()
    if isinstance(value, list | tuple) and value and all(isinstance(path, str | Path) for path in value):
        places = [blobs.absolute(str(path)).rpartition("/") for path in value]
        value = PhotoInput(files=tuple((folder, name) for folder, _, name in places), labels=None)
    if not isinstance(value, PhotoInput):
        raise UsageError(
            f"input_fn returned a {type(value).__name__}; expected what inputs.photo_input_fn makes, or a list of paths"
        )
    if labelled and value.labels is None:
        raise DataError("the photos have no labels; training and evaluation need one each")
    if not value.files:
        raise DataError("the input has no photos; expected at least one")
    return value


def _decode(file: tuple[str, str], column: Column) -> Pixels | str:
    """The pixels, or which file it is and why it cannot be read."""
    folder, name = file
    try:
        return decode_photo(blobs.read_uri(blobs.join(folder, name)), column)
    except ValueError as error:
        return f"{name} ({error})"
    except Exception as error:
        return f"{name} ({' '.join(str(error).split())[:120]})"
