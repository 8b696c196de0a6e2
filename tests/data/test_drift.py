from pathlib import Path

import numpy as np
import pytest

from penstock.data.drift import Drift, jensen_shannon, measure_drift, psi
from penstock.data.profiler import profile_source
from penstock.settings import Settings


@pytest.fixture
def drift(tmp_path: Path, settings: Settings):  # type: ignore[no-untyped-def]
    """The drift from one table's columns to another's."""

    def make(before: dict[str, object], now: dict[str, object]) -> Drift:
        profiles = []
        for name, columns in (("before", before), ("now", now)):
            path = tmp_path / f"{name}.csv"
            rows = zip(*columns.values(), strict=True)
            path.write_text(",".join(columns) + "\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
            table, profile = profile_source(path, settings=settings, relations=False)
            table.close()
            profiles.append(profile)
        return measure_drift(*profiles)

    return make


def test_the_indices_are_those_of_their_definitions() -> None:
    a, b = np.array([0.2, 0.3, 0.5]), np.array([0.1, 0.6, 0.3])
    assert psi(a, b) == pytest.approx(sum((y - x) * np.log(y / x) for x, y in zip(a, b, strict=True)))
    middle = (a + b) / 2
    entropy = -sum(m * np.log2(m) for m in middle) + sum(
        (x * np.log2(x) + y * np.log2(y)) / 2 for x, y in zip(a, b, strict=True)
    )
    assert jensen_shannon(a, b) == pytest.approx(entropy)
    assert psi(a, a) == 0
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1


def test_the_same_distribution_has_not_moved(drift) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(1)
    found = drift({"x": generator.normal(size=5000)}, {"x": generator.normal(size=5000)})
    assert found.columns[0].level == "none"
    assert found.columns[0].psi < 0.02


@pytest.mark.parametrize(("shift", "level"), [(0.4, "moderate"), (2.0, "large")])
def test_a_shift_is_as_large_as_it_is(shift: float, level: str, drift) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=20_000), generator.normal(size=20_000) + shift
    found = drift({"x": x}, {"x": y}).columns[0]
    assert found.level == level
    edges = np.quantile(x, np.arange(1, 10) / 10)
    shares = [np.bincount(np.searchsorted(edges, part), minlength=10) / len(part) for part in (x, y)]
    assert found.psi == pytest.approx(psi(shares[0], shares[1]), rel=0.05)


def test_values_never_seen_and_missing_shares_are_named(drift) -> None:  # type: ignore[no-untyped-def]
    before = {"c": ["a", "b"] * 50, "n": [1] * 100}
    now = {"c": ["a"] * 50 + ["z"] * 30 + [""] * 20, "n": [1] * 100}
    found = next(column for column in drift(before, now).columns if column.name == "c")
    assert found.new_values == ("z",)
    assert (found.missing_before, found.missing_now) == (0.0, 0.2)
    assert "never seen before: 'z'" in found.text
    assert "missing in 0.0% before, 20.0% now" in found.text


def test_many_values_at_one_point_are_compared(drift) -> None:  # type: ignore[no-untyped-def]
    generator = np.random.default_rng(3)
    zeros = np.where(generator.random(4000) < 0.7, 0.0, generator.random(4000))
    fewer = np.where(generator.random(4000) < 0.2, 0.0, generator.random(4000))
    assert drift({"x": zeros}, {"x": zeros[::-1]}).columns[0].psi == pytest.approx(0.0, abs=1e-9)
    assert drift({"x": zeros}, {"x": fewer}).columns[0].level == "large"


def test_columns_of_one_table_only_are_listed(drift) -> None:  # type: ignore[no-untyped-def]
    found = drift({"a": [1, 2], "b": [1, 2]}, {"b": [1, 2], "c": ["x", "y"]})
    assert (found.added, found.removed) == (("c",), ("a",))


def test_a_column_that_became_text_cannot_be_compared(drift) -> None:  # type: ignore[no-untyped-def]
    found = drift({"a": np.arange(500.0) / 7}, {"a": [f"v{i}" for i in range(500)]}).columns[0]
    assert (found.level, found.psi) == ("incomparable", None)
    assert "was float" in found.text


def test_times_are_told_as_times_and_another_type_as_such(drift) -> None:  # type: ignore[no-untyped-def]
    def days(year: int) -> list[str]:
        return [f"{year}-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(300)]

    before = {"day": days(2023), "code": ["x", "7"] * 150}
    now = {"day": days(2024), "code": [7] * 299 + [8]}
    told = {column.name: column.text for column in drift(before, now).columns}
    assert "mean 2023-06-" in told["day"]
    assert "before, 2024-06-" in told["day"]
    assert "was string, is integer" in told["code"]
    longest = drift({"c": ["a"] * 9}, {"c": ["b" * 10_000] * 9}).columns[0].text
    assert len(longest) < 250
