"""Preparing tables: whole or not at all, whatever stops it, and gone on with by running it again."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb
import fsspec
import msgspec
import pytest

from penstock.data.columns import ColumnBatch
from penstock.data.options import ReadOptions
from penstock.data.recipe.duckdb_engine import DuckDBEngine
from penstock.data.recipe.engine import Target
from penstock.data.recipe.prepared import NAME, find_prepared, with_noted_types
from penstock.data.recipe.recipe import Output, Recipe
from penstock.data.recipe.row_values import rows_of
from penstock.data.schema import DataType
from penstock.data.table import open_table
from penstock.errors import AlreadyExistsError, DataError, PreconditionError, UsageError
from penstock.flows.export_beam import export_beam
from penstock.flows.prepare import EngineName, check, prepare, preview
from penstock.settings import Settings


@pytest.fixture
def rides(tmp_path: Path) -> Path:
    """Three files of rides."""
    folder = tmp_path / "rides"
    folder.mkdir()
    for month in range(3):
        rows = [
            f"{month * 100 + i},{'ABC'[i % 3]},{i * 1.5 if i % 10 else ''},2024-0{month + 1}-11 10:00:00"
            for i in range(100)
        ]
        (folder / f"{month}.csv").write_text("id,zone,fare,pickup\n" + "\n".join(rows) + "\n")
    return folder


def rows_at(place: Path) -> list[tuple[object, ...]]:
    files = [str(file) for file in place.rglob("*.parquet")] if place.is_dir() else [str(place)]
    rows = duckdb.connect().execute(f"SELECT * FROM read_parquet({files}, hive_partitioning = true)").fetchall()
    return sorted(rows, key=str)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "preparing" in path.name or ".old-" in path.name)


def recipe_of(rides: Path) -> Recipe:
    return (
        Recipe(source=str(rides / "*.csv"))
        .filter("id % 7 != 0")
        .fill({"fare": {"statistic": "median"}})
        .derive(hour="hour(pickup)", cheap="fare < 50")
        .split("key", by="id")
    )


def test_rows_come_out_whole_with_a_note_of_how_they_were_made(rides: Path, settings: Settings, tmp_path: Path) -> None:
    done = prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)

    assert done.rows == len(rows_at(tmp_path / "out")) == 257
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 3
    assert leftovers(tmp_path) == []
    note = find_prepared(str(tmp_path / "out"))
    assert note is not None
    assert note.steps.steps[1].written() == {"fill": {"fare": 75.0}}
    assert note.serving_program.input_schema.names == ("id", "zone", "fare", "pickup")
    with open_table(str(tmp_path / "out"), settings=settings) as table:
        assert table.schema.names == tuple(column.name for column in note.columns)
        assert table.schema["pickup"].type is DataType.TIMESTAMP


def test_the_same_again_is_done_already(rides: Path, settings: Settings, tmp_path: Path) -> None:
    first = prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}

    again = prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)

    assert again.was_done
    assert again.rows == first.rows
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize("output", ["out", "out.parquet", "out.csv"])
def test_what_something_else_made_is_replaced_only_when_told_to(
    output: str, rides: Path, settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / output
    prepare(recipe_of(rides), output=str(place), settings=settings)
    other = recipe_of(rides).filter("zone == 'A'")
    before = place.read_bytes() if place.is_file() else rows_at(place)

    with pytest.raises(AlreadyExistsError, match="is not of this recipe and data"):
        prepare(other, output=str(place), settings=settings)
    assert before == (place.read_bytes() if place.is_file() else rows_at(place))

    done = prepare(other, output=str(place), settings=settings, overwrite=True)
    assert not done.was_done
    assert prepare(other, output=str(place), settings=settings).was_done
    assert leftovers(tmp_path) == []


def test_changed_data_is_prepared_anew(rides: Path, settings: Settings, tmp_path: Path) -> None:
    prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    with (rides / "2.csv").open("a") as file:
        file.write("1000,A,1,2024-03-11 10:00:00\n")

    with pytest.raises(AlreadyExistsError):
        prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    assert prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings, overwrite=True).rows == 258


def test_a_file_in_place_of_which_other_rows_stand_is_not_taken_for_done(
    rides: Path, settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "out.parquet"
    prepare(recipe_of(rides), output=str(place), settings=settings)
    place.write_bytes(place.read_bytes() + b"!")

    with pytest.raises(AlreadyExistsError):
        prepare(recipe_of(rides), output=str(place), settings=settings)


def test_rows_are_partitioned_into_folders_that_escape_their_values(settings: Settings, tmp_path: Path) -> None:
    source = tmp_path / "x.csv"
    source.write_text('id,kind\n1,../../evil\n2,a/b\n3,"x=y"\n4,\n5,..\n')
    recipe = Recipe(source=str(source)).partition_by("kind")

    done = prepare(recipe, output=str(tmp_path / "deep" / "out"), settings=settings)

    assert done.rows == 5
    assert not list(tmp_path.rglob("*evil*")) or all("out" in path.parts for path in tmp_path.rglob("*evil*"))
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"out"}
    assert {row[1] for row in rows_at(tmp_path / "deep" / "out")} == {"../../evil", "a/b", "x=y", "..", None}


@pytest.mark.parametrize("engine", ["duckdb", pytest.param("beam", marks=pytest.mark.slow)])
@pytest.mark.parametrize("file_format", ["parquet", "csv"])
def test_columns_that_rows_are_partitioned_by_keep_their_types(
    file_format: Literal["parquet", "csv"], engine: EngineName, rides: Path, settings: Settings, tmp_path: Path
) -> None:
    recipe = Recipe(source=str(rides / "*.csv")).derive(cheap="fare < 50", code="'007'")
    recipe = replace(recipe, output=Output(format=file_format)).partition_by("cheap", "pickup", "code", "zone")
    place = str(tmp_path / "out")
    assert prepare(recipe, output=place, settings=settings, engine=engine).rows == 300
    found = check(Recipe(source=place), settings=settings).recipe.source
    types = {item.name: item.type for item in found}
    assert types == {
        "id": DataType.INTEGER,
        "fare": DataType.FLOAT,
        "cheap": DataType.BOOLEAN,
        "pickup": DataType.TIMESTAMP,
        "code": DataType.STRING,
        "zone": DataType.STRING,
    }
    with open_table(place, settings=settings, options=with_noted_types(ReadOptions(), place)) as table:
        whole = list(rows_of(table.read(["code", "cheap", "pickup"])))
        assert len(whole) == 300
        assert {row[0] for row in whole} == {"007"}
        assert {row[1] for row in whole} == {True, False, None}
        assert sorted({row[2] for row in whole}) == [
            int(datetime(2024, month, 11, 10, tzinfo=UTC).timestamp() * 1e6) for month in (1, 2, 3)
        ]
        assert sum(batch.rows for batch in table.batches(40, columns=["code", "cheap"])) == 300


def test_an_object_store_gets_the_note_last(rides: Path, settings: Settings) -> None:
    done = prepare(recipe_of(rides), output="memory://bucket/prepared", settings=settings)

    system = fsspec.filesystem("memory")
    try:
        assert NAME in {name.rpartition("/")[2] for name in system.find("/bucket/prepared")}
        assert len(system.find("/bucket/prepared")) == 4
        assert prepare(recipe_of(rides), output="memory://bucket/prepared", settings=settings).was_done
        assert done.rows == 257
        one = prepare(recipe_of(rides), output="memory://bucket/one.parquet", settings=settings)
        assert one.rows == 257
        assert prepare(recipe_of(rides), output="memory://bucket/one.parquet", settings=settings).was_done
        # A training finds the recipe beside the rows, whichever way it names them.
        parted = prepare(recipe_of(rides).partition_by("zone"), output="memory://bucket/parted", settings=settings)
        for source, note in (
            ("memory://bucket/prepared", done.note),
            ("memory://bucket/one.parquet", one.note),
            ("memory://bucket/parted/zone=a", parted.note),
        ):
            found = find_prepared(source)
            assert found is not None
            assert found.digest == note.digest
        assert find_prepared("memory://bucket/other") is None
    finally:
        system.rm("/bucket", recursive=True)


def fail_at(piece: int, failure: Callable[[Target], None], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Has the real engine stop at a piece, after it has written it; returns the pieces that were begun."""
    begun: list[int] = []
    write = DuckDBEngine.write

    def failing(self: DuckDBEngine, tables: object, checked: object, target: Target, *, watch: object) -> int:
        begun.append(-1 if target.piece is None else target.piece)
        rows = write(self, tables, checked, target, watch=watch)  # type: ignore[arg-type]
        if target.piece == piece:
            failure(target)
        return rows

    monkeypatch.setattr(DuckDBEngine, "write", failing)
    return begun


