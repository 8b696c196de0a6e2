"""The processes of a job on one machine: started together, listened to, and ended with everything that they started."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any, Protocol

from penstock.errors import TrainingError
from penstock.jobs.processes import descendants, die_with_parent, end_all
from penstock.jobs.severity import SeverityReader

__all__ = ["Crew", "Exit", "Launch", "Listener"]

_READ_BYTES = 1 << 16
_LONGEST_LINE = 1 << 16
_TICK_S = 0.1


class Listener(Protocol):
    """Takes what a task printed, line by line."""

    def __call__(self, task_name: str, message: str, *, severity: str) -> None: ...


@dataclass(frozen=True)
class Launch:
    """A process to start. task_name: what it is called in logs. environment: all of its variables."""

    task_name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: str


@dataclass(frozen=True)
class Exit:
    """How a task ended: its status, below 0 for the signal that killed it."""

    task_name: str
    status: int

    @property
    def reason(self) -> str:
        """In ML Engine's words."""
        role, _, index = self.task_name.rpartition("-")
        who = f"The replica {role.removesuffix('-replica')} {index}"
        if self.status >= 0:
            return f"{who} exited with a non-zero status of {self.status}. Termination reason: Error."
        with suppress(ValueError):
            name = signal.Signals(-self.status).name
            hint = " (out of memory, unless somebody killed it)" if name == "SIGKILL" else ""
            return f"{who} was killed by {name}{hint}. Termination reason: {name}."
        return f"{who} was killed by signal {-self.status}. Termination reason: Signal."


class Crew:
    """The running tasks. Not for threads; the processes are killed when the thread that started them ends.

    The process that owns it is expected to be a subreaper (`processes.become_subreaper`), so that no descendant of a
    task gets away.
    """

    def __init__(self, listen: Listener) -> None:
        self._listen = listen
        self._selector = selectors.DefaultSelector()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._streams: dict[int, _Stream] = {}
        self.exits: dict[str, Exit] = {}

    @property
    def running(self) -> list[str]:
        """Names of the tasks that have not ended."""
        return [name for name in self._processes if name not in self.exits]

    def start(self, launch: Launch) -> None:
        """Starts a task in a session of its own. Raises TrainingError when the system will not."""
        try:
            process = subprocess.Popen(
                list(launch.command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(launch.environment),
                cwd=launch.folder,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise TrainingError(f"cannot start {launch.task_name} ({launch.command[0]}): {error}") from error
        self._processes[launch.task_name] = process
        self.exits.pop(launch.task_name, None)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._streams[pipe.fileno()] = _Stream(launch.task_name, pipe, self._listen)
            self._selector.register(pipe, selectors.EVENT_READ)
        self._watch_end(process)

    def wait(self, timeout_s: float) -> None:
        """Hears what the tasks print; returns once one of them has said something or ended, or the time has passed."""
        deadline = time.monotonic() + timeout_s
        heard = False
        while True:
            left = deadline - time.monotonic()
            for key, _ in self._selector.select(max(0.0, min(left, _TICK_S))):
                if key.fd in self._streams:
                    self._read(key.fd)
                    heard = True
            if self._reap() or heard or left <= 0:
                return

    def pids(self) -> set[int]:
        """Every process of the job on this machine: the tasks and all that descends from them."""
        return descendants(awaited={process.pid for process in self._processes.values()})

    def stop(self, *, grace_s: float, tasks: Sequence[str] | None = None) -> bool:
        """Ends tasks, all by default: asked with SIGTERM, killed after `grace_s`. Whether nothing of them is left.

        With all tasks end all their descendants, whatever sessions or groups they made.
        """
        names = self.running if tasks is None else [name for name in tasks if name in self.running]

        def alive() -> set[int]:
            chosen = {self._processes[name].pid for name in names if name not in self.exits}
            return chosen if tasks is not None else self.pids()

        return end_all(alive, grace_s=grace_s, tick=self.wait)

    def close(self) -> None:
        """Hears what is left in the pipes and lets go of them."""
        for number in list(self._streams):
            self._read(number)
            self._drop(number)
        self._selector.close()

    def _watch_end(self, process: "subprocess.Popen[bytes]") -> None:
        with suppress(AttributeError, OSError):  # Linux only; elsewhere `wait` looks every tick
            self._selector.register(os.pidfd_open(process.pid), selectors.EVENT_READ, process)

    def _reap(self) -> bool:
        ended = False
        for name, process in self._processes.items():
            if name in self.exits or process.poll() is None:
                continue
            # What it said last is still in the pipe; a child that outlives it may hold the pipe open for long.
            for number, stream in list(self._streams.items()):
                if stream.task_name == name:
                    self._read(number)
            self.exits[name] = Exit(name, process.returncode)
            ended = True
        if ended:
            self._forget_ended()
        return ended

    def _forget_ended(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, subprocess.Popen) and key.data.returncode is not None:
                self._selector.unregister(key.fileobj)
                os.close(key.fd)

    def _read(self, number: int) -> None:
        stream = self._streams[number]
        while True:
            try:
                data = os.read(number, _READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._drop(number)
                return
            stream.take(data)
            if len(data) < _READ_BYTES:
                return

    def _drop(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.end()
            self._selector.unregister(stream.pipe)
            stream.pipe.close()


class _Stream:
    """Cuts what a pipe brings into lines. A carriage return ends a line too: progress bars draw with it."""

    def __init__(self, task_name: str, pipe: IO[Any], listen: Listener) -> None:
        self.task_name = task_name
        self.pipe = pipe
        self._listen = listen
        self._rest = b""
        self._severity = SeverityReader()

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._say(line)
        if len(self._rest) > _LONGEST_LINE:
            self._say(self._rest)
            self._rest = b""

    def end(self) -> None:
        if self._rest:
            self._say(self._rest)
            self._rest = b""

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        self._listen(self.task_name, text, severity=self._severity.of(text))
