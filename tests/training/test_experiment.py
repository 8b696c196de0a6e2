from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.training.experiment import load_experiment, parse_experiment

SMALL = "data: houses.csv\nlabel: MEDV\n"


def test_short_forms_name_source_label_and_estimator() -> None:
    experiment = parse_experiment(SMALL + "estimator: LinearRegressor\n")
    assert experiment.data.source == "houses.csv"
    assert experiment.label.name == "MEDV"
    assert experiment.estimator.type == "LinearRegressor"


def test_arguments_of_an_estimator_stand_beside_its_type() -> None:
    experiment = parse_experiment(SMALL + "estimator: {type: DNNRegressor, hidden_units: [10, 10], dropout: 0.1}\n")
    assert experiment.estimator.parameters == {"hidden_units": [10, 10], "dropout": 0.1}


def test_a_number_may_be_written_with_an_exponent_and_no_point() -> None:
    experiment = parse_experiment(SMALL + "estimator: {type: DNNRegressor, learning_rate: 1e-4, weight_decay: .5E+1}\n")
    assert experiment.estimator.parameters == {"learning_rate": 1e-4, "weight_decay": 5.0}
    assert parse_experiment(SMALL + "estimator: {type: DNNRegressor, kept: e-4}").estimator.parameters == {
        "kept": "e-4"
    }


def test_words_that_yaml_takes_for_truth_may_name_classes() -> None:
    text = "data: a.csv\nlabel: sold\nestimator: {type: DNNClassifier, batch_norm: yes, class_weight: {yes: 2, no: 1}}"
    assert parse_experiment(text).estimator.parameters == {"batch_norm": True, "class_weight": {"yes": 2, "no": 1}}


def test_relative_sources_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    file = tmp_path / "houses.yaml"
    file.write_text("data: {source: [a.csv, gs://bucket/b.csv], evaluation: /abs/c.csv}\nlabel: MEDV\n")
    data = load_experiment(file).data
    assert data.source == [str(tmp_path / "a.csv"), "gs://bucket/b.csv"]
    assert data.evaluation == "/abs/c.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no experiment"),
        ("data: [", "is not YAML"),
        ("data: a.csv\n", "missing required field `label`"),
        (SMALL + "trainig: {}\n", "has no field 'trainig'.*did you mean 'training'"),
        (SMALL + "training: {max_step: 3}\n", "section 'training' has no field 'max_step'.*did you mean 'max_steps'"),
        (SMALL + "training: {max_steps: many}\n", "training.max_steps"),
        (SMALL + "training: {max_steps: 0}\n", "expected at least 1"),
        (SMALL + "training: {batch_size: -1}\n", "expected at least 1, or all"),
        (SMALL + "split: {evaluation: 1.5}\n", "share of the rows between 0 and 1"),
        (SMALL + "task: clustering\n", "task"),
    ],
)
def test_a_wrong_field_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_experiment(text)


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="penstock init"):
        load_experiment(tmp_path / "none.yaml")