def disk_full(target: Target) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def control_c(target: Target) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("failure", "kind"), [(disk_full, OSError), (control_c, KeyboardInterrupt)])
def test_a_run_that_is_stopped_is_gone_on_with(
    failure: Callable[[Target], None],
    kind: type[BaseException],
    rides: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[object] = []
    measure = DuckDBEngine.measure

    def counting(self: DuckDBEngine, *arguments: object) -> object:
        measured.append(arguments)
        return measure(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(DuckDBEngine, "measure", counting)
    with monkeypatch.context() as stopped:
        fail_at(1, failure, stopped)
        with pytest.raises(kind):
            prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    assert not (tmp_path / "out").exists()
    assert len(leftovers(tmp_path)) == 1

    begun = fail_at(99, failure, monkeypatch)
    done = prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)

    assert begun == [1, 2], "the first piece is not written again"
    assert len(measured) == 1, "the median is not measured again"
    assert done.rows == len(rows_at(tmp_path / "out")) == 257
    assert leftovers(tmp_path) == []


def test_a_source_that_vanishes_halfway_leaves_nothing(
    rides: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(target: Target) -> None:
        (rides / "2.csv").rename(tmp_path / "kept.csv")

    with monkeypatch.context() as stopped:
        fail_at(0, vanish, stopped)
        with pytest.raises(DataError, match=r"2\.csv has gone"):
            prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    assert not (tmp_path / "out").exists()

    (tmp_path / "kept.csv").rename(rides / "2.csv")
    assert prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings).rows == 257


def test_a_disk_that_is_really_full_is_said_and_leaves_nothing(rides: Path, settings: Settings, tmp_path: Path) -> None:
    """The limit on file sizes is the kernel's; writing past it fails as a full disk does."""
    big = tmp_path / "big.csv"
    duckdb.connect().execute(
        f"COPY (SELECT i AS id, md5(CAST(i AS VARCHAR)) AS text FROM range(200000) AS r(i)) TO '{big}' (HEADER true)"
    )
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "from penstock.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"source: {big}\nsteps:\n  - derive: {{n: length(text)}}\n")
    command = [sys.executable, "-c", code, "data", "prepare", str(recipe), "--output", str(tmp_path / "out")]

    failed = subprocess.run(command, capture_output=True, text=True, check=False)

    assert failed.returncode == 1, failed.stderr
    assert "cannot prepare the rows" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "out").exists()
    assert (
        prepare(Recipe(source=str(big)).derive(n="length(text)"), output=str(tmp_path / "out"), settings=settings).rows
        == 200_000
    )


