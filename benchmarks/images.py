"""`ImageClassifier` on photos of ants and bees, 5-fold, against scikit-learn on the same backbone's embeddings.

`--photos FOLDER…`: folders of class/file.jpg, pooled. `--backbone`: an ONNX file, bundle or pack, or a .tflite file,
which is imported once (extra `tensorflow`). A part is a contestant's fold; what is measured is kept, and a run that
ended early goes on. `--only`: measure only these contestants. `--again`: also what is kept.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts import Parts
from benchmarks.peers import CACHE
from benchmarks.report import report, version_of
from penstock.estimators.backbone import Backbone, backbone_place, load_backbone
from penstock.estimators.image_classifier import ImageClassifier
from penstock.estimators.photo_input import PhotoInput, find_photos
from penstock.flows.import_model import import_file
from penstock.runtime.images import decode_photo
from penstock.settings import load_settings
from penstock.store import blobs

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDS = 5
CONTESTANTS = (
    "penstock ImageClassifier",
    "penstock ImageClassifier, no augmentation",
    "scikit-learn LogisticRegression",
    "scikit-learn LogisticRegressionCV",
)

Evaluation = Callable[[PhotoInput], float]
"""Accuracy of a trained model."""

Run = Callable[[PhotoInput], Evaluation]
"""Trains, and returns how to evaluate."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument(
        "--photos", nargs="+", default=[f"{DATA}/photos/hymenoptera/{part}" for part in ("train", "val")]
    )
    parser.add_argument("--backbone", default=f"{DATA}/models/mobilenet_v2_1.0_224_quant.tflite")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args(arguments)
    backbone = options.backbone
    if backbone.endswith(".tflite"):
        backbone = str(CACHE / f"{Path(backbone).stem}.bundle")
        if not Path(backbone).exists():
            import_file(options.backbone, output=backbone)
    photos = find_photos(options.photos)
    order = np.random.default_rng(0).permutation(len(photos))
    embedder = load_backbone(Path(backbone_place(backbone, settings=load_settings())))
    # Not counted for any contestant: the first call of a session plans its memory.
    _embed(embedder, photos.take(order[:1]))
    runs = _contestants(backbone, embedder)
    parts = Parts("images", is_again=options.again)
    title = f"{len(photos)} photos, {Path(options.backbone).name}"
    for name in options.only:
        for fold in range(FOLDS):
            test = np.sort(order[fold::FOLDS])
            train = np.setdiff1d(order, test)
            run = partial(_measure, runs[name], photos.take(train), photos.take(test))
            parts.measure(f"{title}, {name}, fold {fold}", run)
    _report(Parts("images"), title, photos, Path(options.backbone).name)


def _measure(run: Run, train: PhotoInput, test: PhotoInput) -> dict[str, float]:
    processor, started = time.process_time(), time.perf_counter()
    evaluate = run(train)
    seconds = time.perf_counter() - started
    accuracy = evaluate(test)
    return {"accuracy": accuracy, "seconds": seconds, "processor_s": time.process_time() - processor}


def _contestants(backbone: str, embedder: Backbone) -> dict[str, Run]:
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def ours(augmentation: int) -> Run:
        def train(photos: PhotoInput) -> Evaluation:
            model = ImageClassifier(backbone, augmentation=augmentation).train(lambda: photos)
            return lambda test: model.evaluate(lambda: test)["accuracy"]

        return train

    def sklearn(head: Any) -> Run:
        def train(photos: PhotoInput) -> Evaluation:
            model = make_pipeline(StandardScaler(), head).fit(_embed(embedder, photos), photos.labels)
            return lambda test: float(np.mean(model.predict(_embed(embedder, test)) == test.labels))

        return train

    runs = (ours(3), ours(0), sklearn(LogisticRegression(max_iter=1000)), sklearn(LogisticRegressionCV(Cs=7, cv=5)))
    return dict(zip(CONTESTANTS, runs, strict=True))


def _embed(embedder: Backbone, photos: PhotoInput) -> NDArray[np.float32]:
    pixels = [decode_photo(blobs.read_bytes(folder, name), embedder.column) for folder, name in photos.files]
    return embedder.embed(np.stack(pixels))


def _report(parts: Parts, title: str, photos: PhotoInput, backbone: str) -> None:
    rows = []
    for name in CONTESTANTS:
        found = [one for fold in range(FOLDS) if (one := parts.kept(f"{title}, {name}, fold {fold}")) is not None]
        if found:
            rows.append(
                [
                    name,
                    f"{statistics.mean(one['accuracy'] for one in found):.1%}",
                    " ".join(f"{one['accuracy']:.0%}" for one in found),
                    f"{statistics.mean(one['seconds'] for one in found):.1f}",
                    f"{statistics.mean(one['processor_s'] for one in found):.1f}",
                ]
            )
    assert photos.labels is not None
    report(
        "images",
        f"{len(photos)} photos of {len(set(photos.labels.tolist()))} classes, {FOLDS} folds",
        ["model", "mean accuracy", "by fold", "s to train", "processor s a fold"],
        rows,
        [
            f"One backbone, {backbone}, frozen; the same photos, decoding and folds (seed 0).",
            "Seconds to train hold decoding, embedding and fitting; processor seconds also the evaluation.",
            "ImageClassifier embeds 3 more views a photo and chooses its weight decay by cross-validation.",
            parts.note(),
            f"Peers: {version_of('scikit-learn', 'onnxruntime')}.",
        ],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
