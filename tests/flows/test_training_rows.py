"""An experiment with a recipe: its rows are prepared once, and its bundle takes the raw row."""

from pathlib import Path

import msgspec
import pytest

from penstock.data.recipe.prepared import find_prepared
from penstock.data.recipe.travel import travelling_recipe
from penstock.errors import ConfigError
from penstock.flows.train import Trained, train_experiment
from penstock.flows.training_rows import with_prepared_rows
from penstock.runtime.model import load_model
from penstock.settings import Settings
from penstock.training.experiment import Experiment, parse_experiment

STEPS = """
steps:
  - filter: km > 0
  - fill: {km: {statistic: median}}
  - derive: {far: "if(km > 5, 1, 0)", hour: hour(pickup)}
  - case: {zone: lower}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("rides", 80), ("later", 30)):
        lines = [
            f"{i},{('North', 'south')[i % 2]},{'' if i % 7 == 3 else i % 10},2024-05-{1 + i % 28:02}T{i % 24:02}:00:00,"
            f"{2 + 3 * (i % 10)}"
            for i in range(rows)
        ]
        (tmp_path / f"{name}.csv").write_text("id,zone,km,pickup,fare\n" + "\n".join(lines) + "\n")
    (tmp_path / "plain.yaml").write_text(f"source: rides.csv{STEPS}")
    (tmp_path / "split.yaml").write_text(f"source: rides.csv{STEPS}  - split: {{method: key, by: id}}\n")
    return tmp_path


def experiment(folder: Path, data: str, features: str = "auto") -> Experiment:
    estimator = "{type: BoostedTreesRegressor, n_trees: 3, min_rows_per_leaf: 1}"
    text = f"data: {data}\nlabel: fare\ntask: regression\nfeatures: {features}\nestimator: {estimator}\n"
    return parse_experiment(text, folder=str(folder))


def train(made: Experiment, settings: Settings) -> tuple[Trained, list[str]]:
    notes: list[str] = []
    return train_experiment(made, settings=settings, note=notes.append), notes


def test_a_prediction_takes_the_row_as_it_was_before_the_recipe(folder: Path, settings: Settings) -> None:
    features = "{km: numeric, far: numeric, hour: numeric, zone: categorical}"
    trained, notes = train(experiment(folder, "{recipe: split.yaml}", features), settings)
    assert "trained on the part 'train' of the split, evaluated on 'validation'" in notes
    inputs = trained.manifest.signature.inputs
    assert [(column.name, column.nullable) for column in inputs] == [("zone", False), ("km", True), ("pickup", False)]
    # What the table has beside them may be sent; what the recipe makes may not.
    assert set(trained.manifest.signature.ignored) == {"fare", "id"}
    model = load_model(trained.uri)
    answers = model.predict(
        model.decode(
            [
                {"zone": "NORTH", "km": 9, "pickup": "2024-05-02T09:00:00Z", "id": 7},
                {"zone": "north", "km": 9, "pickup": "2024-05-02T09:00:00Z"},
                {"zone": "north", "km": None, "pickup": "2024-05-02T09:00:00Z"},
                {"zone": "north", "km": 5, "pickup": "2024-05-02T09:00:00Z"},
            ]
        )
    )["predictions"][:, 0]
    assert answers[0] == answers[1]
    # The median that was filled in.
    assert answers[2] == answers[3]
    assert answers[0] > answers[2]
    # Real rows, as they stand in the file.
    assert model.samples[0] == {"zone": "south", "km": 1, "pickup": "2024-05-02T01:00:00Z"}


def test_rows_are_prepared_once_and_the_training_found_again(folder: Path, settings: Settings) -> None:
    made = experiment(folder, "{recipe: plain.yaml}")
    first, notes = train(made, settings)
    # The filter leaves out the rows of no distance and those where it is missing.
    kept = [i for i in range(80) if i % 7 != 3 and i % 10 > 0]
    assert f"prepared {len(kept)} rows by the recipe" in notes
    second, notes = train(made, settings)
    assert second.uri == first.uri
    assert not any(text.startswith("prepared") for text in notes)


def test_another_recipe_that_makes_the_same_rows_is_another_training(folder: Path, settings: Settings) -> None:
    features = "{km: numeric}"
    first, _ = train(experiment(folder, "{recipe: plain.yaml}", features), settings)
    text = (folder / "rides.csv").read_text().replace("id,zone,km,", "id,zone,distance,", 1)
    (folder / "renamed.csv").write_text(text)
    steps = STEPS.replace("steps:", "steps:\n  - rename: {distance: km}")
    (folder / "plain.yaml").write_text(f"source: renamed.csv{steps}")
    second, _ = train(experiment(folder, "{recipe: plain.yaml}", features), settings)
    assert [column.name for column in first.manifest.signature.inputs] == ["km"]
    assert [column.name for column in second.manifest.signature.inputs] == ["distance"]


def test_other_rows_to_evaluate_on_get_the_numbers_measured_on_those_to_train_on(
    folder: Path, settings: Settings
) -> None:
    named = experiment(folder, "{recipe: plain.yaml, evaluation: later.csv}")
    with with_prepared_rows(named, settings=settings, note=print) as made:
        assert made.data.evaluation is not None
        recipe = travelling_recipe(made.data.source)
        assert recipe is not None
        assert recipe.agrees_with(made.data.evaluation)


def test_rows_in_use_stay_when_their_source_changes(folder: Path, settings: Settings) -> None:
    made = experiment(folder, "{recipe: plain.yaml}")
    with with_prepared_rows(made, settings=settings, note=print) as first:
        assert isinstance(first.data.source, str)
        with (folder / "rides.csv").open("a") as file:
            file.write("99,North,4,2024-05-01T00:00:00,14\n")
        with with_prepared_rows(made, settings=settings, note=print) as second:
            assert second.data.source != first.data.source
        assert find_prepared(first.data.source) is not None


def test_the_experiment_may_name_the_rows(folder: Path, settings: Settings) -> None:
    (folder / "anywhere.yaml").write_text(STEPS)
    trained, _ = train(experiment(folder, "{recipe: anywhere.yaml, source: later.csv}"), settings)
    assert trained.rows < 30
    with pytest.raises(ConfigError, match=r"neither data.source nor the recipe"):
        train(experiment(folder, "{recipe: anywhere.yaml}"), settings)


def test_what_parts_the_rows_is_no_feature(folder: Path, settings: Settings) -> None:
    trained, _ = train(experiment(folder, "{recipe: split.yaml}"), settings)
    assert "split" not in {column.name for column in trained.manifest.graph_inputs}
    with pytest.raises(ConfigError, match="features names 'split'"):
        train(experiment(folder, "{recipe: split.yaml}", "{km: numeric, split: categorical}"), settings)


def test_contradictions_are_refused(folder: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"splits its rows, and data.evaluation names others"):
        train(experiment(folder, "{recipe: split.yaml, evaluation: later.csv}"), settings)
    with pytest.raises(ConfigError, match=r"section 'data' names no rows"):
        experiment(folder, "{read: {delimiter: ','}}")
    with pytest.raises(ConfigError, match="there is no recipe file"):
        train(experiment(folder, "{recipe: gone.yaml}"), settings)
    few = msgspec.structs.replace(experiment(folder, "{recipe: split.yaml}").data, source=str(folder / "one.csv"))
    (folder / "one.csv").write_text("id,zone,km,pickup,fare\n1,North,2,2024-05-01,8\n")
    with pytest.raises(ConfigError, match="no row is in the part"):
        train(msgspec.structs.replace(experiment(folder, "{recipe: split.yaml}"), data=few), settings)
