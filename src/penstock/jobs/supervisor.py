"""The life of one job: it waits for its turn, runs where its runner runs it, and is seen to end true."""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from penstock.errors import PenstockError, StoreError
from penstock.jobs.handover import Handover
from penstock.jobs.ledger import LEASE_S, RENEW_S, JobLedger
from penstock.jobs.logs import LOG_NAME, SERVICE_TASK, LogWriter
from penstock.jobs.prediction_input import prediction_output
from penstock.jobs.reaping import reap
from penstock.jobs.record import JobRecord
from penstock.jobs.redaction import Redactor
from penstock.jobs.states import Ended, JobState
from penstock.jobs.training_input import seconds_of
from penstock.jobs.tuning_output import tuning_output
from penstock.settings import Settings

__all__ = ["Runner", "Supervisor"]

_CANCEL_CHECK_S = 0.5
_LIMIT_CHECK_S = 1.0
_LONGEST_QUEUE_POLL_S = 2.0
_REAP_S = 2.0
_TAIL_LINES = 20
_MOST_ERROR_CHARACTERS = 8_000


class Disowned(Exception):  # noqa: N818
    """The store no longer names this process as the job's owner: it was taken for dead."""


class Runner(Protocol):
    """Where the job's processes run: this machine, or a cluster."""

    def needs_slot(self) -> tuple[int, int] | None:
        """GPUs wanted and GPUs there, where the job waits for a slot of this machine; else None."""

    def run(self, supervisor: "Supervisor") -> None:
        """Runs the job to its success, calling `supervisor.watch` all the time. Raises Ended or PenstockError."""

    def memory_bytes(self) -> int:
        """What the job's processes hold; 0 where that is not for the supervisor to know."""

    def stop(self, *, grace_s: float) -> None:
        """Ends everything that runs. Called once at the end, whatever the end is."""


