"""What the page about bundles shows and lists is so."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.bundle.manifest import Manifest, Task
from penstock.export.write import BundleFacts, write_bundle
from penstock.feature_column import (
    categorical_column_with_hash_bucket,
    date_part_column,
    indicator_column,
    numeric_column,
)
from penstock.features.arrays import batch_of_arrays

from .models import weighted_sum

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "bundle.md").read_text()


def test_the_example_runs_the_graph_in_a_plain_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"x": [1.0, 2.0], "w": ["a", "b"], "t": np.array(["2020-01-01", "2021-02-03"], "datetime64[us]")}
    columns = [
        numeric_column("x"),
        indicator_column(categorical_column_with_hash_bucket("w", 5)),
        indicator_column(date_part_column("t", "month")),
    ]
    facts = BundleFacts(task=Task.REGRESSION, estimator="WeightedSum")
    write_bundle(
        weighted_sum(columns, table), uri=str(tmp_path / "bundle"), facts=facts, samples=batch_of_arrays(table)
    )
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)
    assert found["outputs"][0].item() == pytest.approx(-1.0 + 0.1 * 5 + 0.1 * 12)


def test_every_field_of_the_manifest_is_explained() -> None:
    for field in Manifest.__struct_fields__:
        assert f"`{field}`" in PAGE or f"`{field}." in PAGE, field
