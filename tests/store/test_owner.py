"""Whether the process that left something behind still runs."""

import os
import re
import subprocess
import sys

from penstock.store.owner import fate_of, this_process

SAY_WHO = "from penstock.store.owner import this_process; print(this_process(), flush=True); input()"


def test_this_process_is_alive_under_one_name() -> None:
    assert fate_of(this_process()) == "alive"
    assert this_process() == this_process()
    assert re.fullmatch(r"[0-9a-f]{10}-\d+-\d+", this_process()), "safe in file names"


def test_another_process_is_alive_until_it_ends() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SAY_WHO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert name != this_process()
        assert fate_of(name) == "alive"
        other.kill()
        # Not waited for yet: it is a zombie, which holds nothing and does nothing any more.
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert fate_of(name) == "gone"
    assert fate_of(name) == "gone"


def test_a_process_with_a_used_number_is_another_one() -> None:
    host, pid, start = this_process().split("-")
    assert fate_of(f"{host}-{pid}-{int(start) - 1}") == "gone"


def test_nothing_is_known_about_other_hosts_and_odd_names() -> None:
    _, pid, start = this_process().split("-")
    for owner in (f"0123456789-{pid}-{start}", "", "nonsense", "a-b-c", f"{this_process().split('-')[0]}-x-1"):
        assert fate_of(owner) == "unknown"
