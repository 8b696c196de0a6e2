"""SavedModel and LiteRT files that answer as the bundle they were made of."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock import estimator, feature_column
from penstock.errors import AlreadyExistsError, ExportError
from penstock.flows.export_tensorflow import export_tensorflow
from penstock.runtime.model import load_model

# Found, not imported: Keras would train on it.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_spec("tensorflow") is None, reason="TensorFlow is not installed"),
]

RANDOM = np.random.default_rng(2)
SIZE = RANDOM.normal(50, 20, 400)
TOWN = np.array(["Rome", "Bari", "Pisa", "Lodi"], dtype=object)[np.arange(400) % 4]
PRICE = SIZE * 3 + np.where(TOWN == "Rome", 40.0, 0.0)
GAPS = np.where(np.arange(400) % 9 == 0, np.nan, SIZE)

_ASK = """
import json, sys
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
specs = served.structured_input_signature[1]
rows = json.loads(sys.argv[2])
answers = served(**{name: tf.constant([[row[name]] for row in rows], spec.dtype) for name, spec in specs.items()})
print(json.dumps({name: answer.numpy().tolist() for name, answer in answers.items() if answer.dtype != tf.string}))
"""


def features() -> dict[str, Any]:
    return {"size": GAPS, "town": TOWN}


def trees() -> Any:
    return estimator.BoostedTreesRegressor(n_trees=20).train(lambda: (features(), PRICE))


def network() -> Any:
    labels = np.where(PRICE > 160, "dear", "cheap")
    model = estimator.DNNClassifier(hidden_units=[8])
    return model.train(lambda: (features(), labels), max_steps=50)


def linear() -> Any:
    return estimator.LinearRegressor().train(lambda: (features(), PRICE), max_steps=50)


@pytest.mark.parametrize("make", [trees, network, linear])
def test_the_saved_model_answers_as_the_bundle(tmp_path: Path, make: Callable[[], Any]) -> None:
    bundle = make().export_saved_model(tmp_path / "bundles")
    made = export_tensorflow(bundle, target="savedmodel", output=str(tmp_path / "saved"))
    assert "saved_model.pb" in made.files
    rows = [{"size": 33.0, "town": "Rome"}, {"size": 80.5, "town": "never seen"}]
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", _ASK, str(tmp_path / "saved"), json.dumps(rows)],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    model = load_model(bundle)
    own = model.predict(model.decode(rows))
    for name, answer in json.loads(done.stdout.splitlines()[-1]).items():
        assert np.allclose(answer, own[name], rtol=1e-4), name
    with pytest.raises(AlreadyExistsError):
        export_tensorflow(bundle, target="savedmodel", output=str(tmp_path / "saved"))


@pytest.mark.parametrize("make", [trees, network])
def test_litert_answers_as_the_bundle(tmp_path: Path, make: Callable[[], Any]) -> None:
    bundle = make().export_saved_model(tmp_path / "bundles")
    made = export_tensorflow(bundle, target="litert", output=str(tmp_path / "model.tflite"))
    assert Path(made.place).read_bytes()[4:8] == b"TFL3"


def test_columns_that_there_is_no_translation_of_are_named(tmp_path: Path) -> None:
    hashed = feature_column.categorical_column_with_hash_bucket("town", 20)
    columns = [feature_column.numeric_column("size"), feature_column.embedding_column(hashed, 2)]
    model = estimator.DNNRegressor(feature_columns=columns, hidden_units=[4])
    bundle = model.train(lambda: (features(), PRICE), max_steps=5).export_saved_model(tmp_path / "bundles")
    with pytest.raises(ExportError, match=r"MurmurHash3 \(of town\)"):
        export_tensorflow(bundle, target="savedmodel", output=str(tmp_path / "saved"))
    assert not (tmp_path / "saved").exists()
