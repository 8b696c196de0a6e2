import numpy as np
import pytest

from penstock.data.columns import ColumnBatch
from penstock.data.recipe.projection import Assignment, Projection, kept, with_columns
from penstock.data.recipe.row_program import RowProgram
from penstock.data.recipe.serving_input import program_of_function, program_of_section
from penstock.data.schema import MISSING_STRING, Column, DataType, Schema
from penstock.errors import ConfigError, ExpressionError, UsageError
from penstock.serving_input import (
    ServingInputReceiver,
    build_raw_serving_input_receiver_fn,
    expand_dims,
    if_else,
    log,
    placeholder,
    strip,
    upper,
)

MODEL = Schema(
    (
        Column(name="RM", type=DataType.FLOAT, unit="rooms"),
        Column(name="TAX", type=DataType.INTEGER),
        Column(name="TOWN", type=DataType.STRING, nullable=True, null_marks=("?",)),
    )
)


def one_row(program: RowProgram, **values: object) -> dict[str, object]:
    arrays = {
        name: np.array([values[name]], dtype=object if isinstance(values[name], str) else np.float64)
        for name in program.input_schema.names
    }
    result = program.apply(ColumnBatch(program.input_schema, arrays))
    return {name: array[0] for name, array in result.arrays.items()}


def test_a_serving_function_of_2017_hands_placeholders_on() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        placeholders = {name: placeholder("float32", [None]) for name in ("RM", "TAX")}
        placeholders["TOWN"] = placeholder("string", [None])
        features = {name: expand_dims(tensor, -1) for name, tensor in placeholders.items()}
        return ServingInputReceiver(features, placeholders)

    program = program_of_function(serving_input_fn, MODEL)

    assert program.input_schema["TOWN"] == MODEL["TOWN"]
    assert program.input_schema["RM"] == MODEL["RM"]
    assert program.input_schema["TAX"].type is DataType.FLOAT
    assert one_row(program, RM=6.5, TAX=300.0, TOWN="A") == {"RM": 6.5, "TAX": 300.0, "TOWN": "A"}


def test_a_renamed_and_rescaled_column_reaches_the_model_under_its_own_name() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        rooms, tax, town = placeholder(float), placeholder("int64"), placeholder(str)
        features = {"RM": rooms / 10, "TAX": tax * 2, "TOWN": upper(strip(town)), "UNUSED": log(rooms)}
        return ServingInputReceiver(features, {"ROOMS": rooms, "tax": tax, "town": town})

    program = program_of_function(serving_input_fn, MODEL)

    assert program.input_schema.names == ("ROOMS", "tax", "town")
    assert one_row(program, ROOMS=65.0, tax=150.0, town=" a ") == {"RM": 6.5, "TAX": 300.0, "TOWN": "A"}


def test_a_sent_column_may_be_missing_only_where_the_model_takes_missing_values() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        rooms, town = placeholder(float), placeholder(str)
        return ServingInputReceiver({"RM": rooms, "TAX": rooms, "TOWN": town}, {"RM": rooms, "TOWN": town})

    program = program_of_function(serving_input_fn, MODEL)

    assert not program.input_schema["RM"].nullable
    assert program.input_schema["TOWN"].nullable
    assert one_row(program, RM=1.0, TOWN=MISSING_STRING)["TOWN"] == MISSING_STRING


def test_the_raw_serving_function_takes_types_columns_and_arrays() -> None:
    features = {"RM": np.zeros(2, np.float32), "TAX": "int64", "TOWN": MODEL["TOWN"], "MORE": float}
    program = program_of_function(build_raw_serving_input_receiver_fn(features), MODEL)

    assert program.input_schema.names == ("RM", "TAX", "TOWN")
    assert program.input_schema["TAX"].type is DataType.INTEGER


def test_a_single_placeholder_is_named_input() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        sent = placeholder(float)
        return ServingInputReceiver({"RM": sent, "TAX": sent}, sent)

    assert program_of_function(serving_input_fn, MODEL.without("TOWN")).input_schema.names == ("input",)


