"""`penstock data profile` as a user types it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import msgspec
import pytest

from penstock.cli.main import main
from penstock.data.profile import TableProfile


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["data", "profile", *map(str, words)])
    said = capsys.readouterr()
    return int(stopped.value.code or 0), said.out, said.err


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("x,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(300)))
    return path


def test_drift_is_told_against_a_table_a_profile_and_a_bundle(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.csv"
    moved.write_text("x,kind\n" + "".join(f"{i + 200},{'abc'[i % 3]}\n" for i in range(300)))
    status, out, _ = run(capsys, table, "--format", "json")
    assert status == 0
    written = tmp_path / "bundle" / "profile.json"
    written.parent.mkdir()
    written.write_text(out)
    texts = []
    for reference in (table, written, written.parent):
        status, out, _ = run(capsys, moved, "--against", reference)
        assert status == 0
        texts.append(out)
    assert "x: moved far" in texts[0]
    assert "never seen before: 'c'" in texts[0]
    assert texts[0] == texts[1] == texts[2]


def test_json_has_the_profiles_own_keys(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, table, "--exact", "--format", "json")
    assert list(json.loads(out)) == ["rows", "columns", "relations"]
    profile = msgspec.json.decode(out, type=TableProfile)
    assert profile["x"].mean == 149.5
    assert not profile.relations or not profile.relations.is_sample
    _, out, _ = run(capsys, table, "--against", table, "--format", "json")
    assert list(json.loads(out)) == ["profile", "drift"]


def test_a_page_is_written(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, table, "--html", tmp_path / "p.html")
    assert status == 0
    assert "\x1b[" not in out + err
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    status, _, err = run(capsys, table, "--html", tmp_path / "nowhere" / "p.html")
    assert status == 2
    assert "no folder" in err


HOSTILE_FILES = {
    "mixed_ends.csv": b"a,b\r\n1,2\n3,4\r5,6\r\n",
    "trailing.csv": b"a,b,\n1,2,\n3,4,\n",
    "utf16.csv": "\ufeffa,b\n1,é\n".encode("utf-16-le"),
    "unbalanced.csv": b'a,b\n1,"open\n2,x\n3,y\n',
    "nul.csv": b"a,b\n1,x\0y\n2,z\n",
    "wide.csv": (",".join(f"c{i}" for i in range(200)) + "\n" + ",".join("1" * 200) + "\n").encode(),
    "header_only.csv": b"a,b,c\n",
    "no_header.csv": b"1,2\n3,4\n5,6\n",
    "twice.csv": b"a,a,A\n1,2,3\n4,5,6\n",
    "long_cell.csv": b"a,b\n1," + b"x" * 3_000_000 + b"\n2,y\n",
    "comments.csv": b"# made by a tool\n# on a day\na,b\n1,2\n3,4\n",
    "mixed_dates.csv": b"d\n2024-01-31\n31/01/2024\nJan 5, 2024\n",
    "empty.csv": b"",
    "blank_lines.csv": b"\n\n\n",
    "binary.csv": bytes(range(256)) * 20,
    "injected.csv": b'"a""; DROP TABLE t; --","\'); SELECT 1; --",c0\n1,2,3\n4,5,6\n',
    "it's $(touch pwned) `touch pwned`; .csv": b"a\n1\n2\n",
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_a_messy_file_is_profiled_or_refused_in_a_paragraph(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(HOSTILE_FILES[name])
    status, out, err = run(capsys, name, "--html", "p.html")
    assert status in (0, 1)
    assert "Traceback" not in out + err
    assert "bug in Penstock" not in err
    assert (status == 1) == ("penstock: " in err)
    assert not Path("pwned").exists()


def test_an_experiment_trains_on_a_table_of_a_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"sqlite:///{tmp_path / 'shop.db'}#sales"
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("CREATE TABLE sales (rooms INTEGER, price REAL)")
        database.executemany("INSERT INTO sales VALUES (?, ?)", [(i % 9, 100.0 * (i % 9) + i % 7) for i in range(400)])
    database.close()
    experiment = tmp_path / "e.yaml"
    with pytest.raises(SystemExit) as stopped:
        main(["init", source, "--label", "price", "--output", str(experiment)])
    assert not stopped.value.code
    text = experiment.read_text()
    assert source in text
    with pytest.raises(SystemExit) as stopped:
        main(["train", str(experiment)])
    assert not stopped.value.code, capsys.readouterr().err
    assert list(tmp_path.rglob("profile.json"))


def test_the_strongest_associations_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,y,z\n" + "".join(f"{i},{i * i},{i % 7}\n" for i in range(300)))
    _, out, _ = run(capsys, path)
    assert "strongest associations:\n· x and y: correlation 0.97\n" in out
    assert "x and z" not in out


def test_tables_that_do_not_go_together_are_told_of_against(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    status, _, err = run(capsys, table, other)
    assert status == 1
    assert "--against" in err


def test_ctrl_c_ends_a_profile_cleanly(tmp_path: Path) -> None:
    path, home = tmp_path / "t.csv", tmp_path / "home"
    rows = "SELECT i AS x, 'name ' || i AS y FROM range(1_000_000) AS r(i)"
    duckdb.connect().execute(f"COPY ({rows}) TO '{path}' (HEADER true)")
    process = subprocess.Popen(
        [sys.executable, "-m", "penstock.cli.main", "data", "profile", str(path)],
        env={**os.environ, "PENSTOCK_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(home.glob("tmp/*/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode not in (0, 2)
    assert out == ""
    assert "Traceback" not in err
    assert list(home.glob("tmp/*")) == []
