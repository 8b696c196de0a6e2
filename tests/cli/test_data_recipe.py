import ast
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from penstock.cli.main import penstock
from penstock.errors import ConfigError, DataError, UsageError
from penstock.settings import Settings

RECIPE = """
source: rides.csv
steps:
  - filter: fare is missing or fare > 1
  - derive: {double: fare * 2, day: "truncate(pickup, 'day')"}
  - window: {by: zone, order: pickup, columns: {before: lag(fare)}}
  - split: {method: key, by: id}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [
        "1,a,2.5,2024-05-31 10:00:00",
        "2,b,,2024-05-31 11:00:00",
        "3,a,0.5,2024-06-01 09:00:00",
        "4,a,7,2024-06-02 01:02:03",
    ]
    Path("rides.csv").write_text("id,zone,fare,pickup\n" + "\n".join(rows) + "\n")
    file = Path("rides.yaml")
    file.write_text(RECIPE)
    return file


def run(*words: object) -> Result:
    return CliRunner().invoke(penstock, ["data", *map(str, words)], catch_exceptions=False)


def test_check_shows_what_each_step_does(recipe: Path) -> None:
    found = run("check", recipe, "--for-serving").output
    assert "source: id integer, zone string, fare float?, pickup timestamp" in found
    assert "step 1 (filter): the same columns" in found
    assert "step 2 (derive): + double float?, + day timestamp" in found
    assert "before: to be sent, because step 3 (window) computes it from other rows" in found
    assert "step 4 (split): left out" in found


def test_check_as_json_has_stable_keys(recipe: Path) -> None:
    found = json.loads(run("check", recipe, "--for-serving", "--format", "json").stdout)
    assert set(found) == {"source", "steps", "serving"}
    assert [step["step"] for step in found["steps"]] == ["filter", "derive", "window", "split"]
    assert found["serving"]["sent"][0]["name"] == "before"


def test_preview_shows_rows(recipe: Path) -> None:
    found = json.loads(run("preview", recipe, "--rows", 2, "--format", "json").stdout)
    assert len(found) == 2
    by_id = {row["id"]: row for row in json.loads(run("preview", recipe, "--format", "json").stdout)}
    assert set(by_id) == {1, 2, 4}
    assert by_id[4]["double"] == 14.0
    assert by_id[4]["day"] == "2024-06-02T00:00:00Z"
    assert by_id[2]["fare"] is None
    assert "id  zone" in run("preview", recipe).output


def test_prepare_writes_and_says_what_to_type_next(recipe: Path) -> None:
    first = run("prepare", recipe, "--output", "out")
    assert "3 rows prepared, 8 columns" in first.output
    assert "next: penstock data profile out" in first.output
    assert "3 rows were prepared before" in run("prepare", recipe, "--output", "out").output
    assert json.loads(run("prepare", recipe, "--output", "out", "--format", "json").stdout)["was_done"] is True


def test_other_rows_can_be_named(recipe: Path) -> None:
    Path("more.csv").write_text("id,zone,fare,pickup\n9,z,5.5,2024-01-01 00:00:00\n")
    found = json.loads(run("preview", recipe, "--source", "more.csv", "--format", "json").stdout)
    assert [row["id"] for row in found] == [9]
    both = json.loads(
        run("preview", recipe, "--source", "more.csv", "--source", "rides.csv", "--format", "json").stdout
    )
    assert {row["id"] for row in both} == {1, 2, 4, 9}


def test_what_is_wrong_is_an_error_of_its_kind(recipe: Path) -> None:
    with pytest.raises(ConfigError, match="there is no recipe file"):
        run("check", "nowhere.yaml")
    recipe.write_text("source: rides.csv\nsteps: [{filter: far > 1}]")
    with pytest.raises(
        DataError, match=r"step 1 \(filter\): expression 'far > 1', character 1: .* did you mean 'fare'"
    ):
        run("check", recipe)
    recipe.write_text("source: rides.csv\nsteps: [{sort: id}]")
    with pytest.raises(DataError, match="cannot run on the engine beam"):
        run("prepare", recipe, "--output", "out", "--engine", "beam")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memory-limit", "lots"], "expected a size such as 1GB"),
        (["--memory-limit", "100MB"], "preparing needs 300MB at least"),
        (["--memory-limit", "1GB", "--engine", "beam"], "is up to its runner"),
        (["--", "--runner=FlinkRunner"], "'--runner=FlinkRunner' is for Apache Beam; add --engine beam"),
    ],
)
def test_options_that_do_not_go_together_are_refused(recipe: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run("prepare", recipe, "--output", "out", *arguments)


def test_a_memory_limit_is_of_the_whole_process(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.data.engine import connect

    seen = []

    def watched(settings: Settings, **places: Any) -> Any:
        seen.append(settings.memory_limit_mb)
        return connect(settings, **places)

    monkeypatch.setattr("penstock.data.recipe.duckdb_engine.connect", watched)
    run("prepare", recipe, "--output", "out", "--memory-limit", "1.5GB")
    run("prepare", recipe, "--output", "other", "--memory-limit", "500MB")
    assert seen == [1_125, 300]


@pytest.mark.slow
def test_beams_own_options_reach_beam(recipe: Path) -> None:
    recipe.write_text(RECIPE)
    done = run("prepare", recipe, "--output", "out", "--engine", "beam", "--", "--direct_num_workers=1")
    assert "rows prepared" in done.output
    with pytest.raises(DataError, match="Beam"):
        run("prepare", recipe, "--output", "other", "--engine", "beam", "--", "--runner=NoSuchRunner")


EVIL = "it's; DROP TABLE x --\"\"\"; import os; os.system('touch evil') `touch evil` $(touch evil)"


@pytest.fixture
def evil_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe in which all that can be named has a name that is code somewhere."""
    monkeypatch.chdir(tmp_path)
    source = Path(f"{EVIL}.csv")
    quoted = EVIL.replace('"', '""')
    source.write_text(f'id,"{quoted}","{{0}} %s"\n1,2,"{quoted}"\n2,,x\n')
    steps = [
        {"rename": {EVIL: f"{EVIL} 2"}},
        {"derive": {f"{EVIL} 3": "concat(`{0} %s`, '\"\"\"', \"'); COPY (SELECT 1) TO 'evil'; --\")"}},
        {"filter": 'id < 9 and `{0} %s` != \'"""\''},
        {"union": [str(source)]},
        {"split": {"method": "key", "by": "id", "parts": {EVIL.replace("/", ""): 0.5, "b": 0.5}}},
    ]
    recipe = Path(f"{EVIL}.json")
    recipe.write_text(json.dumps({"source": str(source), "steps": steps}))
    return recipe