def test_a_program_survives_its_json_form() -> None:
    program = program_of_section({"rename": {"rooms": "RM"}, "rescale": {"RM": {"multiply": 0.1, "add": -1}}}, MODEL)
    again = RowProgram.from_json(program.to_json())

    assert again == program
    assert one_row(again, rooms=65.0, TAX=1.0, TOWN="x")["RM"] == 65.0 * 0.1 + -1.0


def test_a_section_derives_from_columns_of_declared_types() -> None:
    section = {"inputs": {"beds": "float", "baths": "float"}, "derive": {"RM": "beds + coalesce(baths, 0)"}}
    program = program_of_section(section, MODEL)

    assert set(program.input_schema.names) == {"beds", "baths", "TAX", "TOWN"}
    assert one_row(program, beds=3.0, baths=np.nan, TAX=1.0, TOWN="x")["RM"] == 3.0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"rename": {"rooms": "RMM"}}, "rename names 'RMM', but the model takes RM, TAX, TOWN; did you mean 'RM'?"),
        ({"derive": {"RM": "beds * 2"}}, "derived from 'beds', which is no column of the model; name its type"),
        ({"derive": {"RM": "TAX"}, "rename": {"r": "RM"}}, "column 'RM' is derived and also renamed"),
        ({"rename": {"a": "RM", "b": "RM"}}, "rename makes column 'RM' twice"),
        ({"rename": {"TAX": "RM"}}, "nothing is left for the model's 'TAX'"),
        ({"derive": {"RM": "TOWN"}}, "column 'RM' would be string, computed as TOWN; the model takes float"),
        ({"rescale": {"RM": {"factor": 2}}}, "no field 'factor'; it has multiply, add"),
        ({"rename": ["RM"]}, "Expected `object`"),
    ],
)
def test_a_section_that_does_not_fit_says_what_is_wrong(section: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        program_of_section(section, MODEL)
    assert message in str(caught.value)


def test_a_missing_feature_is_named_with_what_comes_close() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        rooms = placeholder(float)
        return ServingInputReceiver({"RMS": rooms}, {"RM": rooms})

    with pytest.raises(UsageError, match=r"no feature 'RM', which the model takes; did you mean 'RMS'\?"):
        program_of_function(serving_input_fn, MODEL)


def test_a_placeholder_that_is_not_sent_is_refused() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        rooms = placeholder(float)
        return ServingInputReceiver({"RM": rooms + placeholder(float)}, {"RM": rooms})

    with pytest.raises(UsageError, match="a placeholder that is not in receiver_tensors"):
        program_of_function(serving_input_fn, MODEL.select(("RM",)))


def test_python_conditions_on_placeholders_are_refused_with_a_way_out() -> None:
    def serving_input_fn() -> ServingInputReceiver:
        rooms = placeholder(float)
        return ServingInputReceiver({"RM": rooms if rooms > 3 else 3}, {"RM": rooms})  # type: ignore[dict-item]

    with pytest.raises(ExpressionError, match="if_else"):
        program_of_function(serving_input_fn, MODEL.select(("RM",)))

    def mended() -> ServingInputReceiver:
        rooms = placeholder(float)
        return ServingInputReceiver({"RM": if_else(rooms > 3, rooms, 3)}, {"RM": rooms})

    assert one_row(program_of_function(mended, MODEL.select(("RM",))), RM=2.0) == {"RM": 3.0}


def test_what_a_step_leaves_out_does_not_come_back() -> None:
    schema = Schema((Column(name="a", type=DataType.FLOAT), Column(name="b", type=DataType.FLOAT)))
    batch = ColumnBatch(schema, {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])})
    only_b = Projection(kept(schema.select(("b",))))
    program = RowProgram(schema, (only_b, with_columns(only_b.schema, {"a": "b * 2"}), only_b))
    assert program.apply(batch).arrays.keys() == {"b"}
    swapped = Projection(
        (
            Assignment(Column(name="a", type=DataType.FLOAT), "b"),
            Assignment(Column(name="b", type=DataType.FLOAT), "a"),
        )
    )
    turned = RowProgram(schema, (swapped,)).apply(batch)
    assert (turned["a"].tolist(), turned["b"].tolist()) == ([3.0, 4.0], [1.0, 2.0])
