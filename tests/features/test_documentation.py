"""The Python that the page about feature columns shows runs as it stands there."""

import re
from pathlib import Path

from penstock import feature_column
from penstock.features.arrays import batch_of_arrays
from penstock.features.fitted import fit_features
from penstock.features.statistics import gather_statistics

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "feature-columns.md").read_text()


def test_the_example_makes_columns_that_fit_a_table() -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(example, found)
    table = {"age": [20, 40, 60], "sex": ["Male", "Female", "Male"], "occupation": ["cook", None, "judge"]}
    columns = found["columns"]
    assert isinstance(columns, list)
    assert len(fit_features(columns, gather_statistics([batch_of_arrays(table)])).blocks) == 5


def test_every_kind_of_column_is_explained() -> None:
    for name in feature_column.__all__:
        assert name == "FeatureColumn" or f"`{name}(" in PAGE or f"`{name}`" in PAGE, name
