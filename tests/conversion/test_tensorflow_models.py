"""TensorFlow's SavedModels, Keras files and LiteRT files as bundles, made by TensorFlow itself."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import pytest

from penstock.bundle.manifest import BundleKind
from penstock.cli.main import main
from penstock.errors import BundleError
from penstock.flows.import_model import import_file
from penstock.runtime.model import load_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("tf2onnx") is None, reason="the extra tensorflow is not installed"),
]

_MODELS = """
import sys
import keras
import numpy as np
import tensorflow as tf

folder = sys.argv[1]
keras.utils.set_random_seed(0)
inputs = keras.Input((3,), name="house")
hidden = keras.layers.Dense(8, activation="gelu")(keras.layers.BatchNormalization()(inputs))
model = keras.Model(inputs, keras.layers.Dense(1, name="price")(hidden))
model.save(f"{folder}/model.keras")
model.export(f"{folder}/export/1", verbose=False)
model.export(f"{folder}/export/2", verbose=False)
photos = keras.Sequential(
    [
        keras.Input((16, 16, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, activation="softmax"),
    ]
)
photos.save(f"{folder}/photos.keras")
lite = tf.lite.TFLiteConverter.from_keras_model(photos).convert()
open(f"{folder}/photos.tflite", "wb").write(lite)
unsafe = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2)])
unsafe.save(f"{folder}/unsafe.keras")


class Table(tf.Module):
    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "town"), tf.TensorSpec([None, 1], tf.float32, "size")]
    )
    def predict(self, town, size):
        return {"price": size[:, 0] * tf.where(town == "Rome", 2.0, 1.0)}


table = Table()
tf.saved_model.save(table, f"{folder}/table", signatures={"serving_default": table.predict})
rows = np.array([[1, 2, 3], [0.5, -1, 4]], np.float32)
np.save(f"{folder}/rows.npy", rows)
np.save(f"{folder}/answers.npy", model(rows).numpy())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    environ = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", _MODELS, str(folder)], env=environ, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("name", ["model.keras", "export"])
def test_a_model_of_keras_answers_as_tensorflow(models: Path, tmp_path: Path, name: str) -> None:
    manifest = import_file(str(models / name), output=str(tmp_path / "bundle"), columns=["RM", "TAX", "AGE"])
    assert (manifest.kind, "parity.json" in manifest.files) == (BundleKind.IMPORTED, True)
    model = load_model(str(tmp_path / "bundle"))
    (found,) = model.predict(model.decode(np.load(models / "rows.npy").tolist())).values()
    assert np.allclose(found, np.load(models / "answers.npy"), rtol=1e-4)


def test_texts_and_numbers_keep_the_names_of_the_signature(models: Path, tmp_path: Path) -> None:
    import_file(str(models / "table"), output=str(tmp_path / "bundle"))
    model = load_model(str(tmp_path / "bundle"))
    answers = model.predict(model.decode([{"town": "Rome", "size": 3}, {"town": "Bari", "size": 4}]))
    assert answers["price"].tolist() == [6.0, 4.0]


def test_convolutions_come_over_from_keras_and_from_litert(models: Path, tmp_path: Path) -> None:
    answers = []
    for name in ("photos.keras", "photos.tflite"):
        import_file(str(models / name), output=str(tmp_path / name))
        model = load_model(str(tmp_path / name))
        (found,) = model.predict(model.decode(np.full((3, 16, 16, 3), 100).tolist())).values()
        assert found.shape == (3, 2)
        answers.append(found)
    assert np.allclose(answers[0], answers[1], atol=1e-3)


def test_code_in_a_keras_file_is_not_run(models: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"Keras cannot load it: .*Lambda"):
        import_file(str(models / "unsafe.keras"), output=str(tmp_path / "bundle"))


def test_a_signature_that_is_not_there_is_named(models: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no signature 'serve_me'; it has"):
        import_file(str(models / "table"), output=str(tmp_path / "bundle"), signature="serve_me")


def test_a_saved_model_in_a_job_dir_deploys_and_answers(
    models: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["models", "create", "houses"],
        ["versions", "create", "v1", "--model", "houses", "--origin", str(models / "export")],
    ):
        with pytest.raises(SystemExit) as exit_:
            main(words)
        assert exit_.value.code == 0, capsys.readouterr().err
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["versions", "describe", "v1", "--model", "houses", "--format", "json"])
    assert str(models / "export") in json.dumps(json.loads(capsys.readouterr().out))
    command = [sys.executable, "-m", "penstock.cli.main", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            rows, expected = np.load(models / "rows.npy"), np.load(models / "answers.npy")
            asked = f"{url}/v1/models/houses:predict"
            for body in ({"instances": rows.tolist()}, {"instances": [{"house": row} for row in rows.tolist()]}):
                answer = httpx.post(asked, json=body).json()
                assert np.allclose(answer["predictions"], expected, rtol=1e-4)
            answer = httpx.post(asked, json={"inputs": {"house": rows.tolist()}}).json()
            assert np.allclose(answer["outputs"], expected, rtol=1e-4)
        finally:
            server.terminate()
            server.wait(timeout=20)
