"""Profiles of parts merge to the profile of the whole: exactly where exact, within the stated bound elsewhere."""

import csv
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.data.options import ReadOptions
from penstock.data.profile import TableProfile, merge_profiles
from penstock.data.profiler import profile_source
from penstock.data.schema import DataType
from penstock.settings import load_settings

Row = tuple[float | None, str | None]

numbers = st.none() | st.floats(-1e6, 1e6).map(lambda x: round(x, 3)) | st.integers(-5, 5).map(float)
rows = st.lists(
    st.tuples(numbers, st.none() | st.sampled_from(["a", "b", "été", 'q"uo', "x,y"])), min_size=1, max_size=60
)


def profiled(some: list[Row], folder: Path) -> TableProfile:
    path = folder / "t.csv"
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerows([("x", "t"), *(["" if v is None else v for v in row] for row in some)])
        lines.write("")
    table, found = profile_source(
        path,
        settings=load_settings({"PENSTOCK_HOME": str(folder / "home")}),
        options=ReadOptions(header=True, delimiter=",", types={"x": DataType.FLOAT, "t": DataType.STRING}),
        relations=False,
    )
    table.close()
    return found


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=rows, right=rows)
def test_parts_merge_to_the_whole(left: list[Row], right: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = profiled(left + right, folder)
        merged = merge_profiles([profiled(left, folder), profiled(right, folder)])
    assert merged.rows == whole.rows
    for a, b in zip(merged.columns, whole.columns, strict=True):
        exact = ("name", "type", "rows", "missing", "min", "max", "zeros", "infinite", "distinct", "values")
        for field in exact:
            assert getattr(a, field) == getattr(b, field), field
        assert (a.sketch is None) == (b.sketch is None)
        assert a.sketch is None or b.sketch is None or a.sketch.registers == b.sketch.registers
        assert a.quantiles == pytest.approx(b.quantiles)
        for field in ("mean", "std"):
            one, other = getattr(a, field), getattr(b, field)
            assert (one is None) == (other is None)
            assert one is None or math.isclose(one, other, rel_tol=1e-7, abs_tol=1e-6)
        if a.histogram and b.histogram:
            assert sum(a.histogram.counts) == sum(b.histogram.counts)


def test_many_values_merge_within_the_bounds_of_the_sketches(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    values = np.round(generator.lognormal(0.0, 1.0, 24_000), 6)
    parts = [profiled([(float(x), None) for x in part], tmp_path) for part in np.split(values, 3)]
    column = merge_profiles(parts)["x"]
    exact = len(np.unique(values))
    assert not column.is_distinct_exact
    assert abs(column.distinct - exact) <= 4 * 0.023 * exact
    ordered = np.sort(values)
    for rank in (0.1, 0.25, 0.5, 0.75, 0.9):
        found = column.quantile(rank)
        assert found is not None
        assert abs(np.searchsorted(ordered, found) / len(ordered) - rank) <= 0.02
