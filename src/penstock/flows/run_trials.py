"""Runs a study's trials on a host, so many at a time as it allows, until there are no more to be."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from penstock.jobs.trial_host import TrialHost, TrialLaunch
from penstock.tuning.study import Study
from penstock.tuning.training_output import flag_text
from penstock.tuning.trial import Trial, TrialState

__all__ = ["forget_others", "run_trials"]

_MOST_LOSSES = 5
"""How often a trial is begun again after its own process was killed, before it counts as failed: it may need more
memory than there is. Losing it with the driver is no fault of its own."""


def run_trials(
    study: Study,
    host: TrialHost,
    *,
    launch_of: Callable[[Trial], TrialLaunch],
    say: Callable[[str], None],
    changed: Callable[[], None],
) -> None:
    """say: told of beginnings and ends. changed: called after every change of the study. The host is closed at the end.

    Raises TrainingError when too many trials fail, or the host is lost.
    """
    try:
        _Trials(study, host, launch_of, say, changed).run()
    finally:
        host.close()


def forget_others(study: Study, folder: Path) -> None:
    """Takes away what trials of another study have left in the folder: one of the same name in a store that is gone."""
    if not study.trials:
        shutil.rmtree(folder / "trials", ignore_errors=True)


class _Trials:
    """Those that run, by number. unbegun: stopped before they had a machine."""

    def __init__(
        self,
        study: Study,
        host: TrialHost,
        launch_of: Callable[[Trial], TrialLaunch],
        say: Callable[[str], None],
        changed: Callable[[], None],
    ) -> None:
        self._study = study
        self._host = host
        self._launch_of = launch_of
        self._say = say
        self._changed = changed
        self._running: set[int] = set()
        self._stopped: set[int] = set()
        self._unbegun: set[int] = set()
        self._losses: Counter[int] = Counter()

    def run(self) -> None:
        self._changed()
        while self._start_some() or self._running:
            self._host.wait()
            news = [self._look_at(number) for number in sorted(self._running)]
            if any(news):
                self._changed()
            self._study.renew()

    def _start_some(self) -> bool:
        """Whether trials have been begun."""
        begun = False
        while len(self._running) < self._study.specification.parallel:
            trial = self._study.ask()
            if trial is None:
                break
            again = f", attempt {trial.attempts}" if trial.attempts > 1 else ""
            given = " ".join(f"--{name}={flag_text(value)}" for name, value in trial.parameters.items())
            self._say(f"Trial {trial.number} begins{again}: {given}")
            self._host.start(self._launch_of(trial))
            self._running.add(trial.number)
            begun = True
        if begun:
            self._changed()
        return begun

    def _look_at(self, number: int) -> bool:
        """Whether there was news of the trial."""
        seen = self._host.look(number)
        goes_on = seen.ending is None and number not in self._stopped
        for step, value in seen.reports:
            if self._study.report(number, step, value) and goes_on:
                goes_on = False
                self._stopped.add(number)
                self._host.stop(number)
        if seen.waits and goes_on and self._study.is_out_of_time:
            self._stopped.add(number)
            self._unbegun.add(number)
            self._host.stop(number)
        if seen.ending is None:
            return bool(seen.reports)
        self._end(number, seen.ending, is_lost=seen.is_lost)
        return True

    def _end(self, number: int, ending: str, *, is_lost: bool) -> None:
        self._running.discard(number)
        is_stopped = number in self._stopped
        self._stopped.discard(number)
        if number in self._unbegun:
            self._unbegun.discard(number)
            self._say(f"Trial {number} had no machine before the time was over.")
            self._study.lose(number)
            return
        if is_lost and not is_stopped and self._losses[number] < _MOST_LOSSES:
            self._losses[number] += 1
            self._say(f"Trial {number} was lost: {ending} It is begun again.")
            self._study.lose(number)
            return
        ended = self._study.tell(number, stopped=is_stopped, failure="" if is_stopped else ending)
        said = ended.failure or f"{self._study.specification.metric} {ended.value:g}"
        prefix = "WARNING: " if ended.state is TrialState.FAILED else ""
        self._say(f"{prefix}Trial {number} has {ended.state.value.lower()}: {said}")
