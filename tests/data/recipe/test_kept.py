"""Kept rows are bounded in number and size, and never removed while in use."""

import os
import threading
import time
from pathlib import Path

import pytest

from penstock.data.recipe.kept import hold, making, remove_old


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Five folders of 1,000 bytes, the last one used last."""
    made = [tmp_path / f"rows-{number}" for number in range(5)]
    for number, folder in enumerate(made):
        (folder / "split=train").mkdir(parents=True)
        (folder / "split=train" / "part.parquet").write_bytes(bytes(1_000))
        with hold(folder):
            pass
        os.utime(folder.with_name(f".{folder.name}.used"), (number, number))
    return made


def left(folders: list[Path]) -> list[int]:
    return [number for number, folder in enumerate(folders) if folder.exists()]


def test_those_used_last_stay(folders: list[Path], tmp_path: Path) -> None:
    remove_old(tmp_path, most_folders=3)
    assert left(folders) == [2, 3, 4]
    remove_old(tmp_path, most_bytes=2_999)
    assert left(folders) == [3, 4]
    assert {path.name for path in tmp_path.iterdir()} == {"rows-3", "rows-4", ".rows-3.used", ".rows-4.used"}


def test_what_is_in_use_stays_whatever_it_takes(folders: list[Path], tmp_path: Path) -> None:
    with hold(folders[0]), hold(folders[0]), hold(folders[1]):
        os.utime(tmp_path / ".rows-0.used", (0, 0))
        os.utime(tmp_path / ".rows-1.used", (0, 0))
        remove_old(tmp_path, most_folders=1)
        assert left(folders) == [0, 1, 4]
    remove_old(tmp_path, most_folders=0)
    assert left(folders) == []


def test_what_killed_runs_left_is_removed_once_it_is_old(folders: list[Path], tmp_path: Path) -> None:
    half_removed = tmp_path / ".rows-9.old-0a1b2c3d"
    stopped, fresh = tmp_path / ".rows-8.preparing-0123", tmp_path / ".rows-7.preparing-0123"
    for folder in (half_removed, stopped, fresh):
        folder.mkdir()
        (folder / "part").write_bytes(b"x")
    os.utime(stopped, (0, 0))
    remove_old(tmp_path)
    assert left(folders) == [0, 1, 2, 3, 4]
    assert not half_removed.exists()
    assert not stopped.exists()
    assert fresh.exists()


def test_one_makes_and_the_others_wait(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with making(tmp_path / "rows"):
            order.append("second")

    with making(tmp_path / "rows"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.05)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]
