"""A study as ML Engine's TrainingOutput shows it: its trials, best first."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from penstock.tuning.parameter import Value
from penstock.tuning.specification import Specification
from penstock.tuning.trial import Trial, TrialState

__all__ = ["flag_text", "training_output"]


def training_output(specification: Specification, trials: Sequence[Trial]) -> dict[str, Any]:
    """The fields that a tuning fills; int64 as text, as in the API's JSON."""

    def rank(trial: Trial) -> tuple[int, float, int]:
        order = {TrialState.SUCCEEDED: 0, TrialState.STOPPED: 1, TrialState.RUNNING: 2, TrialState.FAILED: 3}
        value = trial.value or 0.0
        return order[trial.state], value if specification.goal == "MINIMIZE" else -value, trial.number

    return {
        "completedTrialCount": str(sum(trial.state in (TrialState.SUCCEEDED, TrialState.STOPPED) for trial in trials)),
        "isHyperparameterTuningJob": True,
        "hyperparameterMetricTag": specification.metric,
        "trials": [_output(trial) for trial in sorted(trials, key=rank)],
    }


def flag_text(value: Value) -> str:
    """A value as it stands in a trainer's `--name=value`."""
    if isinstance(value, float) and value == int(value) and abs(value) < 1e15:
        return str(int(value)) if value != 0 else "0"
    return value if isinstance(value, str) else str(value)


def _output(trial: Trial) -> dict[str, Any]:
    output: dict[str, Any] = {
        "trialId": str(trial.number),
        "hyperparameters": {name: flag_text(value) for name, value in trial.parameters.items()},
        "state": "SUCCEEDED" if trial.state is TrialState.STOPPED else trial.state.value,
        "startTime": _time(trial.started),
    }
    if trial.reports:
        step, value = trial.reports[-1]
        output["finalMetric"] = {"trainingStep": str(step), "objectiveValue": value}
    if trial.ended is not None:
        output["endTime"] = _time(trial.ended)
    if trial.state is TrialState.STOPPED:
        output["isTrialStoppedEarly"] = True
    return output


def _time(microseconds: int) -> str:
    moment = datetime.fromtimestamp(microseconds / 1e6, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
