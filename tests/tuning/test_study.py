from collections.abc import Callable
from dataclasses import replace

import pytest

from penstock.errors import AlreadyExistsError, NotFoundError, PreconditionError, StoreError, TrainingError
from penstock.settings import Settings
from penstock.tuning.ledger import read_trials
from penstock.tuning.parameter import Parameter, Value
from penstock.tuning.specification import Algorithm, Specification
from penstock.tuning.study import Study, begin_study
from penstock.tuning.trial import TrialState

RATE = Parameter(name="rate", type="DOUBLE", low=1e-4, high=1.0, scale="LOG")
UNITS = Parameter(name="units", type="INTEGER", low=1, high=8)
SPECIFICATION = Specification(parameters=(RATE, UNITS), metric="loss", goal="MINIMIZE", trials=12)


def loss(parameters: dict[str, Value]) -> float:
    rate, units = parameters["rate"], parameters["units"]
    assert isinstance(rate, float)
    assert isinstance(units, int)
    return abs(rate - 0.01) + abs(units - 5)


def run(study: Study, *, most: int | None = None, objective: Callable[[dict[str, Value]], float] = loss) -> None:
    while (most is None or study.finished < most) and (trial := study.ask()) is not None:
        study.report(trial.number, 1, objective(trial.parameters))
        study.tell(trial.number)


def test_a_study_ends_after_its_trials_and_knows_the_best(settings: Settings) -> None:
    with begin_study("s", SPECIFICATION, settings=settings) as study:
        run(study)
        assert study.finished == 12
        assert study.result().value == min(trial.value or 0.0 for trial in study.trials)


def test_maximizing_takes_the_largest(settings: Settings) -> None:
    with begin_study("s", replace(SPECIFICATION, goal="MAXIMIZE"), settings=settings) as study:
        run(study)
        assert study.result().value == max(trial.value or 0.0 for trial in study.trials)


@pytest.mark.parametrize("algorithm", ["tpe", "gp", "random"])
def test_a_resumed_study_chooses_what_an_uninterrupted_one_does(settings: Settings, algorithm: Algorithm) -> None:
    specification = replace(SPECIFICATION, algorithm=algorithm, trials=16)
    with begin_study("whole", specification, settings=settings) as study:
        run(study)
        whole = [trial.parameters for trial in study.trials]
    for most in (3, 11, None):
        with begin_study("parts", specification, settings=settings, resume=True, anew=True) as study:
            run(study, most=most)
            parts = [trial.parameters for trial in study.trials]
    assert parts == whole


def test_a_trial_that_was_lost_is_run_again_with_its_values_and_counted_once(settings: Settings) -> None:
    with begin_study("s", SPECIFICATION, settings=settings) as study:
        run(study, most=4)
        lost = study.ask()
        assert lost is not None
    with begin_study("s", SPECIFICATION, settings=settings, resume=True) as study:
        again = study.ask()
        assert again is not None
        assert (again.number, again.parameters, again.attempts) == (5, lost.parameters, 2)
        study.report(5, 1, loss(again.parameters))
        study.tell(5)
        run(study)
        assert [trial.number for trial in study.trials] == list(range(1, 13))
    assert [trial.attempts for trial in read_trials("s", settings=settings)] == [1] * 4 + [2] + [1] * 7


def test_a_study_has_one_owner(settings: Settings) -> None:
    with begin_study("s", SPECIFICATION, settings=settings) as first:
        trial = first.ask()
        assert trial is not None
        with begin_study("s", SPECIFICATION, settings=settings, resume=True):  # the same process may
            pass
        with pytest.raises(StoreError, match="another process"):
            first.tell(trial.number, failure="x")


def test_asymmetric_conditions_leave_parameters_out(settings: Settings) -> None:
    layers = Parameter(name="layers", type="INTEGER", low=1, high=2)
    second = Parameter(name="second", type="DISCRETE", values=(4.0, 8.0), when={"layers": (2,)})
    specification = Specification(parameters=(layers, second), metric="loss", goal="MINIMIZE", trials=20)
    with begin_study("s", specification, settings=settings) as study:
        run(study, objective=lambda parameters: float(len(parameters)))
        assert all(("second" in trial.parameters) == (trial.parameters["layers"] == 2) for trial in study.trials)
        assert {len(trial.parameters) for trial in study.trials} == {1, 2}
    with begin_study("s", replace(specification, trials=25), settings=settings, resume=True) as study:
        run(study, objective=lambda parameters: float(len(parameters)))
        assert study.finished == 25


def test_a_grid_tries_every_point_once_and_ends(settings: Settings) -> None:
    kind = Parameter(name="kind", type="CATEGORICAL", values=("a", "b"))
    size = Parameter(name="size", type="DISCRETE", values=(1.0, 2.0, 3.0), when={"kind": ("b",)})
    specification = Specification(
        parameters=(kind, size), metric="loss", goal="MINIMIZE", algorithm="grid", trials=None
    )
    with begin_study("s", specification, settings=settings) as study:
        run(study, most=2, objective=lambda _: 1.0)
    with begin_study("s", specification, settings=settings, resume=True) as study:
        run(study, objective=lambda _: 1.0)
        tried = [trial.parameters for trial in study.trials]
    assert tried == [{"kind": "a"}, *({"kind": "b", "size": size} for size in (1.0, 2.0, 3.0))]


