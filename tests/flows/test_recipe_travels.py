"""From raw rows through a recipe to a bundle: a served prediction takes the row as it was before the recipe."""

import math
from pathlib import Path

import duckdb
import numpy as np
import pytest
from tests.export.models import weighted_sum

from penstock.bundle.manifest import Label, Task
from penstock.data.profile import TableProfile
from penstock.data.profiler import profile_table
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.travel import travelling_recipe
from penstock.data.schema import Schema
from penstock.data.table import open_table
from penstock.errors import DataError
from penstock.estimators.serving_side import serving_side
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
    recipe = travelling_recipe(str(prepared))
    assert recipe is not None
    side = serving_side(Schema(model.graph_inputs), rows, recipe=recipe)

    write_bundle(model, uri=str(tmp_path / "bundle"), facts=FACTS, samples=rows, recipe=side.program, sent=side.sent)

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


def test_parity_is_asked_of_raw_rows(prepared: Path, settings: Settings) -> None:
    recipe = travelling_recipe(str(prepared))
    assert recipe is not None
    with open_table(str(prepared), settings=settings) as table:
        rows = table.read(("rate", "before"))
    side = serving_side(rows.schema, rows, recipe=recipe)
    assert side.program is not None
    assert side.sent is not None
    assert side.sent.schema == side.program.input_schema
    raw = [(i, None if i % 9 == 0 else i * 0.5, i % 5 + 1) for i in range(60)]
    # Real rows that the filter keeps, as they stand in the file.
    expected = [(math.nan if fare is None else fare, km) for _, fare, km in raw if km > 1]
    np.testing.assert_array_equal(np.stack([side.sent["fare"], side.sent["km"]], axis=1), expected)
    assert set(side.sent["before"].tolist()) <= set(rows["before"].tolist())


def test_callers_may_send_the_columns_that_the_model_leaves_out(prepared: Path, settings: Settings) -> None:
    recipe = travelling_recipe(str(prepared))
    assert recipe is not None
    with open_table(str(prepared), settings=settings) as table:
        rows = table.read(("rate",))
    side = serving_side(rows.schema, rows, recipe=recipe)
    assert side.unused == ("id", "payment", "before")


def test_the_profile_is_of_what_callers_send(prepared: Path, settings: Settings) -> None:
    recipe = travelling_recipe(str(prepared))
    assert recipe is not None
    with open_table(str(prepared), settings=settings) as table:
        rows = table.read(("rate", "km", "before"))
        trained_on = profile_table(table)
    side = serving_side(rows.schema, rows, recipe=recipe)
    profile = TableProfile.from_json(side.profile(trained_on.to_json()))
    # `fare` was filled, so the prepared column says nothing about the one that is sent.
    assert "fare" not in profile
    assert profile["km"] == trained_on["km"]
    assert "rate" in profile


def test_a_serving_section_stands_before_the_recipe(prepared: Path, settings: Settings) -> None:
    recipe = travelling_recipe(str(prepared))
    with open_table(str(prepared), settings=settings) as table:
        rows = table.read(("rate",))
    section = {"rename": {"price": "fare"}, "rescale": {"fare": {"multiply": 0.01}}}
    side = serving_side(rows.schema, rows, section=section, recipe=recipe)
    assert side.program is not None
    assert side.sent is not None
    assert set(side.program.input_schema.names) == {"price", "km"}
    assert side.program.output_schema.names == ("rate",)
    known = np.isfinite(side.sent["price"])
    np.testing.assert_allclose(
        side.program.apply(side.sent)["rate"][known], (side.sent["price"] * 0.01 / side.sent["km"])[known]
    )


def test_the_parts_of_a_split_are_prepared_by_the_same_recipe(prepared: Path) -> None:
    assert travelling_recipe([str(prepared)]) is not None
    assert travelling_recipe(str(prepared.parent / "raw.csv")) is None


def test_rows_prepared_with_other_numbers_are_told_apart(prepared: Path, settings: Settings, tmp_path: Path) -> None:
    recipe = travelling_recipe(str(prepared))
    assert recipe is not None
    assert recipe.agrees_with(str(prepared))
    again = recipe.note.steps.fill({"rate": 0.0})
    prepare(again, output=str(tmp_path / "again"), settings=settings)
    assert not recipe.agrees_with(str(tmp_path / "again"))


def test_a_model_cannot_take_the_part_that_a_row_belongs_to(prepared: Path, settings: Settings) -> None:
    recipe = travelling_recipe(str(prepared))
    assert recipe is not None
    with open_table(str(prepared), settings=settings) as table:
        inputs = table.schema.select(("rate", "split"))
    with pytest.raises(DataError, match="the model takes 'split'"):
        recipe.program(inputs)
