"""`ImageClassifier` on photos of ants and bees, 5-fold, against scikit-learn on the same backbone's embeddings.

`--photos FOLDER…`: folders of class/file.jpg, pooled. `--backbone`: an ONNX file, bundle or pack, or a .tflite file,
which is imported once (extra `tensorflow`). `--quick`: our defaults and the simpler peer only.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.peers import CACHE
from benchmarks.report import report, version_of
from penstock import estimator
from penstock.estimators.image_classifier import ImageClassifier
from penstock.estimators.photo_input import PhotoInput, find_photos
from penstock.flows.import_model import import_file
from penstock.runtime.images import decode_photo
from penstock.store import blobs

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDS = 5


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photos", nargs="+", default=[f"{DATA}/photos/hymenoptera/{part}" for part in ("train", "val")]
    )
    parser.add_argument("--backbone", default=f"{DATA}/models/mobilenet_v2_1.0_224_quant.tflite")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    backbone = options.backbone
    if backbone.endswith(".tflite"):
        backbone = str(CACHE / f"{Path(backbone).stem}.bundle")
        if not Path(backbone).exists():
            import_file(options.backbone, output=backbone)
    photos = find_photos(options.photos)
    order = np.random.default_rng(0).permutation(len(photos))
    embedder = estimator.ImageClassifier(backbone)._backbone
    column = embedder.column

    def embed(some: PhotoInput) -> np.ndarray:
        pixels = [decode_photo(blobs.read_bytes(folder, name), column) for folder, name in some.files]
        return embedder.embed(np.stack(pixels))

    def ours(augmentation: int) -> Callable[[PhotoInput, PhotoInput], float]:
        def run(train: PhotoInput, test: PhotoInput) -> float:
            model = ImageClassifier(backbone, augmentation=augmentation).train(lambda: train)
            run.seconds.append(time.perf_counter() - run.started)
            return model.evaluate(lambda: test)["accuracy"]

        return run

    def sklearn(make: Callable[[], object]) -> Callable[[PhotoInput, PhotoInput], float]:
        def run(train: PhotoInput, test: PhotoInput) -> float:
            model = make().fit(embed(train), train.labels)
            run.seconds.append(time.perf_counter() - run.started)
            return float(np.mean(model.predict(embed(test)) == test.labels))

        return run

    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    contestants = {
        "penstock ImageClassifier": ours(3),
        "penstock ImageClassifier, no augmentation": ours(0),
        "scikit-learn LogisticRegression": sklearn(
            lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        ),
        "scikit-learn LogisticRegressionCV": sklearn(
            lambda: make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=7, cv=5, max_iter=1000))
        ),
    }
    if options.quick:
        contestants = {name: contestants[name] for name in list(contestants)[::2]}
    embed(photos.take(order[:1]))
    rows = []
    for name, run in contestants.items():
        run.seconds = []
        scores = []
        processor = time.process_time()
        for fold in range(FOLDS):
            test = np.sort(order[fold::FOLDS])
            run.started = time.perf_counter()
            scores.append(run(photos.take(np.setdiff1d(order, test)), photos.take(test)))
        processor = (time.process_time() - processor) / FOLDS
        rows.append(
            [
                name,
                f"{np.mean(scores):.1%}",
                " ".join(f"{score:.0%}" for score in scores),
                f"{np.mean(run.seconds):.1f}",
                f"{processor:.1f}",
            ]
        )
    report(
        "images",
        f"{len(photos)} photos of {len(set(photos.labels.tolist()))} classes, {FOLDS} folds",
        ["model", "mean accuracy", "by fold", "s to train", "processor s a fold"],
        rows,
        [
            f"One backbone, {Path(options.backbone).name}, frozen; the same photos, decoding and folds (seed 0).",
            "Seconds to train hold decoding, embedding and fitting; processor seconds also the evaluation.",
            "ImageClassifier embeds 3 more views a photo and chooses its weight decay by cross-validation.",
            f"Load average of the machine at the end: {os.getloadavg()[0]:.1f}; wall seconds are for that load.",
            f"Peers: {version_of('scikit-learn', 'onnxruntime')}.",
        ],
    )
