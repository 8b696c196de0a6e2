"""Profiles next to NumPy on the same rows, in memory and streaming; a small sample forces the latter."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest

from penstock.data import inquiry, profiler
from penstock.data.profile import ColumnProfile, TableProfile
from penstock.data.profiler import profile_source, profile_table
from penstock.data.schema import DataType
from penstock.data.table import open_table
from penstock.errors import DataError, UsageError
from penstock.settings import Settings, load_settings

ROWS = 30_000


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    """Columns of every shape that the profiler treats in its own way."""
    generator = np.random.default_rng(7)
    normal = generator.normal(50.0, 8.0, ROWS)
    normal[17] = 4_000.0  # far beyond what a sample shows
    with_zeros = np.where(generator.random(ROWS) < 0.4, 0.0, generator.exponential(3.0, ROWS))
    return {
        "id": np.arange(ROWS),
        "normal": normal,
        "skewed": generator.lognormal(0.0, 2.5, ROWS),
        "zeros": with_zeros,
        "few": generator.integers(1, 7, ROWS),
        "some": generator.integers(0, 800, ROWS),
        "negative": generator.normal(-1e6, 1.0, ROWS),
        "rare": np.where(generator.random(ROWS) < 5e-5, 99, generator.integers(0, 3, ROWS)),
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, columns: dict[str, np.ndarray]) -> Path:
    file = tmp_path_factory.mktemp("profiler") / "t.csv"
    generator = np.random.default_rng(8)
    words = np.array([f"w{i}" for i in range(20)])[generator.integers(0, 20, ROWS)]
    texts = np.array([f"text number {i}" for i in generator.integers(0, 30_000, ROWS)], dtype=object)
    texts[generator.random(ROWS) < 0.2] = "the usual"
    times = (np.datetime64("2020-01-06T00:00:00") + np.arange(ROWS) * np.timedelta64(3600, "s")).astype(str)
    with file.open("w") as lines:
        lines.write(",".join([*columns, "word", "text", "time", "flag"]) + "\n")
        for i in range(ROWS):
            numbers = [repr(array[i].item()) for array in columns.values()]
            if i % 10 == 3:
                numbers[1] = ""
            cells = [*numbers, words[i], texts[i], times[i].replace("T", " "), "true" if i % 3 else "false"]
            lines.write(",".join(cells) + "\n")
    return file


@pytest.fixture(scope="module", params=["whole", "streaming", "first pass"])
def profile(
    request: pytest.FixtureRequest, path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TableProfile]:
    """The same table profiled in memory, by a pass of its own, and in the pass that opens it."""
    settings = load_settings({"PENSTOCK_HOME": str(tmp_path_factory.mktemp("home"))})
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "whole":
            patch.setattr(profiler, "SAMPLE_ROWS", 4_000)
        if request.param == "first pass":
            table, found = profile_source(path, settings=settings)
            assert table.survey.answers
        else:
            table = open_table(path, settings=settings)
            found = profile_table(table)
        yield found
        table.close()


def test_counts_and_moments_are_those_of_numpy(profile: TableProfile, columns: dict[str, np.ndarray]) -> None:
    assert profile.rows == ROWS
    for name, array in columns.items():
        column = profile[name]
        values = array[np.arange(ROWS) % 10 != 3] if name == "normal" else array
        assert (column.rows, column.present) == (ROWS, len(values))
        assert (column.min, column.max) == (values.min(), values.max())
        assert column.mean == pytest.approx(values.mean(), rel=1e-9)
        assert column.std == pytest.approx(values.std(), rel=1e-6)
        skew = float((((values - values.mean()) / values.std()) ** 3).mean())
        assert column.skew == pytest.approx(skew, rel=1e-4, abs=1e-4)
        assert column.zeros == int((values == 0).sum())


def test_quantiles_are_within_a_rank_of_one_percent(profile: TableProfile, columns: dict[str, np.ndarray]) -> None:
    for name, array in columns.items():
        values = np.sort(array[np.arange(ROWS) % 10 != 3] if name == "normal" else array)
        column = profile[name]
        for rank in (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
            found = column.quantile(rank)
            assert found is not None
            low, high = (np.searchsorted(values, found, side=side) / len(values) for side in ("left", "right"))
            assert low - 0.01 <= rank <= high + 0.01, (name, rank, found)
    assert profile["zeros"].quantile(0.3) == pytest.approx(0.0, abs=1e-9)


def test_histograms_count_every_value_where_it_lies(profile: TableProfile, columns: dict[str, np.ndarray]) -> None:
    for name, array in columns.items():
        values = array[np.arange(ROWS) % 10 != 3] if name == "normal" else array
        histogram = profile[name].histogram
        assert histogram is not None
        assert sum(histogram.counts) == len(values)
        assert len(histogram.counts) <= 50
        expected, _ = np.histogram(values, bins=np.array(histogram.edges))
        assert list(histogram.counts) == expected.tolist(), name
    assert profile["skewed"].histogram is not None
    assert profile["skewed"].histogram.is_log


def test_distinct_values_are_exact_where_few_and_close_elsewhere(
    profile: TableProfile, columns: dict[str, np.ndarray]
) -> None:
    for name, array in columns.items():
        if name == "normal":
            continue
        exact = len(np.unique(array))
        column = profile[name]
        if column.is_distinct_exact:
            assert column.distinct == exact
        else:
            assert column.distinct == pytest.approx(exact, rel=0.08)
    assert profile["few"].is_distinct_exact
    assert profile["rare"].values[-1].value == 99


def test_few_values_are_counted_each(profile: TableProfile, columns: dict[str, np.ndarray]) -> None:
    values, counts = np.unique(columns["few"], return_counts=True)
    assert {entry.value: entry.count for entry in profile["few"].values} == dict(
        zip(values.tolist(), counts.tolist(), strict=True)
    )
    assert profile["few"].are_values_complete
    assert len(profile["word"].values) == 20
    assert sum(entry.count for entry in profile["word"].values) == ROWS


def test_a_frequent_text_among_many_is_counted_exactly(profile: TableProfile, path: Path) -> None:
    exact = sum(",the usual," in line for line in path.read_text().splitlines())
    assert (profile["text"].values[0].value, profile["text"].values[0].count) == ("the usual", exact)
    lengths = profile["text"].lengths
    assert lengths is not None
    assert (lengths.min, lengths.max) == (9, 17)


def test_times_have_range_weekdays_and_hours(profile: TableProfile) -> None:
    column = profile["time"]
    assert column.type is DataType.TIMESTAMP
    assert column.min == 1_578_268_800_000_000
    assert column.times is not None
    assert sum(column.times.hours) == ROWS
    assert max(column.times.hours) - min(column.times.hours) <= 1
    assert column.times.weekdays[0] == max(column.times.weekdays)  # it begins on a Monday


def test_a_flag_is_true_or_false(profile: TableProfile) -> None:
    column = profile["flag"]
    assert {entry.value: entry.count for entry in column.values} == {True: ROWS * 2 // 3, False: ROWS // 3}
    assert column.mean == pytest.approx(2 / 3)


def test_a_profile_survives_json(profile: TableProfile) -> None:
    assert TableProfile.from_json(profile.to_json()) == profile
    with pytest.raises(DataError, match="not a table profile"):
        TableProfile.from_json("{}")
    with pytest.raises(DataError, match=r"no column 'fewe'.*did you mean 'few'"):
        profile["fewe"]


def test_infinite_values_are_counted_apart(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n" + "\n".join(["inf" if i == 777 else f"{i / 7!r}" for i in range(6_000)]) + "\n")
    monkeypatch.setattr(profiler, "SAMPLE_ROWS", 1_000)
    monkeypatch.setattr(inquiry, "FEW_NUMBERS", 10)
    table, profile = profile_source(path, settings=settings)
    with table:
        column = profile["x"]
        assert (column.infinite, column.present) == (1, 6_000)
        assert column.max == pytest.approx(5_999 / 7)
        assert column.mean is not None
        assert np.isfinite(column.mean)


def test_an_empty_table_and_an_empty_column_have_profiles(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\n")
    with open_table(path, settings=settings) as table:
        column = profile_table(table)["b"]
        assert (column.present, column.distinct, column.values, column.lengths) == (0, 0, (), None)
    path.write_text("a,b\n")
    with open_table(path, settings=settings) as table:
        profile = profile_table(table)
        assert (profile.rows, profile["a"].present) == (0, 0)


def test_parquet_is_profiled_as_the_csv_is(
    path: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = tmp_path / "t.parquet"
    duckdb.connect().execute(f"COPY (SELECT * FROM '{path}') TO '{packed}'")
    monkeypatch.setattr(profiler, "SAMPLE_ROWS", 4_000)
    with open_table(packed, settings=settings) as table:
        left = profile_table(table)
    with open_table(path, settings=settings) as table:
        right = profile_table(table)
    for a, b in zip(left.columns, right.columns, strict=True):
        assert (a.name, a.type, a.rows, a.missing, a.min, a.max) == (b.name, b.type, b.rows, b.missing, b.min, b.max)
        assert a.sketch == b.sketch


def test_columns_asked_in_several_passes_have_the_same_profile(
    path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiler, "SAMPLE_ROWS", 4_000)
    with open_table(path, settings=settings) as table:
        together = profile_table(table, relations=False)
        monkeypatch.setattr(profiler, "_COLUMNS_A_READING", 5)
        parted = profile_table(table, relations=False)
    for a, b in zip(together.columns, parted.columns, strict=True):
        # Threads add floats up in any order.
        assert (a.name, a.missing, a.distinct, a.min, a.max) == (b.name, b.missing, b.distinct, b.min, b.max)
        assert (a.values, a.sketch, a.lengths, a.times) == (b.values, b.sketch, b.lengths, b.times)
        assert a.mean == pytest.approx(b.mean)


@pytest.mark.slow
def test_a_table_of_hundreds_of_columns_needs_little_memory(tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    numbers = np.random.default_rng(0).random((300, 300)).round(3)
    names = ",".join(f"c{i}" for i in range(300))
    file.write_text(names + "\n" + "".join(",".join(map(str, row)) + "\n" for row in numbers.tolist()))
    small = load_settings({"PENSTOCK_HOME": str(tmp_path / "home"), "PENSTOCK_MEMORY_LIMIT_MB": "300"})
    with open_table(file, settings=small) as table:
        assert len(profile_table(table).columns) == 300


def test_progress_is_told_in_stages(path: Path, settings: Settings) -> None:
    stages: list[str] = []
    with open_table(path, settings=settings) as table:
        profile_table(table, progress=lambda progress: stages.append(progress.stage))
    assert stages[0] == "drawing a sample"
    assert stages[-1] == "comparing columns"


def test_too_many_values_are_refused(path: Path, settings: Settings) -> None:
    with open_table(path, settings=settings) as table, pytest.raises(UsageError, match="expected 1 to 10000"):
        profile_table(table, values=20_000)


def test_a_column_knows_its_deciles() -> None:
    column = ColumnProfile(name="x", type=DataType.FLOAT, rows=3, missing=0, quantiles=(0.0, 5.0, 10.0))
    assert column.deciles == tuple(float(i) for i in range(1, 10))
    assert column.quartiles == (2.5, 5.0, 7.5)
