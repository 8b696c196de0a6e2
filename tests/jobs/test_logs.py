from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.jobs.logs import LogWriter, follow_log, read_log


def same(text: str) -> str:
    return text


def messages(path: Path, task_name: str | None = None) -> list[str]:
    return [entry.message for entry in read_log(path, task_name=task_name)]


def test_entries_come_back_in_order_with_task_severity_and_time(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log.jsonl", clean=same)
    log.write("master-replica-0", "one\ttab, „quotes“", severity="WARNING")
    log.write("worker-replica-0", "two")
    log.close()
    first, second = read_log(tmp_path / "log.jsonl")
    assert (first.message, first.severity, first.task_name) == ("one\ttab, „quotes“", "WARNING", "master-replica-0")
    assert first.timestamp.endswith("Z")
    assert first.insert_id < second.insert_id
    assert messages(tmp_path / "log.jsonl", "worker-replica-0") == ["two"]


def test_messages_are_cleaned_before_they_are_kept(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log.jsonl", clean=lambda text: text.replace("secret", "***"))
    log.write("t", "the secret is out")
    log.close()
    assert "secret" not in (tmp_path / "log.jsonl").read_text()


def test_half_a_line_of_a_killed_writer_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first = LogWriter(path, clean=same)
    first.write("t", "whole")
    first.close()
    with path.open("a") as file:
        file.write('{"insertId": "1", "mess')
    second = LogWriter(path, clean=same)
    second.write("t", "later")
    second.close()
    assert messages(path) == ["whole", "later"]


def test_a_log_stops_growing_at_its_limit_and_counts_what_it_lost(tmp_path: Path) -> None:
    log = LogWriter(tmp_path / "log.jsonl", clean=same, limit_bytes=300)
    for number in range(10):
        log.write("t", f"line {number}")
        log.flush()
    log.close()
    assert (tmp_path / "log.jsonl").stat().st_size <= 300
    assert log.lost == 10 - len(messages(tmp_path / "log.jsonl")) > 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a Linux device")
def test_a_full_disk_costs_entries_and_nothing_else() -> None:
    log = LogWriter(Path("/dev/full"), clean=same)
    log.write("t", "lost")
    log.close()
    assert log.lost == 1


def test_following_ends_when_it_is_over_and_all_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = LogWriter(path, clean=same)
    steps: list[Callable[[], bool]] = []

    def write(text: str, over: bool) -> Callable[[], bool]:
        def step() -> bool:
            log.write("t", text)
            log.flush()
            return over

        return step

    steps += [lambda: False, write("one", False), write("two", True)]
    follower = follow_log(tmp_path / "log.jsonl", is_over=lambda: steps.pop(0)(), poll_s=0.001)
    assert [entry.message for entry in follower] == ["one", "two"]
    log.close()


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert messages(tmp_path / "no.jsonl") == []
