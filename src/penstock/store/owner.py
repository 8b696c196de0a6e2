"""Names the running process so that another can tell whether what it left behind is still being worked on."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["Fate", "fate_of", "this_process"]

Fate = Literal["alive", "gone", "unknown"]


def this_process() -> str:
    """`HOST-PID-START`: unique over hosts, reboots, containers and reused process ids; safe as part of a file name."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_start_of(pid) or 0}"


def fate_of(owner: str) -> Fate:
    """Whether the process of that name still runs: certain on its own host, "unknown" from any other."""
    host, _, rest = owner.partition("-")
    pid, _, start = rest.partition("-")
    if host != _host() or not pid.isdecimal():
        return "unknown"
    found = _start_of(int(pid))
    return "alive" if found is not None and str(found) == start else "gone"


@cache
def _host() -> str:
    # Two containers can share a host name, and a host name outlives a reboot: hence boot and process-id namespace.
    facts = [socket.gethostname(), _text("/proc/sys/kernel/random/boot_id")]
    try:
        facts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115 - not a path, but "pid:[4026531836]"
    except OSError:
        facts.append("")
    return hashlib.sha256("|".join(facts).encode()).hexdigest()[:10]


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _start_of(pid: int) -> int | None:
    """When the process started, in a unit of the system's own; None when there is no such process or it is a zombie."""
    if Path("/proc/self/stat").exists():
        # The command name in parentheses may hold spaces; state is the first field behind it, start time the 20th.
        fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return None if not fields or fields[0] in "ZX" else int(fields[19])
    import subprocess  # of a server's start, which never comes here, it would take a tenth

    listing = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    state, _, started = listing.partition(" ")
    if not listing or state.startswith("Z"):
        return None
    return int.from_bytes(hashlib.sha256(started.strip().encode()).digest()[:6])