def test_no_name_is_ever_code(evil_recipe: Path) -> None:
    assert run("profile", f"{EVIL}.csv", "--html", f"{EVIL}.html").exit_code == 0
    assert f"{EVIL} 2" in run("check", evil_recipe, "--for-serving").stdout
    assert len(json.loads(run("preview", evil_recipe, "--format", "json").stdout)) == 4
    made = run("prepare", evil_recipe, "--output", f"{EVIL}.parquet")
    assert "4 rows prepared" in made.stdout
    assert shlex.split(made.stderr.splitlines()[-1]) == ["next:", "penstock", "data", "profile", f"{EVIL}.parquet"]
    run("export-beam", evil_recipe, "--output", f"{EVIL}.py")
    module = ast.parse(Path(f"{EVIL}.py").read_text())
    kinds = [type(node).__name__ for node in module.body]
    assert kinds == ["Expr", *["Import"] * 3, *["ImportFrom"] * 2, *["Assign"] * 3, *["FunctionDef"] * 2, "If"]
    files = {path.name for path in Path().iterdir()} - {"penstock-home"}
    assert files == {f"{EVIL}{suffix}" for suffix in (".csv", ".json", ".html", ".parquet", ".py")} | {
        f"_{EVIL}.parquet.recipe.json"
    }


@pytest.mark.slow
def test_no_name_is_ever_code_to_beam(evil_recipe: Path) -> None:
    assert "4 rows prepared" in run("prepare", evil_recipe, "--output", "one.parquet", "--engine", "beam").stdout
    run("export-beam", evil_recipe, "--output", "module.py")
    subprocess.run([sys.executable, "module.py", "--output", "out"], check=True, capture_output=True)
    assert len(list(Path("out").glob("*.parquet"))) == 1
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('touch evil')",
        "id.__class__",
        "read_csv('/etc/passwd')",
        "getenv('HOME')",
        "(SELECT 1)",
        "id; DROP TABLE x",
        "id /* */ + 1",
        "now()",
        "lambda: id",
        "id['a']",
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(expression: str, recipe: Path) -> None:
    recipe.write_text(json.dumps({"source": "rides.csv", "steps": [{"derive": {"z": expression}}]}))
    with pytest.raises((ConfigError, DataError), match="line 1, step 1: expression"):
        run("check", recipe)


def test_a_module_that_cannot_be_written_is_told(recipe: Path) -> None:
    recipe.write_text("source: rides.csv\nsteps: []\n")
    for place in (Path("nowhere") / "m.py", Path()):
        with pytest.raises(UsageError, match="cannot write"):
            run("export-beam", recipe, "--output", place)


@pytest.mark.slow
def test_an_exported_module_runs_with_beam_alone(recipe: Path, tmp_path: Path) -> None:
    import duckdb

    recipe.write_text(RECIPE + "  - fill: {fare: {statistic: median}}\noutput: {partition_by: split}\n")
    run("export-beam", recipe, "--output", "rides_pipeline.py")
    text = Path("rides_pipeline.py").read_text()
    assert "penstock.cli" not in text
    subprocess.run([sys.executable, "rides_pipeline.py", "--output", "beam"], check=True, capture_output=True)
    run("prepare", recipe, "--output", "out")

    def rows(folder: str) -> list[tuple[object, ...]]:
        query = f"SELECT * FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true) ORDER BY id"
        return duckdb.connect().execute(query).fetchall()

    assert rows("beam") == rows("out")
    assert [path.name for path in Path("beam").iterdir() if path.name.startswith(".")] == []
