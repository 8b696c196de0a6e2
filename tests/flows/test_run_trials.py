"""Trials on a host that stands for a cluster: whatever happens there, each counts once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.errors import TrainingError
from penstock.flows.run_trials import forget_others, run_trials
from penstock.jobs.trial_host import Sighting, TrialHost, TrialLaunch
from penstock.settings import Settings
from penstock.tuning.parameter import Parameter
from penstock.tuning.specification import Specification
from penstock.tuning.study import Study, begin_study
from penstock.tuning.trial import Trial, TrialState

RATE = Parameter(name="rate", type="DOUBLE", low=0.0, high=1.0)
SPECIFICATION = Specification(parameters=(RATE,), metric="loss", goal="MINIMIZE", trials=4, parallel=2)

Story = Callable[[int, int], Sequence[Sighting]]
"""What is seen of a trial at each look: of its number and its attempt."""


class ToldHost:
    """Trials that go as a story tells."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._seen: dict[int, Iterator[Sighting]] = {}
        self.launches: list[TrialLaunch] = []
        self.stopped: list[int] = []
        self.is_closed = False

    def start(self, launch: TrialLaunch) -> None:
        self.launches.append(launch)
        attempt = sum(one.number == launch.number for one in self.launches)
        self._seen[launch.number] = iter(self._story(launch.number, attempt))

    def wait(self) -> None:
        assert len(self._seen) <= SPECIFICATION.parallel

    def look(self, number: int) -> Sighting:
        seen = next(self._seen[number])
        if number in self.stopped:
            seen = replace(seen, ending="")
        if seen.ending is not None:
            del self._seen[number]
        return seen

    def stop(self, number: int) -> None:
        self.stopped.append(number)

    def close(self) -> None:
        self.is_closed = True


_: type[TrialHost] = ToldHost


def launch_of(trial: Trial) -> TrialLaunch:
    return TrialLaunch(number=trial.number, arguments=[f"--rate={trial.parameters['rate']}"])


def run(study: Study, story: Story) -> tuple[ToldHost, list[str]]:
    host, said = ToldHost(story), list[str]()
    try:
        run_trials(study, host, launch_of=launch_of, say=said.append, changed=lambda: None)
    finally:
        assert host.is_closed
    return host, said


def well(number: int, _attempt: int) -> Sequence[Sighting]:
    return [Sighting(waits=True), Sighting(reports=[(1, 1.0 * number)]), Sighting(reports=[(2, 0.5)], ending="")]


def test_every_trial_runs_to_its_end_with_the_last_value_that_it_reported(settings: Settings) -> None:
    with begin_study("s", SPECIFICATION, settings=settings) as study:
        host, said = run(study, well)
        assert [launch.number for launch in host.launches] == [1, 2, 3, 4]
        assert [trial.value for trial in study.trials] == [0.5] * 4
    assert said.count("Trial 1 has succeeded: loss 0.5") == 1


def test_a_trial_that_was_lost_is_begun_again_with_its_parameters_and_counts_once(settings: Settings) -> None:
    def story(number: int, attempt: int) -> Sequence[Sighting]:
        if number == 2 and attempt < 3:
            return [Sighting(reports=[(1, 9.0)], ending="The replica was killed by SIGKILL.", is_lost=True)]
        return well(number, attempt)

    with begin_study("s", SPECIFICATION, settings=settings) as study:
        host, _ = run(study, story)
        second = [launch.arguments for launch in host.launches if launch.number == 2]
        assert len(second) == 3
        assert second[0] == second[1] == second[2]
        assert [trial.attempts for trial in study.trials] == [1, 3, 1, 1]
        assert [trial.state for trial in study.trials] == [TrialState.SUCCEEDED] * 4


def test_a_trial_that_is_lost_every_time_has_failed(settings: Settings) -> None:
    def story(number: int, attempt: int) -> Sequence[Sighting]:
        return [Sighting(ending="killed.", is_lost=True)] if number == 1 else well(number, attempt)

    with begin_study("s", SPECIFICATION, settings=settings) as study:
        run(study, story)
        assert study.trials[0].state is TrialState.FAILED
        assert study.trials[0].attempts == 6


def test_what_is_hopeless_is_stopped_while_it_runs(settings: Settings) -> None:
    def story(number: int, _attempt: int) -> Sequence[Sighting]:
        value = 0.1 if number < 7 else 5.0
        return [Sighting(reports=[(step, value)]) for step in (1, 2, 3)] + [Sighting(reports=[(4, value)], ending="")]

    specification = replace(SPECIFICATION, trials=8, pruning="median", parallel=1)
    with begin_study("s", specification, settings=settings) as study:
        host, _ = run(study, story)
        assert host.stopped == [7, 8]
        assert [trial.state for trial in study.trials[6:]] == [TrialState.STOPPED] * 2


def test_failed_trials_end_the_study_with_the_last_reason(settings: Settings) -> None:
    def story(_number: int, _attempt: int) -> Sequence[Sighting]:
        return [Sighting(ending="ValueError: no such column")]

    specification = replace(SPECIFICATION, failures=1)
    with (
        begin_study("s", specification, settings=settings) as study,
        pytest.raises(TrainingError, match=r"2 of 2 trials failed, and 1 may .*no such column"),
    ):
        run(study, story)


def test_a_trial_without_a_machine_is_left_for_later_when_the_time_is_over(settings: Settings) -> None:
    def story(number: int, attempt: int) -> Sequence[Sighting]:
        return well(number, attempt) if number == 1 else [Sighting(waits=True)] * 1_000_000

    specification = replace(SPECIFICATION, timeout_s=1.0)
    with begin_study("s", specification, settings=settings) as study:
        host, _ = run(study, story)
        assert {2} <= set(host.stopped) <= {2, 3}
        assert study.result().number == 1
    with begin_study("s", SPECIFICATION, settings=settings, resume=True) as study:
        run(study, well)
        assert [trial.state for trial in study.trials] == [TrialState.SUCCEEDED] * 4


def test_only_a_new_study_forgets_what_lies_in_its_folder(settings: Settings, tmp_path: Path) -> None:
    with begin_study("s", SPECIFICATION, settings=settings) as study:
        (tmp_path / "trials" / "1").mkdir(parents=True)
        forget_others(study, tmp_path)
        assert not (tmp_path / "trials").exists()
        study.ask()
        (tmp_path / "trials" / "1").mkdir(parents=True)
        forget_others(study, tmp_path)
        assert (tmp_path / "trials" / "1").exists()
