import pytest

from penstock.data.recipe.check import CheckedRecipe, check_recipe
from penstock.data.recipe.recipe import Recipe
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.serving import serving_plan
from penstock.data.schema import Column, DataType, Schema
from penstock.errors import DataError

RIDES = Schema(
    (
        Column(name="id", type=DataType.INTEGER),
        Column(name="zone", type=DataType.STRING, nullable=True, null_marks=("?",)),
        Column(name="fare", type=DataType.FLOAT, nullable=True, unit="dollars"),
        Column(name="km", type=DataType.FLOAT),
        Column(name="pickup", type=DataType.TIMESTAMP),
        Column(name="name", type=DataType.STRING),
    )
)
ZONES = Schema(
    (
        Column(name="zone", type=DataType.STRING),
        Column(name="people", type=DataType.INTEGER),
        Column(name="name", type=DataType.STRING),
    )
)
START = Recipe(source="rides")


def checked(recipe: Recipe) -> CheckedRecipe:
    return check_recipe(recipe, source=RIDES, tables={"zones": ZONES})


def test_columns_are_known_after_each_step() -> None:
    found = checked(START.drop("name").derive(tax="fare * 0.1", id="float(id)").join("zones", "zone", how="left"))
    assert [step.place for step in found.steps] == ["step 1 (drop)", "step 2 (derive)", "step 3 (join)"]
    assert found.schema.names == ("id", "zone", "fare", "km", "pickup", "tax", "people", "name")
    assert found.schema["id"].type is DataType.FLOAT
    assert found.schema["people"].nullable
    assert found.schema["fare"] == RIDES["fare"]


def test_a_renamed_column_keeps_its_facts() -> None:
    assert checked(START.rename({"fare": "price"})).schema["price"].unit == "dollars"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            START.filter("km > 1").select("id", "fair"),
            "step 2 (select): there is no column 'fair'; the table has id, zone,",
        ),
        (
            START.derive(x="zone + 1"),
            "step 1 (derive): expression 'zone + 1', character 1: argument 1 (x) of add(…) is zone",
        ),
        (START.filter("fare"), "step 1 (filter): expression 'fare' is of type float; a condition is true or false"),
        (START.rename({"fare": "km"}), "step 1 (rename): would make a second column 'km'"),
        (START.select("id", "id"), "step 1 (select): names column 'id' twice"),
        (START.drop(*RIDES.names), "step 1 (drop): would leave no column"),
        (START.trim("fare"), "step 1 (trim): needs column 'fare' to be string, but it is float; cast it before"),
        (START.clip({"zone": {"low": 1}}), "step 1 (clip): needs column 'zone' to be integer or float"),
        (
            START.fill({"pickup": {"statistic": "mean"}}),
            "step 1 (fill): column 'pickup' is timestamp, which has no mean",
        ),
        (START.fill({"fare": "none"}), "step 1 (fill): expression"),
        (START.replace({"fare": {"a": 1}}), "step 1 (replace): expression"),
        (START.join("zones", {"id": "zone"}), "column 'id' is integer here, but 'zone' of the other table is string"),
        (START.join("zones", {"zone": "zon"}), "step 1 (join): table zones: there is no column 'zon'"),
        (START.join("zones", "zone", suffix=""), "would make two columns 'name'"),
        (START.union("zones").rename({"people": "id"}), "step 2 (rename): would make a second column 'id'"),
        (START.unpivot("fare", "zone"), "needs columns of one type, not fare (float), zone (string)"),
        (
            START.aggregate({"x": "sum(zone)"}),
            "step 1 (aggregate): sum(zone) is of a string column; expected float or integer",
        ),
        (START.aggregate({"zone": "count()"}, by="zone"), "would make a second column 'zone'"),
        (START.window({"fare": "lag(km)"}, order="pickup"), "would make a second column 'fare'"),
        (START.split("time", by="km"), "needs column 'km' to be timestamp"),
        (START.split(column="zone"), "would make a second column 'zone'"),
        (START.one_hot("zone"), "the columns that step 'one_hot' makes are not known before its values are counted"),
        (START.flatten("zone", {"fare": "float"}), "would make a second column 'fare'"),
        (START.explode("fare"), "needs column 'fare' to be string"),
        (START.extract("code", "zone", "(a"), "expected ')'"),
        (START.bucketize("fare", [3, 1]), "do not rise"),
        (START.partition_by("part"), "output, partition_by: there is no column 'part'"),
        (START.select("id").partition_by("id"), "nothing is left to write"),
    ],
)
def test_a_step_that_does_not_fit_is_named_by_number_and_name(recipe: Recipe, message: str) -> None:
    with pytest.raises(DataError) as caught:
        checked(recipe)
    assert message in str(caught.value)


def test_row_wise_steps_travel_and_the_others_say_what_to_send() -> None:
    recipe = (
        START.filter("fare > 0")
        .drop("name")
        .derive(hour="hour(pickup)")
        .window({"before": "lag(fare)"}, by="zone", order="pickup")
        .join("zones", "zone", how="left")
        .derive(change="fare - before", label="upper(name)")
        .split("stratified", by="zone")
        .select("change", "hour", "label", "people", "split")
    )
    plan = serving_plan(checked(recipe))

    assert plan.program.keeps_rows
    assert set(plan.program.input_schema.names) == {"fare", "pickup", "before", "name", "people"}
    assert plan.program.output_schema.names == ("change", "hour", "label", "people")
    assert {item.column.name: item.reason for item in plan.sent} == {
        "before": "step 4 (window) computes it from other rows",
        "people": "step 5 (join) looks it up in zones",
        "name": "step 5 (join) looks it up in zones",
    }
    assert [step.place for step in plan.left_out] == ["step 1 (filter)", "step 7 (split)"]


def test_a_sent_column_that_a_raw_one_has_the_name_of_gets_another() -> None:
    recipe = (
        START.derive(short="slice(name, 0, 3)").drop("name").join("zones", "zone", how="left").select("short", "name")
    )
    plan = serving_plan(checked(recipe))
    assert set(plan.program.input_schema.names) == {"name", "name_join"}
    assert plan.sent[0].column.name == "name_join"


def test_after_new_rows_are_made_callers_send_those() -> None:
    recipe = START.derive(x="fare / km").aggregate({"mean": "mean(x)"}, by="zone").derive(y="mean * 2")
    plan = serving_plan(checked(recipe), ["y"])
    assert plan.program.input_schema.names == ("mean",)
    assert plan.sent[0].reason == "step 2 (aggregate) makes new rows of many"
    assert [step.place for step in plan.unused] == ["step 1 (derive)"]


def test_a_plan_needs_its_statistics() -> None:
    with pytest.raises(DataError, match=r"step 1 \(fill\) needs statistics of the rows"):
        serving_plan(checked(START.fill({"fare": {"statistic": "mean"}})))


def test_a_program_keeps_only_what_its_outputs_need() -> None:
    program = serving_plan(checked(START.derive(a="fare * 2", b="a + km", c="upper(zone)"))).program.narrowed(["b"])
    assert program.input_schema.names == ("fare", "km")
    assert program.output_schema.names == ("b",)
    assert RowProgram.from_json(program.to_json()) == program
