from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.runtime.bundles import linear_bundle, mixed_bundle

from penstock.data.schema import Column, DataType
from penstock.errors import BundleError, NotFoundError
from penstock.runtime.model import load_model


def test_a_bundle_predicts(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle", offset=0.5))
    outputs = model.predict(model.decode([{"A": 1, "B": 2, "C": 3}, {"C": 0, "B": 0, "A": "4"}]))
    assert list(outputs) == ["predictions"]
    assert outputs["predictions"].dtype == np.float32
    assert outputs["predictions"].tolist() == [[321.5], [4.5]]


def test_row_form_and_column_form_agree(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle"))
    by_row = model.predict(model.decode([{"A": 1, "B": 2, "C": 3}, {"A": 4, "B": 5, "C": 6}]))
    by_column = model.predict(model.decode_columns({"A": [1, 4], "B": [2, 5], "C": [3, 6]}))
    np.testing.assert_array_equal(by_row["predictions"], by_column["predictions"])


def test_every_type_reaches_the_graph_as_it_was_sent(tmp_path: Path) -> None:
    model = load_model(mixed_bundle(tmp_path / "bundle"))
    outputs = model.predict(
        model.decode(
            [
                {"age": 1.5, "town": "Zu\u0308rich", "rooms": 3, "sold": "02/01/1970", "owner": True, "zone": ""},
                {"zone": "b", "town": "?", "rooms": "4", "owner": None},
            ]
        )
    )
    np.testing.assert_array_equal(outputs["numbers"], [[1.5, 3.0, 1.0], [np.nan, 4.0, np.nan]])
    assert outputs["class_ids"].tolist() == [[86_400_000_000], [-(2**63)]]
    assert outputs["classes"].tolist() == [["Zürich", ""], ["MISSING", "b"]]


def test_one_column_needs_no_packing(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle", (3.0,)))
    assert model.predict(model.decode([2, 3]))["predictions"].tolist() == [[6.0], [9.0]]


def test_missing_numbers_reach_the_graph_as_nan(tmp_path: Path) -> None:
    columns = [Column(name=name, type=DataType.FLOAT, nullable=True) for name in "AB"]
    model = load_model(linear_bundle(tmp_path / "bundle", (1.0, 10.0), columns=columns))
    assert model.predict(model.decode([{"A": None}, {}]))["predictions"].tolist() == [[-11.0], [-11.0]]


def test_threads_may_share_a_model(tmp_path: Path) -> None:
    model = load_model(linear_bundle(tmp_path / "bundle"))

    def ask(number: int) -> bool:
        rows = [{"A": number, "B": row, "C": 0} for row in range(number % 5 + 1)]
        found = model.predict(model.decode(rows))["predictions"]
        expected = [[number + 10 * row] for row in range(number % 5 + 1)]
        return bool(found.tolist() == expected)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(500)))


def test_an_altered_graph_is_refused(tmp_path: Path) -> None:
    folder = linear_bundle(tmp_path / "bundle")
    path = Path(folder) / "model.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"altered: model\.onnx"):
        load_model(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        load_model(str(tmp_path / "nowhere"))
