import os
import sys
import time
from pathlib import Path

import pytest

from penstock.errors import TrainingError
from penstock.jobs.crew import Crew, Exit, Launch


class Heard:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def __call__(self, task_name: str, message: str, *, severity: str) -> None:
        self.lines.append((task_name, message, severity))


def launch(code: str, name: str = "master-replica-0") -> Launch:
    return Launch(name, [sys.executable, "-c", code], dict(os.environ), "/")


def run(crew: Crew, *launches: Launch) -> None:
    for one in launches:
        crew.start(one)
    deadline = time.monotonic() + 30
    while crew.running:
        crew.wait(0.1)
        assert time.monotonic() < deadline
    crew.close()


def test_what_tasks_print_is_heard_by_name_and_severity() -> None:
    heard = Heard()
    code = "import sys; print('one'); print('WARNING: two', file=sys.stderr)"
    run(Crew(heard), launch(code), launch("print('three')", "worker-replica-0"))
    assert sorted(heard.lines) == [
        ("master-replica-0", "WARNING: two", "WARNING"),
        ("master-replica-0", "one", "INFO"),
        ("worker-replica-0", "three", "INFO"),
    ]


def test_carriage_returns_long_lines_bad_bytes_and_a_missing_last_newline_are_lines_too() -> None:
    heard = Heard()
    code = (
        "import sys; out = sys.stdout.buffer\n"
        "out.write(b'10%\\r20%\\r\\nend' + b'\\xff\\n' + b'x' * 200_000 + b'\\nlast'); out.flush()"
    )
    run(Crew(heard), launch(code))
    messages = [message for _, message, _ in heard.lines]
    assert messages[:3] == ["10%", "20%", "end\ufffd"]
    assert "".join(messages[3:-1]).count("x") + messages[-1].count("x") == 200_000
    assert messages[-1].endswith("last")


def test_exits_say_how_a_task_ended() -> None:
    crew = Crew(Heard())
    run(
        crew,
        launch("import sys; sys.exit(3)"),
        launch("import os; os.kill(os.getpid(), 9)", "worker-replica-1"),
        launch("pass", "ps-replica-0"),
    )
    assert {name: one.status for name, one in crew.exits.items()} == {
        "master-replica-0": 3,
        "worker-replica-1": -9,
        "ps-replica-0": 0,
    }
    reason = crew.exits["master-replica-0"].reason
    assert reason == "The replica master 0 exited with a non-zero status of 3. Termination reason: Error."
    assert "killed by SIGKILL (out of memory" in crew.exits["worker-replica-1"].reason
    assert "SIGSEGV" in Exit("ps-replica-2", -11).reason


def test_a_command_that_cannot_start_is_named() -> None:
    with pytest.raises(TrainingError, match="cannot start master-replica-0"):
        Crew(Heard()).start(Launch("master-replica-0", ["/no/such/python"], {}, "/"))
    with pytest.raises(TrainingError, match="cannot start"):
        Crew(Heard()).start(Launch("master-replica-0", [sys.executable], {}, "/no/such/folder"))


def test_some_tasks_can_be_ended_before_others() -> None:
    crew = Crew(Heard())
    crew.start(launch("import time; time.sleep(60)"))
    crew.start(launch("import time; time.sleep(60)", "ps-replica-0"))
    assert crew.stop(grace_s=5, tasks=["ps-replica-0"])
    assert crew.running == ["master-replica-0"]
    assert crew.exits["ps-replica-0"].status == -15
    assert crew.stop(grace_s=5, tasks=crew.running)
    crew.close()


def test_no_descriptor_stays_open_behind_a_task() -> None:
    crew = Crew(Heard())
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    for number in range(5):
        crew.start(launch("print('x')", f"worker-replica-{number}"))
    while crew.running:
        crew.wait(0.1)
    crew.wait(0.1)
    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    crew.close()
    assert after <= before
