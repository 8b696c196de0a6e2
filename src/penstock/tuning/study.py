"""The study: asks for trials, hears what they report, says which to stop and which was best. Every trial's end is in
the store before the next is chosen, so a study can be killed at any time and gone on with.

Optuna samples and prunes, over an in-memory study rebuilt from the store. Its samplers are seeded by the number of the
trial: a study that was killed and resumed chooses, one trial at a time, as one that was not.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import optuna

from penstock.errors import NotFoundError, TrainingError
from penstock.settings import Settings
from penstock.tuning.gaussian_process import GaussianProcessSampler
from penstock.tuning.ledger import StudyLedger
from penstock.tuning.parameter import Value
from penstock.tuning.search_space import distribution_of, grid_of, sampler_values, suggest
from penstock.tuning.specification import Specification
from penstock.tuning.trial import Trial, TrialState

__all__ = ["Study", "begin_study"]

_REDUCTION_FACTOR = 4
_MEDIAN_STARTUP_TRIALS = 5
_QUICK_S = 1.0
"""A trial of a quick study that is over sooner is written down once, when it ends: a durable write takes longer than
some trainings."""

_ENDED = {
    TrialState.SUCCEEDED: optuna.trial.TrialState.COMPLETE,
    TrialState.STOPPED: optuna.trial.TrialState.PRUNED,
    TrialState.FAILED: optuna.trial.TrialState.FAIL,
}


class Study:
    """A context manager; leaving it lets go of the study in the store. Not for threads: one thread asks and tells.

    earlier: trials of another study, to learn from. quick: whether trials are so short that their start need not be
    written before they run.
    """

    def __init__(
        self,
        specification: Specification,
        ledger: StudyLedger,
        trials: Sequence[Trial] = (),
        *,
        earlier: Sequence[Trial] = (),
        quick: bool = False,
    ) -> None:
        self.specification = specification
        self._ledger = ledger
        self._trials = {trial.number: trial for trial in trials}
        self._lost = [trial.number for trial in trials if not trial.is_over]
        self._began = time.monotonic()
        self._grid = grid_of(specification.parameters) if specification.algorithm == "grid" else None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna = optuna.create_study(
            direction=optuna.study.StudyDirection[specification.goal],
            sampler=_sampler(specification, 0),
            pruner=_pruner(specification),
        )
        self._running: dict[int, optuna.Trial] = {}
        self._spoiled: dict[int, str] = {}
        self._heard: dict[int, int] = {}
        self._given_up: dict[int, optuna.Trial] = {}
        # With several trials at a time, one that ends must not be in the store before an older one that runs.
        self._quick = quick and specification.parallel == 1
        self._unwritten: dict[int, float] = {}
        self._earlier = [trial for trial in earlier if trial.is_over and _fits(trial, specification)]
        for trial in (*self._earlier, *trials):
            self._replay(trial)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()

    @property
    def trials(self) -> list[Trial]:
        """All there are, by number."""
        return [self._trials[number] for number in sorted(self._trials)]

    @property
    def finished(self) -> int:
        """Trials that have ended, in whatever way."""
        return sum(trial.is_over for trial in self._trials.values())

    @property
    def limit(self) -> int | None:
        """Trials there will be; None where only time bounds them."""
        limits = [self.specification.trials, None if self._grid is None else len(self._grid)]
        return min((limit for limit in limits if limit is not None), default=None)

    @property
    def best(self) -> Trial | None:
        """The best of those that went to their end; of those stopped early, where none did."""
        for state in (TrialState.SUCCEEDED, TrialState.STOPPED):
            found: Trial | None = None
            for trial in self.trials:
                if trial.state is state and trial.value is not None:
                    than = None if found is None else found.value
                    found = trial if self.specification.is_better(trial.value, than) else found
            if found is not None:
                return found
        return None

    @property
    def seconds_left(self) -> float | None:
        """Until no trial goes on; None without such a bound."""
        limit = self.specification.timeout_s
        return None if limit is None else max(0.0, limit - (time.monotonic() - self._began))

    @property
    def is_out_of_time(self) -> bool:
        return self.seconds_left == 0.0

    def ask(self) -> Trial | None:
        """The next trial: first those that were lost with the process that ran them.

        None when there is to be no further one. Raises TrainingError when too many have failed.
        """
        self._check_failures()
        if self.is_out_of_time:
            return None
        if not self._lost and self.limit is not None and len(self._trials) >= self.limit:
            return None
        number = self._lost.pop(0) if self._lost else len(self._trials) + 1
        before = self._trials.get(number)
        if number in self._given_up:
            assert before is not None
            asked, chosen = self._given_up.pop(number), before.parameters
        else:
            asked, chosen = self._choose(number)
        trial = Trial(
            number=number,
            attempts=1 if before is None else before.attempts + 1,
            parameters=chosen,
            started=time.time_ns() // 1_000,
        )
        self._unwritten[number] = time.monotonic()
        self._running[number], self._trials[number] = asked, trial
        if not self._quick:
            self.renew()
        return trial

    def _choose(self, number: int) -> tuple[optuna.Trial, dict[str, Value]]:
        self._optuna.sampler = _sampler(self.specification, number)
        if self._grid is not None and number not in self._trials:
            self._optuna.enqueue_trial(sampler_values(self._grid[number - 1], self.specification.parameters))
        asked = self._optuna.ask()
        assert asked.number == len(self._earlier) + number - 1
        return asked, suggest(asked, self.specification.parameters)

    def report(self, number: int, step: int, value: float) -> bool:
        """Takes what a running trial measured. Whether it is to stop: it is hopeless, or the time is over.

        A value that is no finite number makes it a failed one.
        """
        if not math.isfinite(value):
            self._spoiled.setdefault(number, f"its {self.specification.metric} was {value} at step {step}")
            return True
        trial, asked = self._trials[number], self._running[number]
        if trial.reports and step <= trial.reports[-1][0]:
            return False
        if step > self._heard.get(number, -1):  # an earlier attempt at this trial may have come further
            asked.report(value, step)
            self._heard[number] = step
        stops = asked.should_prune() or self.is_out_of_time
        self._trials[number] = replace(trial, reports=(*trial.reports, (step, value)))
        self.renew()
        return stops

    def tell(self, number: int, *, stopped: bool = False, failure: str = "") -> Trial:
        """Writes the end of a trial, whose value is the last that it reported.

        failure: why it came to nothing; a trial that reported nothing has failed in any case.
        """
        running = self._trials[number]
        failure = failure or self._spoiled.pop(number, "")
        if not failure and not running.reports:
            failure = f"it never reported {self.specification.metric!r}"
        state = TrialState.FAILED if failure else TrialState.STOPPED if stopped else TrialState.SUCCEEDED
        asked = self._running.pop(number)
        ended = replace(
            running,
            state=state,
            value=None if failure else running.reports[-1][1],
            failure=failure,
            notes=_notes(self._optuna, len(self._earlier) + number),
            ended=time.time_ns() // 1_000,
        )
        self._unwritten.pop(number, None)
        self._ledger.end(ended)
        self._trials[number] = ended
        values = ended.value if state is TrialState.SUCCEEDED else None
        self._optuna.tell(asked, values, state=_ENDED[state])
        return ended

    def lose(self, number: int) -> None:
        """Gives up a running trial whose process was lost; it is asked for again, with its values."""
        self._given_up[number] = self._running.pop(number)
        self._spoiled.pop(number, None)
        self._lost.append(number)

    def renew(self) -> None:
        """To be called now and then while trials run without a word."""
        patience_s = _QUICK_S if self._quick else 0.0
        for number, since in list(self._unwritten.items()):
            if time.monotonic() - since >= patience_s:
                del self._unwritten[number]
                self._ledger.start(self._trials[number])
        self._ledger.renew()

    def result(self) -> Trial:
        """The best trial. Raises TrainingError where there is none, saying why trials failed."""
        if (best := self.best) is not None:
            return best
        failed = [trial for trial in self.trials if trial.state is TrialState.FAILED]
        if not failed:
            raise TrainingError("no trial has ended; give the study more time (timeout) or trials")
        raise TrainingError(f"all {len(failed)} trials failed; {self._why(failed)}")

    def _check_failures(self) -> None:
        failed = [trial for trial in self.trials if trial.state is TrialState.FAILED]
        if len(failed) > self.specification.failures:
            raise TrainingError(
                f"{len(failed)} of {self.finished} trials failed, and {self.specification.failures} may (failures, "
                f"maxFailedTrials); {self._why(failed)}"
            )

    def _why(self, failed: Sequence[Trial]) -> str:
        last = failed[-1]
        if all(trial.failure.startswith("it never reported") for trial in failed):
            return (
                f"none of them reported the metric {self.specification.metric!r}: have the trainer report it, or name "
                "the one that it does report (metric, hyperparameterMetricTag)"
            )
        return f"trial {last.number} with {_described(last.parameters)}: {last.failure}"

    def _replay(self, trial: Trial) -> None:
        values = sampler_values(trial.parameters, self.specification.parameters)
        if not trial.is_over:
            # Asked for again, with the values that it had.
            self._optuna.enqueue_trial(values)
            return
        named = {one.name: one for one in self.specification.parameters}
        self._optuna.add_trial(
            optuna.create_trial(
                state=_ENDED[trial.state],
                value=trial.value if trial.state is TrialState.SUCCEEDED else None,
                params=values,
                distributions={name: distribution_of(named[name]) for name in values},
                intermediate_values=dict(trial.reports),
                system_attrs=trial.notes,
            )
        )


def begin_study(
    name: str,
    specification: Specification,
    *,
    settings: Settings,
    resume: bool = False,
    anew: bool = False,
    earlier: Sequence[Trial] = (),
    quick: bool = False,
) -> Study:
    """A study of that name, new or (resume) gone on with. anew: with resume, begin it where there is none.

    earlier, quick: as in `Study`.
    Raises ConfigError, AlreadyExistsError, NotFoundError, PreconditionError while another process works on it.
    """
    specification.check()
    if resume:
        try:
            ledger, trials = StudyLedger.take_over(name, specification, settings=settings)
            return Study(specification, ledger, trials, earlier=earlier, quick=quick)
        except NotFoundError:
            if not anew:
                raise
    return Study(
        specification, StudyLedger.create(name, specification, settings=settings), earlier=earlier, quick=quick
    )


def _fits(trial: Trial, specification: Specification) -> bool:
    """Whether a trial of another study is one that this study could have."""
    named = {one.name: one for one in specification.parameters}
    return all(name in named and named[name].contains(value) for name, value in trial.parameters.items())


def _sampler(specification: Specification, number: int) -> optuna.samplers.BaseSampler:
    seed = (specification.seed * 1_000_003 + number) % 2**31
    match specification.algorithm:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "gp":
            return GaussianProcessSampler(seed=seed)
        case _:
            return optuna.samplers.RandomSampler(seed=seed)


def _pruner(specification: Specification) -> optuna.pruners.BasePruner:
    match specification.pruning:
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=specification.first_rung, reduction_factor=_REDUCTION_FACTOR
            )
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=_MEDIAN_STARTUP_TRIALS, n_warmup_steps=specification.first_rung
            )
        case _:
            return optuna.pruners.NopPruner()


def _notes(study: optuna.Study, number: int) -> dict[str, Any]:
    """What the pruner remembers of a trial (ASHA: its value at each rung); not what the sampler does."""
    found = study.get_trials(deepcopy=False)[number - 1].system_attrs
    return {name: value for name, value in found.items() if name.startswith("completed_rung_")}


def _described(parameters: Mapping[str, Value]) -> str:
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items()
    )