class Supervisor:
    """The life of one job."""

    def __init__(self, handover: Handover, record: JobRecord, ledger: JobLedger, *, settings: Settings) -> None:
        self.handover = handover
        self.record = record
        self.settings = settings
        self.folder = Path(record.folder)
        self.environment = dict(os.environ)  # the user's, handed on to the trainer
        self.clean = Redactor(self.environment).clean
        self.log = LogWriter(self.folder / LOG_NAME, clean=self.clean)
        self._ledger = ledger
        self._tails: dict[str, deque[str]] = {}
        self._due = dict.fromkeys(("renew", "cancel", "limits", "reap"), 0.0)
        self._store_failed_at: float | None = None
        self._running_since: float | None = None
        self._told_to_stop = ""
        self._memory: Callable[[], int] = int
        self.gpus: tuple[int, ...] = ()
        self.units = 0.0
        """ML units an hour of the job's replicas; set by its runner."""
        self.replicas: tuple[Any, ...] = ()
        """What the job's processes run on; set by its runner."""

    def listen(self, task_name: str, message: str, *, severity: str, moment: str | None = None) -> None:
        """Takes a line of a task into the log. moment: when it was said, where that was not now."""
        self._tails.setdefault(task_name, deque(maxlen=_TAIL_LINES)).append(message)
        self.log.write(task_name, message, severity=severity, moment=moment)

    def say(self, message: str, *, severity: str = "INFO") -> None:
        """Penstock's own word in the log, at once."""
        self.log.write(SERVICE_TASK, message, severity=severity)
        self.log.flush()

    def tail(self, task_name: str) -> str:
        """The last lines of a task."""
        return "\n".join(self._tails.get(task_name, ()))

    def enter(self, state: JobState, *, cluster_job: str = "") -> None:
        """The job's next state, in store and log."""
        if state is JobState.RUNNING and self._running_since is None:
            self._running_since = time.monotonic()

        def change() -> bool:
            self._own(self._ledger.set_state(self.record, state, cluster_job=cluster_job))
            return True

        while not self._in_store(change):
            time.sleep(_CANCEL_CHECK_S)
        self.say(f"Job is {state.value.lower()}.")

    def watch(self) -> None:
        """To be called several times a second. Raises Ended when it is time, Disowned when it is too late."""
        self.log.flush()
        if self._told_to_stop:
            raise Ended(JobState.FAILED, f"Its supervisor was told to stop ({self._told_to_stop}).")
        if self._is_due("cancel", _CANCEL_CHECK_S):
            self._in_store(self._check_cancel)
        if self._is_due("renew", RENEW_S):
            self._in_store(lambda: self._own(self._ledger.renew(self.record)))
        if self._is_due("limits", _LIMIT_CHECK_S):
            self._check_limits()

    def run(self, runner: Runner) -> None:
        """The job from its place in the queue to its end."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop_asked)
        self._memory = runner.memory_bytes
        try:
            end = self._live(runner)
        except Disowned:
            self.say("Another process declared this supervisor dead; stopping.", severity="ERROR")
            runner.stop(grace_s=0)
            return
        runner.stop(grace_s=self.settings.job_grace_s if end.state is not JobState.SUCCEEDED else 1.0)
        self._conclude(end)

    def _live(self, runner: Runner) -> Ended:
        try:
            needed = runner.needs_slot()
            if needed is not None:
                self._wait_for_turn(*needed)
            runner.run(self)
        except Ended as end:
            return end
        except PenstockError as error:
            return Ended(JobState.FAILED, str(error))
        except Disowned:
            raise
        except Exception as error:
            import traceback

            self.say(traceback.format_exc(), severity="ERROR")
            return Ended(JobState.FAILED, f"Penstock's supervisor failed: {type(error).__name__}: {error}")
        return Ended(JobState.SUCCEEDED)

    def _wait_for_turn(self, gpus_wanted: int, gpus_here: int) -> None:
        self.say("Job is queued.")
        longest = seconds_of(self.record.training.scheduling.max_wait_time)
        began = time.monotonic()
        while True:
            given = self._in_store(
                lambda: self._ledger.admit(
                    self.record,
                    slots=self.settings.job_slots,
                    gpus_wanted=gpus_wanted,
                    gpus_here=gpus_here,
                )
            )
            if given is not None:
                self.gpus = given
                return
            self.watch()
            if longest is not None and time.monotonic() - began > longest:
                raise Ended(JobState.CANCELLED, f"It did not start within its maxWaitTime of {longest:g} s.")
            position = self._in_store(lambda: self._ledger.position(self.record)) or 1
            if self._is_due("reap", _REAP_S):
                self._in_store(lambda: reap(self._ledger))  # those that hold slots or stand ahead may be gone
            # Those far behind look less often.
            self._idle(min(0.1 * position, _LONGEST_QUEUE_POLL_S))

    def _idle(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._told_to_stop:
            time.sleep(min(left, _CANCEL_CHECK_S))
            self.watch()

    def _check_cancel(self) -> None:
        if self._ledger.is_cancel_requested(self.record):
            raise Ended(JobState.CANCELLED)

    def _check_limits(self) -> None:
        scheduling = self.record.training.scheduling
        if self._running_since is None:
            return
        longest = seconds_of(scheduling.max_running_time)
        if longest is not None and time.monotonic() - self._running_since > longest:
            raise Ended(JobState.CANCELLED, f"It ran longer than its maxRunningTime of {longest:g} s.")
        if scheduling.memory_limit_mb:
            held = self._memory() / 1e6
            if held > scheduling.memory_limit_mb:
                raise Ended(
                    JobState.FAILED,
                    f"Its processes held {held:,.0f} MB of memory, more than their limit of "
                    f"{scheduling.memory_limit_mb:,} MB (memoryLimitMb).",
                )

    def _conclude(self, end: Ended) -> None:
        reason = self.clean(end.reason)[:_MOST_ERROR_CHARACTERS]
        if self.log.lost:
            note = (
                f"{self.log.lost:,} log entries could not be kept: the disk is full, or the log has reached its limit."
            )
            reason = f"{reason} {note}".strip()
        if reason:
            self.log.write(SERVICE_TASK, reason, severity="WARNING" if end.state is JobState.CANCELLED else "ERROR")
        self.log.write(SERVICE_TASK, f"Job is {end.state.value.lower()}.")
        self.log.flush()
        until = time.monotonic() + LEASE_S
        while True:
            try:
                self._ledger.end(self.record, end.state, error_message=reason, output=self._output())
                return
            except StoreError:
                # Whoever looks next finds this process gone and ends the job in its place.
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)

    def _output(self) -> dict[str, Any]:
        hours = 0.0 if self._running_since is None else (time.monotonic() - self._running_since) / 3600
        if self.record.prediction is not None:
            return prediction_output(self.record.prediction, node_hours=hours * len(self.replicas))
        return {**tuning_output(self.folder), "consumedMLUnits": round(self.units * hours, 4)}

    def _in_store(self, action: Callable[[], Any]) -> Any:
        """Uses the store, whose failures are borne for half a lease: a full disk or a busy database may pass."""
        try:
            answer = action()
        except StoreError as error:
            now = time.monotonic()
            self._store_failed_at = self._store_failed_at or now
            if now - self._store_failed_at > LEASE_S / 2:
                raise Ended(JobState.FAILED, f"The metadata store failed for {LEASE_S / 2:.0f} s: {error}") from error
            return None
        self._store_failed_at = None
        return answer

    def _own(self, is_ours: bool) -> None:
        if not is_ours:
            raise Disowned

    def _is_due(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _stop_asked(self, number: int, _frame: object) -> None:
        self._told_to_stop = signal.Signals(number).name
