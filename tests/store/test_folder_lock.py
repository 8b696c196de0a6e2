"""One process at a time writes to a folder; the second is told who the first is; the dead hold nothing."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import msgspec
import pytest

from penstock.errors import PreconditionError, StoreError
from penstock.store import folder_lock
from penstock.store.folder_lock import LEASE_S, lock_folder

HOLD = """
import sys
from penstock.store.folder_lock import lock_folder
with lock_folder(sys.argv[1], doing="is being trained in"):
    print("held", flush=True)
    input()
"""
BUCKET = "memory://locks/run"


@pytest.fixture(autouse=True)
def _empty_bucket() -> Generator[None]:
    yield
    system = fsspec.filesystem("memory")
    if system.exists("/locks"):
        system.rm("/locks", recursive=True)


def hold(place: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_process_is_told_who_the_first_is(tmp_path: Path) -> None:
    with hold(str(tmp_path / "run")) as first:
        with pytest.raises(PreconditionError) as refused, lock_folder(str(tmp_path / "run"), doing="is being used"):
            pass
        assert f"is being used by process {first.pid} on host {socket.gethostname()!r}" in str(refused.value)
        first.communicate("\n")
    with lock_folder(str(tmp_path / "run"), doing="is being used"):
        pass


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with hold(str(tmp_path / "run")) as first:
        first.kill()
        first.wait()
    with lock_folder(str(tmp_path / "run"), doing="is being used"):
        pass


@pytest.mark.parametrize("place", ["local", BUCKET])
def test_its_holder_may_take_it_again_and_another_thread_may_not(place: str, tmp_path: Path) -> None:
    uri = str(tmp_path / place) if place == "local" else place
    refused: list[Exception] = []

    def take() -> None:
        try:
            with lock_folder(uri, doing="is being used"):
                pass
        except PreconditionError as error:
            refused.append(error)

    with lock_folder(uri, doing="is being used"):
        with lock_folder(uri, doing="is being used"):
            pass
        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
    assert f"process {os.getpid()}" in str(refused[0])
    take()
    assert len(refused) == 1


@pytest.mark.parametrize(("silent_s", "is_free"), [(LEASE_S / 2, False), (LEASE_S * 2, True)])
def test_at_a_uri_another_hosts_lock_is_honoured_while_it_is_renewed(silent_s: float, is_free: bool) -> None:
    with lock_folder(BUCKET, doing="is being used"):
        system = fsspec.filesystem("memory")
        content = msgspec.json.decode(system.cat_file("/locks/run/.lock"))
    moment = (datetime.now(UTC) - timedelta(seconds=silent_s)).isoformat()
    elsewhere = {**content, "owner": "0123456789-7-7", "host": "elsewhere", "pid": 7, "renewed": moment}
    system.pipe_file("/locks/run/.lock", msgspec.json.encode(elsewhere))
    if is_free:
        with lock_folder(BUCKET, doing="is being used"):
            pass
        return
    with (
        pytest.raises(PreconditionError, match="process 7 on host 'elsewhere'"),
        lock_folder(BUCKET, doing="is being used"),
    ):
        pass


def test_at_a_uri_a_lock_is_renewed_and_its_loss_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_lock, "_RENEWED_EVERY_S", 0.01)
    system = fsspec.filesystem("memory")
    with lock_folder(BUCKET, doing="is being used") as lock:
        first = system.cat_file("/locks/run/.lock")
        while system.cat_file("/locks/run/.lock") == first:
            lock.check()
        usurped = {**msgspec.json.decode(first), "owner": "0123456789-7-7", "host": "elsewhere", "pid": 7}
        content = msgspec.json.encode(usurped)

        def usurp() -> None:
            while True:
                system.pipe_file("/locks/run/.lock", content)
                lock.check()

        with pytest.raises(PreconditionError, match=r"process 7 on host 'elsewhere' .* has taken over"):
            usurp()
    assert msgspec.json.decode(system.cat_file("/locks/run/.lock"))["pid"] == 7, "its lock is left to the new holder"


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StoreError, match="cannot write to the folder"), lock_folder(str(tmp_path / "run"), doing="is"):
        pass