def test_two_at_once_do_not_write_the_same_output(
    rides: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(target: Target) -> None:
        with pytest.raises(PreconditionError, match="another process prepares this output"):
            prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)

    with monkeypatch.context() as patched:
        fail_at(1, second, patched)
        done = prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    assert done.rows == 257


def test_what_another_recipe_left_behind_is_cleared(
    rides: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopped:
        fail_at(1, control_c, stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    prepare(recipe_of(rides).drop("zone"), output=str(tmp_path / "out"), settings=settings)
    assert leftovers(tmp_path) == []


def test_an_output_named_like_a_pattern_leaves_the_work_of_others_alone(
    rides: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as stopped:
        fail_at(1, control_c, stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    one = Recipe(source=str(rides / "0.csv"))
    for name in ("*", "[o]ut", "o?t"):
        assert prepare(one, output=str(tmp_path / name), settings=settings).rows == 100
        replaced = tmp_path / f".{name}.old-01234567"
        replaced.mkdir()  # of a run that was killed between publishing and clearing
        assert prepare(one.drop("zone"), output=str(tmp_path / name), settings=settings, overwrite=True).rows == 100
        assert not replaced.exists()
    assert len(leftovers(tmp_path)) == 1
    assert prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings).rows == 257


@pytest.mark.slow
def test_killed_at_any_moment_it_leaves_nothing_partial_and_a_rerun_finishes(
    settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "rides"
    folder.mkdir()
    for part in range(4):
        rows = f"range({part * 100_000}, {part * 100_000 + 100_000}) AS r(i)"
        query = f"SELECT i AS id, hash(i) % 100 AS x, md5(CAST(i AS VARCHAR)) AS text FROM {rows}"
        duckdb.connect().execute(f"COPY ({query}) TO '{folder}/{part}.csv' (HEADER true)")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"source: {folder}/*.csv\nsteps:\n  - derive: {{upper: upper(text)}}\n  - fill: {{x: {{statistic: median}}}}\n"
        "  - split: {method: key, by: id}\noutput: {partition_by: split}\n"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-m", "penstock.cli.main", "data", "prepare", str(recipe), "--output", str(out)]
    environment = {**os.environ, "PENSTOCK_HOME": str(settings.home)}
    kills = 0
    for delay in [0.2, 0.5, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.6]:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += not out.exists()
        if out.exists():
            assert len(rows_at(out)) == 400_000
    assert kills
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "400,000 rows" in finished.stdout
    assert len(rows_at(out)) == 400_000
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("recipe", "output", "kind", "message"),
    [
        (Recipe().select("a"), "out", None, "names no source"),
        (Recipe(source="nowhere.csv").select("a"), "out", None, "nowhere.csv"),
        (Recipe(source="x.csv"), "", UsageError, "has no name"),
        (Recipe(source="x.csv").partition_by("a"), "out.csv", UsageError, "partitions its rows"),
    ],
)
def test_what_cannot_be_prepared_is_refused_at_once(
    recipe: Recipe, output: str, kind: type[Exception] | None, message: str, settings: Settings
) -> None:
    with pytest.raises(kind or Exception, match=message):
        prepare(recipe, output=output, settings=settings)


def test_a_step_that_beam_cannot_run_is_refused_by_name(rides: Path, settings: Settings) -> None:
    recipe = Recipe(source=str(rides / "0.csv")).filter("id > 1").sort("id")
    for run in (check, preview):
        with pytest.raises(DataError, match=r"step 2 \(sort\) cannot run on the engine beam: .* no order"):
            run(recipe, settings=settings, engine="beam")
    with pytest.raises(DataError, match=r"step 2 \(sort\) cannot run on the engine beam"):
        export_beam(recipe, settings=settings, name="x")


def test_columns_that_depend_on_values_cannot_be_exported(rides: Path, settings: Settings) -> None:
    with pytest.raises(DataError, match=r"step 1 \(one_hot\) makes columns of the values it finds"):
        export_beam(Recipe(source=str(rides / "0.csv")).one_hot("zone"), settings=settings, name="x")


def test_columns_that_differ_in_case_only_are_refused_in_a_result(
    rides: Path, settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="columns 'id' and 'ID', which many readers take for one"):
        prepare(
            Recipe(source=str(rides / "0.csv")).derive({"ID": "id"}), output=str(tmp_path / "out"), settings=settings
        )


def test_a_preview_is_the_first_rows(rides: Path, settings: Settings) -> None:
    found = preview(recipe_of(rides).select("id", "fare"), settings=settings, rows=3)
    assert isinstance(found, ColumnBatch)
    assert found["id"].tolist() == [1, 2, 3]


def test_a_checked_recipe_says_what_callers_send(rides: Path, settings: Settings) -> None:
    recipe = recipe_of(rides).window({"before": "lag(fare)"}, by="zone", order="pickup").derive(change="fare - before")
    checked = check(recipe.select("change"), settings=settings, for_serving=True)
    assert checked.serving is not None
    assert checked.serving.program.input_schema.names == ("fare", "before")
    (sent,) = checked.serving.sent
    assert sent.reason == "step 5 (window) computes it from other rows"


def test_a_note_that_is_altered_is_not_taken_for_one(rides: Path, settings: Settings, tmp_path: Path) -> None:
    prepare(recipe_of(rides), output=str(tmp_path / "out"), settings=settings)
    note = tmp_path / "out" / NAME
    document = msgspec.json.decode(note.read_bytes())
    note.write_bytes(msgspec.json.encode({**document, "version": 99}))
    with pytest.raises(DataError, match="format 99"):
        find_prepared(str(tmp_path / "out"))


def test_the_memory_limit_is_kept_below_the_size_of_the_data(settings: Settings, tmp_path: Path) -> None:
    big = tmp_path / "big.csv"
    duckdb.connect().execute(
        "COPY (SELECT i AS id, hash(i) % 1000 AS g, md5(CAST(i AS VARCHAR)) AS a, md5(CAST(-i AS VARCHAR)) AS b "
        f"FROM range(600000) AS r(i)) TO '{big}' (HEADER true)"
    )
    recipe = Recipe(source=str(big)).window({"n": "row_number()", "before": "lag(a)"}, by="g", order="id").sort("-b")
    small = replace(settings, memory_limit_mb=110, threads=1)
    assert prepare(recipe, output=str(tmp_path / "out.parquet"), settings=small).rows == 600_000
