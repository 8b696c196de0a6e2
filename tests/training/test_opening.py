"""What an experiment gets wrong is told before anything is trained, by name and with the nearest one."""

import re
from pathlib import Path
from typing import Any

import pytest

from penstock.data.recipe.serving_input import serving_section
from penstock.errors import ConfigError, PenstockError
from penstock.estimators.run_config import RunConfig
from penstock.settings import Settings
from penstock.training.catalog import check_arguments, estimator_class
from penstock.training.experiment import Experiment, parse_experiment
from penstock.training.opening import OpenExperiment, open_experiment, open_tables

TABLE = "x,c,label\n" + "".join(f"{i},{'ab'[i % 2]},{'' if i % 10 == 3 else i * 2.5}\n" for i in range(40))
WHOLE = "x,c,label\n" + "".join(f"{i},{'ab'[i % 2]},{i * 2.5}\n" for i in range(40))


def opened(folder: Path, settings: Settings, rest: str, *, table: str = WHOLE) -> tuple[OpenExperiment, list[str]]:
    (folder / "t.csv").write_text(table)
    label = "" if "label:" in rest else "label: label\n"
    experiment: Experiment = parse_experiment(f"data: t.csv\n{label}{rest}\n", folder=str(folder))
    notes: list[str] = []
    with open_tables(experiment, settings=settings) as tables:
        found = open_experiment(experiment, tables, note=notes.append)
        found.make(model_dir=str(folder / "run"), config=RunConfig())
        found.training_input().examples(None)
    return found, notes


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (
            "estimator: {type: DNNRegressor, hidden_unit: [4]}",
            "no argument 'hidden_unit'; .*did you mean 'hidden_units'",
        ),
        ("estimator: {typ: DNNRegressor}", "no argument 'typ'; .*did you mean 'type'"),
        ("estimator: DNNRegresor", "no estimator 'DNNRegresor'; .*did you mean 'DNNRegressor'"),
        ("estimator: {type: DNNRegressor, hidden_units: x}", r"hidden_units is \['x'\]; expected sizes"),
        ("label: lable", "the label 'lable' is not a column of .*did you mean 'label'"),
        ("features: {y: auto}", "features names 'y', which the table does not have"),
        ("features: {x: numerik}", "treated as 'numerik'; .*did you mean 'numeric'"),
        ("features: {x: {as: numeric, scaling: robus}}", "'robus'; expected standard or robust; did you mean 'robust'"),
        ("features: {c: {as: embedding, dimensions: 3}}", "no option 'dimensions'; .*did you mean 'dimension'"),
        ("features: {x: {as: bucketized, boundary: [1]}}", "no option 'boundary'; .*did you mean 'boundaries'"),
        ("features: {x: drop, c: drop}", r"no column to learn from \('x', 'c' dropped\)"),
        ("training: {weight: labl}", "training.weight names 'labl'; .*did you mean 'label'"),
        ("serving: {renam: {}}", "no field 'renam'; .*did you mean 'rename'"),
        ("data: {source: t.csv, read: {types: {x: flaot}}}", "types is 'flaot'; .*did you mean 'float'"),
    ],
)
def test_a_misspelt_name_is_told_with_the_nearest(rest: str, message: str, tmp_path: Path, settings: Settings) -> None:
    if rest.startswith("data:"):
        (tmp_path / "t.csv").write_text(WHOLE)
        experiment = parse_experiment(f"{rest}\nlabel: label\n", folder=str(tmp_path))
        with pytest.raises(PenstockError, match=message), open_tables(experiment, settings=settings):
            pass
        return
    with pytest.raises(PenstockError, match=message):
        opened(tmp_path, settings, rest)


def test_rows_without_a_label_are_an_error_that_says_how_to_leave_them_out(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PenstockError, match=r"missing in 4 of 40 rows; .*label: \{name: label, missing: drop\}"):
        opened(tmp_path, settings, "", table=TABLE)
    found, notes = opened(tmp_path, settings, "label: {name: label, missing: drop}", table=TABLE)
    assert notes == ["the label 'label' is missing in 4 of 40 rows, which are left out"]
    assert found.training_input().missing_labels == "drop"


def test_infinite_labels_are_an_error(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(PenstockError, match="the label 'label' is infinite in 1 of 41 rows"):
        opened(tmp_path, settings, "label: {name: label, missing: drop}", table=TABLE + "9,a,inf\n")


def test_the_evaluation_table_needs_the_label_too(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "e.csv").write_text("x,c\n1,a\n2,b\n")
    (tmp_path / "t.csv").write_text(WHOLE)
    experiment = parse_experiment("data: {source: t.csv, evaluation: e.csv}\nlabel: label\n", folder=str(tmp_path))
    with (
        pytest.raises(PenstockError, match=r"the label 'label' is not a column of .*e\.csv"),
        open_tables(experiment, settings=settings),
    ):
        pass


def test_a_checked_section_is_taken_as_it_is() -> None:
    section = serving_section({"rename": {"y": "x"}})
    assert serving_section(section) is section


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_trees": "many"}, "n_trees is 'many'; expected `int | null`, got `str`"),
        ({"loss": "mse"}, "loss is 'mse'; expected one of mean_squared_error, mean_absolute_error"),
        ({"intervals": "wide"}, "intervals is 'wide'; expected"),
    ],
)
def test_an_argument_of_another_type_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_arguments(estimator_class("BoostedTreesRegressor"), arguments)
    check_arguments(estimator_class("DNNRegressor"), {"hidden_units": [8], "learning_rate": 1, "dropout": None})
