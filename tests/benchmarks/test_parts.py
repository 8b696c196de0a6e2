from pathlib import Path

import benchmarks.parts
import pytest
from benchmarks.parts import Parts


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.parts, "CACHE", tmp_path)


def test_a_part_is_measured_once_and_again_when_asked() -> None:
    assert Parts("any").measure("one, seed 0", lambda: {"score": 1.0}) == {"score": 1.0}
    assert Parts("any").measure("one, seed 0", lambda: {"score": 2.0}) == {"score": 1.0}
    assert Parts("any", is_again=True).measure("one, seed 0", lambda: {"score": 3.0}) == {"score": 3.0}
    assert Parts("any").kept("one, seed 1") is None


def test_a_part_that_fails_is_told_and_leaves_what_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> dict[str, float]:
        raise ValueError("no such table")

    assert Parts("any").measure("one", fails) is None
    assert "one: failed, ValueError: no such table" in capsys.readouterr().err
    assert Parts("any").measure("one", lambda: {"score": 1.0}) == {"score": 1.0}
    assert Parts("any", is_again=True).measure("one", fails) is None
    assert Parts("any").kept("one") == {"score": 1.0}