def test_a_metric_that_is_no_number_makes_a_failed_trial(settings: Settings) -> None:
    with begin_study("s", SPECIFICATION, settings=settings) as study:
        trial = study.ask()
        assert trial is not None
        assert study.report(1, 1, float("nan"))
        assert study.tell(1).state is TrialState.FAILED
        assert "nan at step 1" in study.trials[0].failure


def test_failures_are_bounded_and_the_last_reason_told(settings: Settings) -> None:
    with begin_study("s", replace(SPECIFICATION, failures=1), settings=settings) as study:
        for number in (1, 2):
            assert study.ask() is not None
            study.tell(number, failure="the loss exploded")
        with pytest.raises(TrainingError, match=r"2 of 2 trials failed, and 1 may .* the loss exploded"):
            study.ask()


def test_trials_that_report_nothing_fail_and_the_metric_is_named(settings: Settings) -> None:
    with begin_study("s", replace(SPECIFICATION, trials=2), settings=settings) as study:
        for number in (1, 2):
            study.ask()
            study.tell(number)
        with pytest.raises(TrainingError, match=r"none of them reported the metric 'loss'.*hyperparameterMetricTag"):
            study.result()


def test_asha_stops_what_is_hopeless_also_after_a_resume(settings: Settings) -> None:
    specification = replace(SPECIFICATION, pruning="asha", trials=40)

    def go(study: Study, most: int) -> None:
        while study.finished < most and (trial := study.ask()) is not None:
            value = loss(trial.parameters)
            stopped = any(study.report(trial.number, step, value + 1 / step) for step in range(1, 17))
            study.tell(trial.number, stopped=stopped)

    with begin_study("whole", specification, settings=settings) as study:
        go(study, 40)
        whole = [(trial.parameters, trial.state) for trial in study.trials]
        assert sum(state is TrialState.STOPPED for _, state in whole) >= 20
        assert study.result().state is TrialState.SUCCEEDED
    for most in (9, 23, 40):
        with begin_study("parts", specification, settings=settings, resume=True, anew=True) as study:
            go(study, most)
            parts = [(trial.parameters, trial.state) for trial in study.trials]
    assert parts == whole


def test_no_trial_begins_or_goes_on_when_the_time_is_over(settings: Settings) -> None:
    with begin_study("s", replace(SPECIFICATION, timeout_s=0.05, trials=None), settings=settings) as study:
        trial = study.ask()
        assert trial is not None
        while not study.is_out_of_time:
            pass
        assert study.report(1, 1, 0.5)
        study.tell(1, stopped=True)
        assert study.ask() is None
        assert study.result().value == 0.5


def test_a_name_is_taken_or_unknown(settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="no study 's'"):
        begin_study("s", SPECIFICATION, settings=settings, resume=True)
    begin_study("s", SPECIFICATION, settings=settings).__exit__(None, None, None)
    with pytest.raises(AlreadyExistsError, match="--resume"):
        begin_study("s", SPECIFICATION, settings=settings)


def test_a_study_does_not_go_on_with_other_parameters(settings: Settings) -> None:
    begin_study("s", SPECIFICATION, settings=settings).__exit__(None, None, None)
    with pytest.raises(PreconditionError, match="other parameters"):
        begin_study("s", replace(SPECIFICATION, parameters=(RATE,)), settings=settings, resume=True)


@pytest.mark.parametrize("algorithm", ["tpe", "gp"])
def test_a_sampler_is_better_than_chance_on_a_valley(settings: Settings, algorithm: Algorithm) -> None:
    results = {}
    for chosen in (algorithm, "random"):
        values = []
        for seed in range(3):
            specification = replace(SPECIFICATION, algorithm=chosen, trials=30, seed=seed)
            with begin_study(f"{chosen}-{seed}", specification, settings=settings, quick=True) as study:
                run(study)
                values.append(study.result().value or 0.0)
        results[chosen] = sum(values)
    assert results[algorithm] < results["random"]


def test_a_gaussian_process_takes_choices_conditions_failures_and_trials_at_a_time(settings: Settings) -> None:
    kind = Parameter(name="kind", type="CATEGORICAL", values=("a", "b", "c"))
    depth = Parameter(name="depth", type="INTEGER", low=1, high=4, when={"kind": ("b",)})
    one = Parameter(name="one", type="DOUBLE", low=2.0, high=2.0)
    specification = replace(
        SPECIFICATION, parameters=(RATE, kind, depth, one), algorithm="gp", trials=40, parallel=2, failures=40
    )
    with begin_study("s", specification, settings=settings) as study:
        while (first := study.ask()) is not None:
            second = study.ask()
            for trial in (first, second):
                if trial is None:
                    continue
                rate = trial.parameters["rate"]
                assert isinstance(rate, float)
                bad = trial.parameters["kind"] == "c"
                study.report(trial.number, 1, float("nan") if bad else rate + (trial.parameters["kind"] == "a"))
                study.tell(trial.number)
        kinds = [trial.parameters["kind"] for trial in study.trials]
        assert all(("depth" in trial.parameters) == (trial.parameters["kind"] == "b") for trial in study.trials)
        assert kinds[20:].count("b") > 10
        assert (study.result().value or 1.0) < 0.01
