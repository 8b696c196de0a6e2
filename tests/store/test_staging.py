"""Folders that appear whole or not at all, and what is cleared away."""

import os
import time
from pathlib import Path

import pytest

from penstock.errors import AlreadyExistsError, StoreError
from penstock.store.owner import this_process
from penstock.store.staging import ABANDONED_AFTER_S, StagedFolder, sweep_abandoned

HOST, PID, START = this_process().split("-")


def test_a_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "down" / "folder"
    with StagedFolder(str(target), last="last") as staged:
        (staged.path / "a").write_text("1")
        (staged.path / "sub").mkdir()
        (staged.path / "sub" / "b").write_text("2")
        assert not target.exists()
        staged.publish()
    assert sorted(path.relative_to(target).as_posix() for path in target.rglob("*")) == ["a", "sub", "sub/b"]
    assert [path.name for path in target.parent.iterdir()] == ["folder"]


def test_a_folder_that_is_not_published_goes_away(tmp_path: Path) -> None:
    with StagedFolder(str(tmp_path / "folder"), last="last") as staged:
        (staged.path / "a").write_text("1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "dangling link"])
def test_what_is_there_is_kept(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    match kind:
        case "folder":
            target.mkdir()
            (target / "kept").touch()
        case "empty folder":
            target.mkdir()
        case "file":
            target.touch()
        case _:
            target.symlink_to(tmp_path / "nowhere")
    with StagedFolder(str(target), last="last") as staged, pytest.raises(AlreadyExistsError, match="is there already"):
        staged.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert kind != "folder" or (target / "kept").exists()


def test_of_two_writers_one_publishes(tmp_path: Path) -> None:
    target = str(tmp_path / "folder")
    with StagedFolder(target, last="last") as first, StagedFolder(target, last="last") as second:
        (first.path / "who").write_text("first")
        (second.path / "who").write_text("second")
        second.publish()
        with pytest.raises(AlreadyExistsError):
            first.publish()
    assert (tmp_path / "folder" / "who").read_text() == "second"


def test_only_what_the_dead_have_left_is_swept(tmp_path: Path) -> None:
    names = {
        "alive": f".1.partial-{HOST}-{PID}-{START}-aa",
        "gone": f".1.partial-{HOST}-4194305-1-bb",
        "elsewhere, fresh": f".1.partial-0123456789-{PID}-{START}-cc",
        "elsewhere, old": ".été.partial-0123456789-1-1-dd",
        "not ours": ".git",
        "published": "1700000000",
    }
    for name in names.values():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    long_ago = time.time() - ABANDONED_AFTER_S - 60
    os.utime(tmp_path / names["elsewhere, old"], (long_ago, long_ago))
    os.utime(tmp_path / names["alive"], (long_ago, long_ago))
    swept = {path.name for path in sweep_abandoned(tmp_path)}
    assert swept == {names["gone"], names["elsewhere, old"]}
    assert {path.name for path in tmp_path.iterdir()} == set(names.values()) - swept


def test_staging_clears_what_the_dead_have_left(tmp_path: Path) -> None:
    (tmp_path / f".9.partial-{HOST}-4194305-1-bb").mkdir()
    with StagedFolder(str(tmp_path / "new"), last="last") as staged:
        staged.publish()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write to"):
        StagedFolder(str(tmp_path / "file" / "folder"), last="last")
