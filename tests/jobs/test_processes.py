"""Process trees, in a process of their own: what a subreaper inherits must not be this test run's."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.jobs.conftest import is_alive

from penstock.jobs.processes import MARKER_VARIABLE, end_all, marked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers and /proc are Linux's")

# A child whose grandchild leaves its session, loses its parent, and ignores the request to end.
STUBBORN = """
import os, signal, sys, time
if os.fork():
    time.sleep(60)
os.setsid()
if os.fork():
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
"""

OWNER = """
import subprocess, sys, time
from pathlib import Path
from penstock.jobs.processes import become_subreaper, descendants, end_all
become_subreaper()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
while not Path(sys.argv[2]).exists() or not Path(sys.argv[2]).read_text():
    time.sleep(0.01)
escaped = int(Path(sys.argv[2]).read_text())
time.sleep(0.1)
assert escaped in descendants(awaited={child.pid}), "the escaped grandchild is not found"
def left():
    child.poll()
    return descendants(awaited={child.pid})
assert end_all(left, grace_s=0.3)
print("ended")
"""


def test_a_grandchild_that_left_its_session_is_found_and_ended(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    done = subprocess.run(
        [sys.executable, "-c", OWNER, STUBBORN, str(note)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "ended\n", done.stderr
    assert not is_alive(int(note.read_text()))


def test_marked_processes_are_found_wherever_they_went(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = subprocess.Popen([sys.executable, "-c", STUBBORN, str(note)], env={MARKER_VARIABLE: "the-mark"})
    try:
        while not note.exists() or not note.read_text():
            time.sleep(0.01)
        found = marked("the-mark")
        assert {process.pid, int(note.read_text())} <= found
        assert marked("another-mark") == set()
    finally:
        assert end_all(lambda: marked("the-mark"), grace_s=0)
        process.wait()
    assert marked("the-mark") == set()


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    parent = (
        "import subprocess, sys, time\n"
        "from penstock.jobs.processes import die_with_parent\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "child = subprocess.Popen(sleep, preexec_fn=die_with_parent())\n"
        "open(sys.argv[1], 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, str(note)])
    while not note.exists() or not note.read_text():
        time.sleep(0.01)
    child = int(note.read_text())
    assert is_alive(child)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)
