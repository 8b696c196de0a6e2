from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from penstock import estimator, feature_column, serving_input
from penstock.bundle.folder import verify
from penstock.errors import UsageError
from penstock.runtime.model import load_model

FEATURES = ("rooms", "distance")


def input_fn() -> Any:
    rng = np.random.default_rng(0)
    rooms, distance = rng.uniform(3, 9, 300), rng.lognormal(1, 0.5, 300)
    return {"rooms": rooms, "distance": distance}, 4_000 * rooms - 900 * distance


def make(folder: Path, **config: Any) -> Any:
    columns = [feature_column.numeric_column(name) for name in FEATURES]
    return estimator.DNNRegressor(
        feature_columns=columns, hidden_units=[8], model_dir=str(folder), config=estimator.RunConfig(**config)
    )


def serving_input_fn() -> Any:
    feet = serving_input.placeholder("float32", [None])
    rooms = serving_input.placeholder("float32", [None])
    features = {"rooms": serving_input.expand_dims(rooms, -1), "distance": feet / 5280.0}
    return estimator.export.ServingInputReceiver(features, {"rooms": rooms, "feet": feet})


def test_the_2017_call_trains_evaluates_and_exports(tmp_path: Path) -> None:
    exporter = estimator.LatestExporter("Servo", serving_input_fn)
    metrics, exports = estimator.train_and_evaluate(
        make(tmp_path),
        estimator.TrainSpec(input_fn, max_steps=500),
        estimator.EvalSpec(input_fn, steps=1, exporters=exporter),
    )
    assert metrics["global_step"] == 500
    (path,) = exports
    assert path is not None
    assert Path(path).parent == tmp_path / "export" / "Servo"
    verify(path)
    model = load_model(path)
    assert [column.name for column in model.manifest.signature.inputs] == ["rooms", "feet"]
    assert model.manifest.metrics["rmse"] == pytest.approx(metrics["rmse"])
    served = model.predict(model.decode([{"rooms": 6.0, "feet": 3 * 5280.0}]))["predictions"]
    (ours,) = make(tmp_path).predict(lambda: {"rooms": [6.0], "distance": [3.0]})
    assert served[0] == pytest.approx(ours["predictions"], rel=1e-5)


def test_evaluation_metrics_are_there_by_step(tmp_path: Path) -> None:
    estimator.train_and_evaluate(
        make(tmp_path), estimator.TrainSpec(input_fn, max_steps=200), estimator.EvalSpec(input_fn, name="held_out")
    )
    events = EventAccumulator(str(tmp_path / "eval_held_out")).Reload()
    assert [event.step for event in events.Scalars("rmse")] == list(range(20, 201, 20))
    assert len(list((tmp_path / "eval_held_out").iterdir())) == 1


def test_evaluations_change_nothing_in_the_training(tmp_path: Path) -> None:
    estimator.train_and_evaluate(
        make(tmp_path / "a"), estimator.TrainSpec(input_fn, max_steps=77), estimator.EvalSpec(input_fn)
    )
    make(tmp_path / "b").train(input_fn, max_steps=77)
    with np.load(tmp_path / "a" / "checkpoint-77.npz") as mine, np.load(tmp_path / "b" / "checkpoint-77.npz") as theirs:
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs)


def test_a_finished_training_is_evaluated_and_exported_again(tmp_path: Path) -> None:
    for _ in range(2):
        _, exports = estimator.train_and_evaluate(
            make(tmp_path),
            estimator.TrainSpec(input_fn, max_steps=20),
            estimator.EvalSpec(input_fn, exporters=[estimator.FinalExporter("final")]),
        )
        assert exports[0] is not None
    assert len(list((tmp_path / "export" / "final").iterdir())) == 2


def test_the_latest_exporter_keeps_the_newest(tmp_path: Path) -> None:
    trained = make(tmp_path).train(input_fn, max_steps=5)
    exporter = estimator.LatestExporter("Servo", exports_to_keep=2)
    paths = [exporter.export(trained, str(tmp_path / "export"), {}, False) for _ in range(3)]
    assert sorted(str(path) for path in (tmp_path / "export").iterdir()) == sorted(str(path) for path in paths[1:])


def test_the_best_exporter_exports_improvements_only(tmp_path: Path) -> None:
    trained = make(tmp_path).train(input_fn, max_steps=5)
    exporter = estimator.BestExporter()
    written = [exporter.export(trained, str(tmp_path / "export"), {"loss": loss}, False) for loss in (3.0, 4.0, 2.0)]
    assert [path is not None for path in written] == [True, False, True]


def test_misuse_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got a EvalSpec; expected a TrainSpec"):
        estimator.train_and_evaluate(make(tmp_path), estimator.EvalSpec(input_fn), estimator.EvalSpec(input_fn))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two exporters are named 'a'"):
        estimator.EvalSpec(input_fn, exporters=[estimator.FinalExporter("a"), estimator.LatestExporter("a")])
    with pytest.raises(UsageError, match="max_steps is 0"):
        estimator.TrainSpec(input_fn, max_steps=0)
    with pytest.raises(UsageError, match="early_stopping=True"):
        estimator.TrainSpec(input_fn, hooks=[object()])
    with pytest.raises(UsageError, match="expected the name of a folder"):
        estimator.FinalExporter("a/b")
