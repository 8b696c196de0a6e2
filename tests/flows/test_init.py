from pathlib import Path

import pytest

from penstock.data.table import open_table
from penstock.errors import AlreadyExistsError, DataError, NotFoundError, TrainingError, UsageError
from penstock.flows.init import model_name_of, write_example, write_experiment, write_trainer
from penstock.settings import Settings
from penstock.training.experiment import load_experiment

HOSTILE = ["plain", "with space", "yes", "1", "a: b # c", '"quoted"', "ünïcode", "- dash", "{brace}", "null", "it's"]


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    return write_example("housing", folder=tmp_path).paths[0]


def test_the_experiment_reads_back_with_every_column_of_the_table(houses: Path, settings: Settings) -> None:
    file = houses.with_name("houses.yaml")
    write_experiment(str(houses), label="MEDV", settings=settings, output=file)
    experiment = load_experiment(file)
    assert experiment.label.name == "MEDV"
    assert experiment.task == "regression"
    assert experiment.estimator.type == "DNNRegressor"
    table = open_table(str(houses), settings=settings)
    assert isinstance(experiment.features, dict)
    assert tuple(experiment.features) == table.schema.without("MEDV").names
    assert Path(str(experiment.data.source)).resolve() == houses.resolve()
    table.close()


def test_any_column_name_survives_the_file(tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "hostile.csv"
    header = ",".join('"' + name.replace('"', '""') + '"' for name in [*HOSTILE, "label"])
    rows = [",".join([*(str(i * k % 7) for k in range(len(HOSTILE))), str(i * 0.5)]) for i in range(20)]
    source.write_text("\n".join([header, *rows]) + "\n")
    file = tmp_path / "hostile.yaml"
    write_experiment(str(source), label="label", settings=settings, output=file)
    features = load_experiment(file).features
    assert isinstance(features, dict)
    assert list(features) == HOSTILE


def test_columns_that_teach_nothing_are_dropped_with_the_reason(tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "houses.csv"
    rows = [f"{i * 0.5},same,,house number {i * 7},{i * 1.5}" for i in range(40)]
    source.write_text("\n".join(["size,country,comment,address,price", *rows]) + "\n")
    file = tmp_path / "houses.yaml"
    write_experiment(str(source), label="price", settings=settings, output=file)
    features = load_experiment(file).features
    assert features == {"size": "auto", "country": "drop", "comment": "drop", "address": "drop"}
    text = file.read_text()
    assert "the same value in every row" in text
    assert "no value in any row" in text
    assert "nearly every row has its own" in text


@pytest.mark.parametrize(
    ("label", "values", "task"),
    [
        ("price", ["1.5", "2.5", "3.25"], "regression"),
        ("sold", ["true", "false", "true"], "binary_classification"),
        ("kind", ["a", "b", "c"], "multiclass_classification"),
        ("rooms", ["1", "2", "3"], "multiclass_classification"),
        ("visitors", [str(i) for i in range(30)], "regression"),
    ],
)
def test_the_label_tells_the_task(label: str, values: list[str], task: str, tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "table.csv"
    rows = [f"{i * 0.5},{values[i % len(values)]}" for i in range(90)]
    source.write_text("\n".join([f"x,{label}", *rows]) + "\n")
    file = tmp_path / "table.yaml"
    write_experiment(str(source), label=label, settings=settings, output=file)
    assert load_experiment(file).task == task


def test_a_label_that_is_not_there_is_answered_with_those_that_are(houses: Path, settings: Settings) -> None:
    with pytest.raises(DataError, match=r"'PRICE' is not a column of .*housing.csv; it has CRIM, ZN"):
        write_experiment(str(houses), label="PRICE", settings=settings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x,y\n", "no rows"),
        ("x,y\n1,2\n", "2 in its only row"),
        ("x,y\n1,\n2,\n", "no value in any row"),
        ("x,y\n1,a\n2,a\n", "'a' in every row"),
        ("y\n1\n2\n", "no column besides the label"),
    ],
)
def test_a_table_that_nothing_can_be_learned_from_is_refused(
    content: str, message: str, tmp_path: Path, settings: Settings
) -> None:
    source = tmp_path / "table.csv"
    source.write_text(content)
    with pytest.raises((DataError, TrainingError), match=message):
        write_experiment(str(source), label="y", settings=settings, output=tmp_path / "table.yaml")
    assert not (tmp_path / "table.yaml").exists()


def test_nothing_is_overwritten_unasked(houses: Path, settings: Settings) -> None:
    file = houses.with_name("houses.yaml")
    file.write_text("mine")
    with pytest.raises(AlreadyExistsError, match="--overwrite"):
        write_experiment(str(houses), label="MEDV", settings=settings, output=file)
    assert file.read_text() == "mine"
    write_experiment(str(houses), label="MEDV", settings=settings, output=file, overwrite=True)
    assert load_experiment(file).label.name == "MEDV"


def test_a_trainer_package_is_python_that_names_the_tables_columns(houses: Path, settings: Settings) -> None:
    folder = houses.parent / "my_trainer"
    written = write_trainer(str(houses), label="MEDV", settings=settings, output=folder)
    text = (folder / "task.py").read_text()
    compile(text, "task.py", "exec")
    assert '"CRIM"' in text
    assert '"MEDV"' in text
    assert "my_trainer.task" in written.next_command


def test_a_trainer_packages_name_must_be_a_modules(houses: Path, settings: Settings) -> None:
    with pytest.raises(UsageError, match="name of a Python package"):
        write_trainer(str(houses), label="MEDV", settings=settings, output=houses.parent / "my-trainer")


def test_an_unknown_example_is_answered_with_the_known_one(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="housing"):
        write_example("mnist", folder=tmp_path)


@pytest.mark.parametrize(("stem", "name"), [("housing", "housing"), ("2017-sales", "model_2017_sales"), ("a b", "a_b")])
def test_a_models_name_is_made_from_the_files(stem: str, name: str) -> None:
    assert model_name_of(stem) == name
