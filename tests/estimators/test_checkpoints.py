from pathlib import Path

import numpy as np
import pytest

from penstock.errors import NotFoundError, TrainingError
from penstock.estimators.checkpoints import Checkpoint, CheckpointFolder


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(
        step, {"trainable/0": np.full((2, 3), step, np.float32), "rate": np.array(0.5, np.float32)}, {"waited": 2}
    )


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(7))
    loaded = folder.load(7)
    assert loaded.step == 7
    assert loaded.facts == {"waited": 2}
    assert loaded.arrays["trainable/0"].tolist() == [[7.0] * 3] * 2
    assert loaded.arrays["rate"].shape == ()


def test_the_newest_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    for step in (1, 10, 2, 30):
        folder.save(checkpoint(step))
    assert folder.steps() == [10, 30]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint-10.json",
        "checkpoint-10.npz",
        "checkpoint-30.json",
        "checkpoint-30.npz",
    ]


@pytest.mark.parametrize("damage", ["cut", "altered", "arrays gone", "description cut"])
def test_a_damaged_checkpoint_is_passed_over_with_a_notice(tmp_path: Path, damage: str) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(checkpoint(1))
    folder.save(checkpoint(2))
    arrays, description = tmp_path / "checkpoint-2.npz", tmp_path / "checkpoint-2.json"
    content = arrays.read_bytes()
    match damage:
        case "cut":
            arrays.write_bytes(content[: len(content) // 2])
        case "altered":
            arrays.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
        case "arrays gone":
            arrays.unlink()
        case "description cut":
            description.write_bytes(description.read_bytes()[:9])
    notices: list[str] = []
    latest = folder.latest(notice=notices.append)
    assert latest is not None
    assert latest.step == 1
    assert len(notices) == 1
    assert "2" in notices[0]
    with pytest.raises((TrainingError, NotFoundError)):
        folder.load(2)


def test_no_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").latest() is None
    with pytest.raises(NotFoundError, match="step 3"):
        CheckpointFolder(tmp_path).load(3)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(ValueError, match=r"[Oo]bject arrays"):
        folder.save(Checkpoint(1, {"evil": np.array([object()])}, {}))
    assert folder.steps() == []
