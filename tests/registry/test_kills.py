"""kill -9 while versions are created and deleted: at any moment every registered version has its whole bundle."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.bundle.folder import verify
from penstock.registry.registry import Registry, open_registry
from penstock.settings import Settings

MakeBundle = Callable[..., Path]

DIE_AT_EVERY_LINE = """
import os, signal, sys
from types import FrameType
from penstock.bundle.folder import verify
from penstock.registry.registry import open_registry
from penstock.settings import load_settings
from penstock.store import blobs
import alembic.command, sqlalchemy.dialects.sqlite  # so that no child spends its time on imports

bundle, first, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
WATCHED = tuple(os.sep + os.path.join("penstock", room) + os.sep for room in ("registry", "store", "bundle"))


def live_until(line: int) -> None:
    left = line

    def trace(frame, event, argument):
        nonlocal left
        if not any(room in frame.f_code.co_filename for room in WATCHED):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    with open_registry(load_settings()) as registry:
        registry.create_version("m", None, bundle)
        registry.set_default("m", registry.list_versions("m").items[-1].number)
        registry.delete_version("m", registry.list_versions("m").items[0].number)
    os._exit(0)


line = first
while True:
    child = os.fork()
    if child == 0:
        live_until(line)
    status = os.waitpid(child, 0)[1]
    with open_registry(load_settings()) as registry:
        versions = registry.list_versions("m").items
        for version in versions:
            verify(version.bundle_uri)
        assert registry.resolve("m") in versions, "the default is one of them"
        registry.sweep()
        assert registry.list_unfinished("m") == []
        folder = blobs.local_path(versions[0].bundle_uri).parent
        assert {path.name for path in folder.iterdir()} == {str(version.number) for version in versions}, line
        for version in versions:  # the next child starts from one version, too
            if not version.is_default:
                registry.delete_version("m", version.number)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL, f"line {line} ended with {status}"
    line += step
print(line)
"""


def die_at_every_line(bundle: Path, *, first: int, step: int) -> int:
    words = [sys.executable, "-c", DIE_AT_EVERY_LINE, str(bundle), str(first), str(step)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def with_one_version(settings: Settings, bundle: Path) -> None:
    with open_registry(settings) as registry:
        registry.create_model("m")
        registry.create_version("m", None, str(bundle))


def test_a_process_that_dies_at_one_line_or_another_leaves_nothing_half_done(
    settings: Settings, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle()
    with_one_version(settings, bundle)
    assert die_at_every_line(bundle, first=random.Random(7).randrange(1, 24), step=24) > 300


@pytest.mark.slow
def test_a_process_that_dies_at_any_line_leaves_nothing_half_done(settings: Settings, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    with_one_version(settings, bundle)
    assert die_at_every_line(bundle, first=1, step=1) > 300


CHANGE_FOREVER = """
import sys
from penstock.registry.registry import open_registry
from penstock.settings import load_settings
with open_registry(load_settings()) as registry:
    print("ready", flush=True)
    while True:
        registry.create_version("m", None, sys.argv[1])
        if len(registry.list_versions("m").items) > 2:
            registry.set_default("m", registry.list_versions("m").items[-1].number)
            registry.delete_version("m", registry.list_versions("m").items[0].number)
"""


def kill_at_random_moments(settings: Settings, bundle: Path, *, rounds: int) -> None:
    moments = random.Random(11)
    with_one_version(settings, bundle)
    for _ in range(rounds):
        words = [sys.executable, "-c", CHANGE_FOREVER, str(bundle)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(moments.random() * 0.3)
            worker.send_signal(signal.SIGKILL)
        with open_registry(settings) as registry:
            check_whole(registry)
    with sqlite3.connect(settings.home / "penstock.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def check_whole(registry: Registry) -> None:
    versions = registry.list_versions("m").items
    for version in versions:
        verify(version.bundle_uri)
    registry.sweep()
    folder = Path(versions[0].bundle_uri).parent
    assert {path.name for path in folder.iterdir()} == {str(version.number) for version in versions}
    assert registry.list_unfinished("m") == []


def test_a_killed_process_leaves_nothing_half_done(settings: Settings, make_bundle: MakeBundle) -> None:
    kill_at_random_moments(settings, make_bundle(graph=b"x" * 8_000_000), rounds=5)


@pytest.mark.slow
def test_a_process_killed_often_leaves_nothing_half_done(settings: Settings, make_bundle: MakeBundle) -> None:
    kill_at_random_moments(settings, make_bundle(graph=b"x" * 8_000_000), rounds=80)


CREATE_MANY = """
import sys
from penstock.errors import AlreadyExistsError
from penstock.registry.registry import open_registry
from penstock.settings import load_settings
won = []
with open_registry(load_settings()) as registry:
    sys.stdin.readline()
    for number in range(int(sys.argv[2])):
        try:
            won.append(registry.create_version("m", f"round{number}", sys.argv[1]).number)
        except AlreadyExistsError:
            pass
        registry.create_version("m", None, sys.argv[1])
print(*won)
"""


def test_processes_that_create_at_once_get_one_version_each(settings: Settings, make_bundle: MakeBundle) -> None:
    bundle, rounds = make_bundle(), 5
    with_one_version(settings, bundle)
    words = [sys.executable, "-c", CREATE_MANY, str(bundle), str(rounds)]
    workers = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, outputs
    won = [int(number) for text, _ in outputs for number in text.split()]
    assert len(won) == rounds, "each name went to one process"
    with open_registry(settings) as registry:
        versions = registry.list_versions("m").items
        assert len(versions) == 1 + rounds + 4 * rounds
        assert [version.number for version in versions] == list(range(1, len(versions) + 1))
        assert len({version.name for version in versions}) == len(versions)
        assert [version.number for version in versions if version.is_default] == [1]
        check_whole(registry)


def test_processes_that_open_a_new_home_at_once_all_find_it_whole(settings: Settings) -> None:
    words = [
        sys.executable,
        "-c",
        "from penstock.registry.registry import open_registry\n"
        "from penstock.settings import load_settings\n"
        "open_registry(load_settings()).list_models()",
    ]
    workers = [subprocess.Popen(words, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(worker.wait(), worker.communicate()[1]) for worker in workers] == [(0, "")] * 4
