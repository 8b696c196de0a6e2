from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from penstock.data.schema import Column, DataType, Schema
from penstock.errors import DataError, UsageError
from penstock.estimators.array_input import numpy_input_fn, pandas_input_fn
from penstock.estimators.batches import FixedBatches, FullBatch, ShuffledBatches
from penstock.estimators.examples import read_examples
from penstock.estimators.row_split import split_rows
from penstock.estimators.table_input import table_input_fn, table_input_fns


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "houses.csv"
    lines = [f"{i},{i % 3},{'yes' if i % 2 else 'no'},{1 + i % 2}" for i in range(20)]
    path.write_text("price,rooms,sold,weight\n" + "\n".join(lines) + "\n")
    return str(path)


def test_whole_columns_are_seen_whole_by_every_step() -> None:
    examples = read_examples(lambda: ({"x": [1, 2, 3], "kind": ["a", "b", None]}, [1.0, 2.0, 3.0]))
    assert examples.features.schema["x"].type is DataType.INTEGER
    assert examples.features.schema["kind"].nullable
    assert isinstance(examples.batching.order(3, seed=0), FullBatch)


def test_a_pandas_label_keeps_its_name() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "price": [3.0, 4.0]})
    examples = read_examples(lambda: (frame[["x"]], frame["price"]))
    assert examples.label == "price"
    examples = read_examples(pandas_input_fn(frame[["x"]], frame["price"], batch_size=1))
    assert examples.label == "price"
    assert examples.batching.order(2, seed=0).last_step == 2


def test_numpy_input_fn_shuffles_batches_of_the_size_asked_for() -> None:
    examples = read_examples(numpy_input_fn({"x": np.arange(10.0)}, np.arange(10.0), batch_size=4, num_epochs=None))
    order = examples.batching.order(10, seed=0)
    assert isinstance(order, ShuffledBatches)
    assert order.batch_size == 4
    assert order.last_step is None


def test_batches_of_a_generator_are_steps_in_its_order() -> None:
    def batches() -> Any:
        for first in (0, 4, 8):
            part = np.arange(first, min(first + 4, 10), dtype=float)
            yield {"x": part}, part * 10

    examples = read_examples(batches)
    order = examples.batching.order(examples.features.rows, seed=0)
    assert isinstance(order, FixedBatches)
    # The last, shorter batch is a remainder that no step takes.
    assert examples.features["x"].tolist() == list(range(8))
    assert order.last_step == 2


def test_an_endless_generator_is_read_as_far_as_it_is_needed() -> None:
    def batches() -> Any:
        while True:
            yield {"x": np.zeros(2)}, np.zeros(2)

    assert read_examples(batches, most_batches=5).features.rows == 10


def test_a_schema_picks_columns_and_holds_them_to_their_types() -> None:
    schema = Schema((Column(name="x", type=DataType.FLOAT),))
    assert read_examples(lambda: {"x": [1], "y": [2]}, schema=schema).features.schema.names == ("x",)
    with pytest.raises(DataError, match="'x' holds string values; expected float"):
        read_examples(lambda: {"x": ["a"]}, schema=schema)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (7, UsageError, "returned a int; expected"),
        (({"x": [1]}, [1], [2]), UsageError, "returned 3 values"),
        (({"x": [1, 2]}, [1]), DataError, "2 rows of features and 1 labels"),
        (iter(()), DataError, "no rows"),
        (({"x": [1, 2], "y": [1]}, [1, 2]), DataError, "differ in length: x 2, y 1"),
    ],
)
def test_what_cannot_be_read_is_explained(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_examples(lambda: value)


def test_input_fn_must_be_a_function() -> None:
    with pytest.raises(UsageError, match="input_fn is a dict; expected a function"):
        read_examples({"x": [1]})  # type: ignore[arg-type]


def test_a_table_gives_features_labels_weights_and_its_digest(table: str) -> None:
    examples = read_examples(table_input_fn(table, label="price", weight="weight"))
    assert examples.features.schema.names == ("rooms", "sold")
    assert examples.labels is not None
    assert examples.weights is not None
    assert examples.labels.tolist() == list(range(20))
    assert examples.weights.tolist() == [1.0, 2.0] * 10
    assert examples.data_digest is not None
    assert examples.label == "price"


def test_a_boolean_label_keeps_its_words(table: str) -> None:
    examples = read_examples(table_input_fn(table, label="sold", features=["rooms"]))
    assert examples.labels is not None
    assert examples.labels[:2].tolist() in (["no", "yes"], [False, True])
    assert examples.features.schema.names == ("rooms",)


def test_a_split_parts_the_rows_by_seed(table: str) -> None:
    sides = [read_examples(fn) for fn in table_input_fns(table, label="price", evaluation=0.25, seed=3)]
    prices = [set(side.labels.tolist()) for side in sides if side.labels is not None]
    assert [len(side) for side in prices] == [15, 5]
    assert prices[0] | prices[1] == set(range(20))
    again = read_examples(table_input_fns(table, label="price", evaluation=0.25, seed=3)[1])
    other = read_examples(table_input_fns(table, label="price", evaluation=0.25, seed=4)[1])
    assert again.labels is not None
    assert other.labels is not None
    assert set(again.labels.tolist()) == prices[1] != set(other.labels.tolist())


def test_a_label_that_is_not_there_is_named_with_a_suggestion(table: str) -> None:
    with pytest.raises(DataError, match=r"no column 'prize'.*did you mean 'price'"):
        read_examples(table_input_fn(table, label="prize"))


def test_a_share_outside_0_and_1_is_refused(table: str) -> None:
    with pytest.raises(UsageError, match="evaluation is 20"):
        table_input_fns(table, label="price", evaluation=20)


def test_both_sides_of_a_split_have_rows() -> None:
    for count in (2, 3, 10):
        training, evaluation = split_rows(count, 0.01, seed=0)
        assert len(training) + len(evaluation) == count
        assert len(evaluation) >= 1
    with pytest.raises(DataError, match="at least 2"):
        split_rows(1, 0.5, seed=0)


def test_a_weight_column_that_is_not_there_is_named() -> None:
    examples = read_examples(lambda: ({"x": np.arange(3.0), "weight": np.ones(3)}, np.arange(3.0)))
    with pytest.raises(DataError, match="weight column 'wieght' is not in the data; it has x, weight"):
        examples.weighted_by("wieght")
