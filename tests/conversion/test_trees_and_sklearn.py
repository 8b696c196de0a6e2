"""LightGBM, XGBoost and scikit-learn models as bundles that answer as their libraries do."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

import penstock
from penstock.bundle.folder import read_manifest
from penstock.bundle.manifest import BundleKind, Task
from penstock.errors import BundleError, PenstockError, UsageError
from penstock.flows.import_model import import_file
from penstock.runtime.model import load_model

RANDOM = np.random.default_rng(5)
ROWS = RANDOM.normal(size=(400, 4))
TOTAL = ROWS.sum(axis=1)
NAMES = ["a", "b", "c", "d"]
SMALL = {"verbosity": -1, "num_leaves": 7, "min_data_in_leaf": 5, "num_threads": 1}


def with_gaps() -> np.ndarray[Any, Any]:
    rows = ROWS.copy()
    rows[RANDOM.random(rows.shape) < 0.1] = np.nan
    return rows


def grow(path: Path, objective: str, labels: Any, **options: Any) -> Any:
    rows = lightgbm.Dataset(with_gaps(), labels, feature_name=NAMES)
    booster = lightgbm.train({**SMALL, "objective": objective, **options}, rows, 10)
    booster.save_model(path)
    return booster


@pytest.mark.parametrize(
    ("objective", "options", "task"),
    [
        ("regression", {}, Task.REGRESSION),
        ("poisson", {}, Task.REGRESSION),
        ("regression", {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}, Task.REGRESSION),
        ("binary", {"sigmoid": 0.5}, Task.BINARY_CLASSIFICATION),
        ("multiclass", {"num_class": 3}, Task.MULTICLASS_CLASSIFICATION),
        ("multiclassova", {"num_class": 3}, Task.MULTICLASS_CLASSIFICATION),
    ],
)
def test_lightgbm_text_answers_as_lightgbm(tmp_path: Path, objective: str, options: dict[str, Any], task: Task) -> None:
    labels = (TOTAL > 0).astype(int) if objective == "binary" else np.digitize(TOTAL, [-1, 1])
    booster = grow(tmp_path / "model.txt", objective, labels, **options)
    manifest = import_file(str(tmp_path / "model.txt"), output=str(tmp_path / "bundle"))
    assert (manifest.kind, manifest.task) == (BundleKind.IMPORTED, task)
    assert "parity.json" in manifest.files
    model = load_model(str(tmp_path / "bundle"))
    rows: list[list[float | None]] = [[1.0, None, -2.0, 0.5], [0.1, 0.2, 0.3, 0.4]]
    by_name = model.predict(model.decode([dict(zip(NAMES, row, strict=True)) for row in rows]))
    listed = model.predict(model.decode(rows))
    expected = booster.predict(np.array(rows, dtype=float)).reshape(2, -1)
    found = by_name["predictions" if task is Task.REGRESSION else "probabilities"]
    assert np.allclose(found[:, -expected.shape[1] :], expected, rtol=1e-5)
    for name, array in by_name.items():
        assert (listed[name] == array).all()


def test_linear_trees_and_other_texts_are_refused(tmp_path: Path) -> None:
    grow(tmp_path / "linear.txt", "regression", TOTAL, linear_tree=True)
    with pytest.raises(BundleError, match="linear trees"):
        import_file(str(tmp_path / "linear.txt"), output=str(tmp_path / "bundle"))
    (tmp_path / "notes.txt").write_text("buy milk")
    with pytest.raises(BundleError, match="not a LightGBM model"):
        import_file(str(tmp_path / "notes.txt"), output=str(tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "multi:softprob", "count:poisson"])
def test_xgboost_files_answer_as_xgboost(tmp_path: Path, objective: str, form: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    pytest.importorskip("onnxmltools")
    labels = (TOTAL > 0).astype(int) if "binary" in objective else np.digitize(TOTAL, [-1, 1])
    options = {"num_class": 3} if "multi" in objective else {}
    rows = xgboost.DMatrix(with_gaps(), labels, feature_names=NAMES)
    booster = xgboost.train({"objective": objective, "max_depth": 3, "nthread": 1, **options}, rows, 8)
    path = tmp_path / f"model.{form}"
    booster.save_model(path)
    import_file(str(path), output=str(tmp_path / "bundle"))
    model = load_model(str(tmp_path / "bundle"))
    answers = model.predict(model.decode([{"a": 0.5, "b": None, "c": -1, "d": 2}]))
    own = booster.predict(xgboost.DMatrix(np.array([[0.5, np.nan, -1, 2]]), feature_names=NAMES)).reshape(1, -1)
    found = answers["probabilities" if "class_ids" in answers else "predictions"]
    assert np.allclose(found[:, -own.shape[1] :], own, rtol=1e-4)


def test_an_xgboost_file_that_is_none_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(PenstockError, match="XGBoost"):
        import_file(str(tmp_path / "other.json"), output=str(tmp_path / "bundle"))


def test_a_scikit_learn_pipeline_on_a_frame(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = pd.DataFrame(
        {"size": ROWS[:, 0], "rooms": np.arange(400) % 5, "town": [["x", "y"][i % 2] for i in range(400)]}
    )
    labels = np.where(TOTAL + (frame["town"] == "x") > 0.5, "dear", "cheap")
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["size", "rooms"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["town"])]
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(frame, labels)
    manifest = penstock.import_model(pipeline, frame, output=str(tmp_path / "bundle"))
    assert manifest.classes == ("cheap", "dear")
    assert [column.name for column in manifest.signature.inputs] == ["size", "rooms", "town"]
    model = load_model(str(tmp_path / "bundle"))
    answers = model.predict(model.decode([{"size": 1.0, "rooms": 3, "town": "x"}]))
    one = pd.DataFrame({"size": [1.0], "rooms": [3], "town": ["x"]})
    assert answers["classes"].ravel().tolist() == pipeline.predict(one).tolist()
    assert np.allclose(answers["probabilities"], pipeline.predict_proba(one), atol=1e-6)


def test_scikit_learn_on_arrays_takes_lists_and_names(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(5, max_depth=4, random_state=0).fit(ROWS, TOTAL)
    penstock.import_model(forest, ROWS, output=str(tmp_path / "bundle"), columns=NAMES)
    model = load_model(str(tmp_path / "bundle"))
    found = model.predict(model.decode(ROWS[:20].tolist()))["predictions"]
    assert np.allclose(found.ravel(), forest.predict(ROWS[:20]), rtol=1e-5)
    assert model.predict(model.decode([dict.fromkeys(NAMES, 0.0)]))["predictions"].shape == (1, 1)


def test_pickles_are_refused_with_the_reason(tmp_path: Path) -> None:
    for name in ("model.pkl", "model.joblib", "model.pt"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n")
        with pytest.raises(UsageError, match="pickle"):
            import_file(str(tmp_path / name), output=str(tmp_path / "bundle"))
    (tmp_path / "model.h5").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"save it as \.keras"):
        import_file(str(tmp_path / "model.h5"), output=str(tmp_path / "bundle"))


def test_a_bundles_own_description_is_told_from_a_model(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(UsageError, match="describes the bundle that its folder is; name the folder"):
        import_file(str(tmp_path / "bundle.json"), output=str(tmp_path / "out"))


def test_the_bundle_says_what_it_was_made_of(tmp_path: Path) -> None:
    grow(tmp_path / "model.txt", "regression", TOTAL)
    import_file(str(tmp_path / "model.txt"), output=str(tmp_path / "bundle"), columns=["p", "q", "r", "s"])
    manifest = read_manifest(str(tmp_path / "bundle"))
    assert manifest.estimator == "LightGBM model"
    assert manifest.versions["lightgbm"] == lightgbm.__version__
    assert [column.name for column in manifest.signature.inputs] == ["p", "q", "r", "s"]
    assert all(column.nullable for column in manifest.signature.inputs)
    with pytest.raises(UsageError, match="2 columns are named"):
        import_file(str(tmp_path / "model.txt"), output=str(tmp_path / "other"), columns=["p", "q"])
