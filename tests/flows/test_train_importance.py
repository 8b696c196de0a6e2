"""A training leaves behind which columns its model goes by, and the same run found again tells it anew."""

from pathlib import Path

from penstock.flows.train import train_experiment
from penstock.settings import Settings
from penstock.training.experiment import parse_experiment


def test_the_importance_of_columns_is_kept_in_the_bundle(tmp_path: Path, settings: Settings) -> None:
    rows = [f"{i % 10},{(i * 7) % 13},{100 * (i % 10) + i % 3}" for i in range(400)]
    (tmp_path / "rides.csv").write_text("km,noise,fare\n" + "\n".join(rows) + "\n")
    text = "data: rides.csv\nlabel: fare\ntask: regression\nestimator: {type: BoostedTreesRegressor, n_trees: 20}\n"
    experiment = parse_experiment(text, folder=str(tmp_path))
    trained = train_experiment(experiment, settings=settings, note=lambda _message: None)
    assert list(trained.importance) == ["km", "noise"]
    assert trained.importance["km"] > 100.0 > trained.importance["noise"]
    assert "trainer/importance.json" in trained.manifest.files
    again = train_experiment(experiment, settings=settings, note=lambda _message: None)
    assert again.importance == trained.importance
