"""The processes of this machine: who descends from whom, who carries a mark, and ending all of a tree.

Linux tells everything under /proc and hands a dead process's children to the nearest subreaper; elsewhere `ps` answers
and a process that left its tree is found by its mark alone.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "MARKER_VARIABLE",
    "become_subreaper",
    "descendants",
    "die_with_parent",
    "end_all",
    "marked",
    "resident_bytes",
]

MARKER_VARIABLE = "PENSTOCK_JOB_MARKER"
"""Environment variable that every process of a job inherits: by it, what a killed supervisor left behind is found."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_KILL_FOR_S = 30.0


def become_subreaper() -> None:
    """From now on orphans among this process's descendants become its children. Does nothing but on Linux."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> Callable[[], None]:
    """What a child is to call before `exec` so that it is killed when the thread that forked it ends."""
    parent = os.getpid()
    libc = _libc() if sys.platform == "linux" else None  # looked up before the fork

    def arrange() -> None:
        if libc is None:
            return
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return arrange


def descendants(*, awaited: Collection[int] = ()) -> set[int]:
    """Every living process below this one. Adopted orphans that have ended are reaped.

    awaited: children whose end is waited for elsewhere, with their status.
    """
    root = os.getpid()
    parents, zombies = _process_table()
    for pid in zombies:
        if parents[pid] == root and pid not in awaited:
            with suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for pid in children.get(waiting.pop(), ()):
            if pid not in found:
                found.add(pid)
                waiting.append(pid)
    return found - zombies


def marked(marker: str) -> set[int]:
    """Every living process whose environment holds the mark of a job, this one excepted."""
    wanted = f"{MARKER_VARIABLE}={marker}"
    found = set()
    if sys.platform == "linux":
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with suppress(OSError):
                    if wanted.encode() in (folder / "environ").read_bytes().split(b"\0"):
                        found.add(int(folder.name))
    else:
        listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, text=True, check=False)
        for line in listing.stdout.splitlines():
            pid, _, command = line.strip().partition(" ")
            if wanted in command:
                found.add(int(pid))
    return found - {os.getpid()}


def end_all(find: Callable[[], Collection[int]], *, grace_s: float, tick: Callable[[float], None] = time.sleep) -> bool:
    """Ends every process that `find` names: asked to first, killed after `grace_s`. Whether none is left.

    find: called again and again, since processes fork while they are being ended.
    tick: waits for some seconds; may read what the dying still say.
    """
    deadline = time.monotonic() + grace_s
    asked: set[int] = set()
    while (left := set(find())) and time.monotonic() < deadline:
        for pid in left - asked:
            _signal(pid, signal.SIGTERM)
        asked |= left
        tick(0.02)
    deadline = time.monotonic() + _KILL_FOR_S
    while (left := set(find())) and time.monotonic() < deadline:
        for pid in left:
            _signal(pid, signal.SIGKILL)
        tick(0.01)
    return not left


def resident_bytes(pids: Collection[int]) -> int:
    """Memory that these processes hold together, in bytes; what they share is counted once where the system tells."""
    total = 0
    if sys.platform != "linux":
        listing = subprocess.run(
            ["ps", "-o", "rss=", "-p", ",".join(map(str, pids)) or "0"], capture_output=True, text=True, check=False
        )
        return sum(int(word) * 1024 for word in listing.stdout.split())
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def _process_table() -> tuple[dict[int, int], set[int]]:
    """Parent of each process, and those that have ended and wait to be reaped."""
    parents: dict[int, int] = {}
    zombies: set[int] = set()
    if sys.platform == "linux":
        for name in os.listdir("/proc"):  # noqa: PTH208 - half the time of Path.iterdir, and called often
            if not name.isdecimal():
                continue
            with suppress(OSError, ValueError, IndexError):
                text = Path(f"/proc/{name}/stat").read_text(errors="replace")
                state, parent = text.rpartition(")")[2].split()[:2]
                parents[int(name)] = int(parent)
                if state in "ZX":
                    zombies.add(int(name))
    else:
        listing = subprocess.run(["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=False)
        for line in listing.stdout.splitlines():
            pid, parent, state = line.split()[:3]
            parents[int(pid)] = int(parent)
            if state.startswith("Z"):
                zombies.add(int(pid))
    return parents, zombies


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
