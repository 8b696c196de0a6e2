"""An experiment on photos opened: which photos to train and to evaluate on, and its estimator made to order."""

from dataclasses import dataclass
from typing import Any

from penstock.errors import ConfigError, did_you_mean
from penstock.estimators.image_classifier import ImageClassifier
from penstock.estimators.photo_input import PhotoInput, photo_input_fns
from penstock.estimators.run_config import RunConfig
from penstock.training.experiment import Experiment

__all__ = ["OpenPhotos", "open_photos"]

_KNOWN = (
    "backbone",
    "scaling",
    "layer",
    "image_size",
    "augmentation",
    "weight_decay",
    "class_weight",
    "label_vocabulary",
    "bad_photos",
)


@dataclass(frozen=True, kw_only=True)
class OpenPhotos:
    """The two sides of a split of photos, and the arguments of their estimator."""

    training: PhotoInput
    evaluation: PhotoInput
    arguments: dict[str, Any]

    @property
    def digest(self) -> str:
        """Identity of all photos."""
        return self.training.digest() + self.evaluation.digest()

    def make(self, *, model_dir: str, config: RunConfig) -> ImageClassifier:
        return ImageClassifier(model_dir=model_dir, config=config, **self.arguments)


def open_photos(experiment: Experiment) -> OpenPhotos:
    """Finds the photos and checks what the experiment says of their estimator.

    `image`, beside the estimator's own arguments, is a table's column of paths. Raises ConfigError for arguments that
    there are not, DataError and NotFoundError for the photos.
    """
    arguments = dict(experiment.estimator.parameters)
    image = arguments.pop("image", None)
    for name in arguments:
        if name not in _KNOWN:
            known = ", ".join(("image", *_KNOWN))
            raise ConfigError(
                f"estimator ImageClassifier has no argument {name!r}; it has {known}{did_you_mean(name, _KNOWN)}"
            )
    if "backbone" not in arguments:
        raise ConfigError(
            "estimator ImageClassifier needs a backbone: the path of an image classifier's ONNX file, or the name of a "
            "pack, which penstock import MODEL.tflite --pack NAME makes"
        )
    if experiment.features != "auto":
        raise ConfigError("features are of tables; an ImageClassifier takes photos")
    if experiment.serving is not None:
        raise ConfigError("serving is of tables; an ImageClassifier takes photos as they are")
    data = experiment.data
    training, evaluation = photo_input_fns(
        data.source,
        label=experiment.label.name,
        image=image,
        evaluation=experiment.split.evaluation if data.evaluation is None else data.evaluation,
        seed=experiment.split.seed,
    )
    return OpenPhotos(training=training(), evaluation=evaluation(), arguments=arguments)
