"""From raw rows through a recipe to a bundle: a served prediction takes the row as it was before the recipe."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from tests.export.models import weighted_sum

from penstock.bundle.manifest import Label, Task
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.travel import program_in_front
from penstock.data.schema import Schema
from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.export.write import BundleFacts, write_bundle
from penstock.feature_column import numeric_column
from penstock.flows.prepare import prepare
from penstock.runtime.model import load_model
from penstock.settings import Settings

FACTS = BundleFacts(task=Task.REGRESSION, estimator="WeightedSum", label=Label(name="y"))


@pytest.fixture
def prepared(tmp_path: Path, settings: Settings) -> Path:
    raw = tmp_path / "raw.csv"
    rows = [f"{i},{'' if i % 9 == 0 else i * 0.5},{i % 5 + 1},{'card' if i % 3 else 'cash'}" for i in range(60)]
    raw.write_text("id,fare,km,payment\n" + "\n".join(rows) + "\n")
    recipe = (
        Recipe(source=str(raw))
        .filter("km > 1")
        .fill({"fare": {"statistic": "median"}})
        .derive(rate="fare / km", cash="if(payment == 'cash', 1, 0)")
        .window({"before": "lag(fare)"}, order="id")
        .fill({"before": 0})
        .split("key", by="id")
        .drop("payment")
    )
    prepare(recipe, output=str(tmp_path / "prepared"), settings=settings)
    return tmp_path / "prepared"


def test_a_bundle_takes_the_raw_row_and_answers_as_for_the_prepared_one(
    prepared: Path, settings: Settings, tmp_path: Path
) -> None:
    names = ("fare", "rate", "cash", "before")
    with open_table(str(prepared), settings=settings) as table:
        rows = table.read(names)
    model = weighted_sum([numeric_column(name) for name in names], dict(rows.arrays))
    program = program_in_front(str(prepared), Schema(model.graph_inputs))
    assert program is not None

    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=rows, recipe=program)

    served = load_model(str(tmp_path / "bundle"))
    # `before` looks at other rows, so callers send it.
    assert {column.name for column in served.manifest.signature.inputs} == {"fare", "km", "payment", "before"}
    raw = (
        duckdb.connect()
        .execute(
            "SELECT fare, km, payment, coalesce(lag(coalesce(fare, (SELECT median(fare) FROM t WHERE km > 1))) OVER "
            "(ORDER BY id), 0) AS before FROM t WHERE km > 1 ORDER BY id".replace(
                "FROM t", f"FROM read_csv('{tmp_path / 'raw.csv'}')"
            )
        )
        .fetchall()
    )
    instances = [dict(zip(("fare", "km", "payment", "before"), row, strict=True)) for row in raw]
    answers = served.predict(served.decode(instances))["predictions"]
    np.testing.assert_allclose(np.sort(answers, axis=0), np.sort(model.predict(rows)["predictions"], axis=0), rtol=1e-5)
    assert any(instance["fare"] is None for instance in instances)


def test_a_serving_section_stands_before_the_recipe(prepared: Path, settings: Settings) -> None:
    with open_table(str(prepared), settings=settings) as table:
        inputs = table.schema.select(("rate",))
    section = {"rename": {"price": "fare"}, "rescale": {"fare": {"multiply": 0.01}}}
    program = program_in_front(str(prepared), inputs, serving=section)
    assert program is not None
    assert set(program.input_schema.names) == {"price", "km"}
    assert program.output_schema.names == ("rate",)


def test_the_parts_of_a_split_are_prepared_by_the_same_recipe(prepared: Path, settings: Settings) -> None:
    with open_table(str(prepared), settings=settings) as table:
        inputs = table.schema.select(("rate",))
    assert program_in_front([str(prepared)], inputs) == program_in_front(str(prepared), inputs)
    assert program_in_front(str(prepared.parent / "raw.csv"), inputs) is None


def test_a_model_cannot_take_the_part_that_a_row_belongs_to(prepared: Path, settings: Settings) -> None:
    with open_table(str(prepared), settings=settings) as table:
        inputs = table.schema.select(("rate", "split"))
    with pytest.raises(DataError, match="the model takes 'split'"):
        program_in_front(str(prepared), inputs)
