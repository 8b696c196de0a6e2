"""One trial of an experiment in a process of its own: what runs on a cluster's machine when `penstock tune` names one.

`python -m penstock.flows.run_trial EXPERIMENT.yaml PARAMETERS`, the parameters as a JSON object. It reports as
`cloudml-hypertune` does, into the file that CLOUD_ML_HP_METRIC_FILE names, so that it is heard while it runs.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import PenstockError
from penstock.flows.experiment_trials import TrialRunner, evaluation_interval, objective_of
from penstock.flows.training_rows import with_prepared_rows
from penstock.settings import load_settings
from penstock.training.experiment import load_experiment
from penstock.training.opening import open_experiment, open_tables
from penstock.tuning.section import parse_tuning
from penstock.tuning.trial import Trial

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Exit status 0 once the trial has been trained to its end, 1 with the reason on stderr."""
    file, parameters = arguments
    settings = load_settings()
    trial = Trial(number=int(os.environ["CLOUD_ML_TRIAL_ID"]), parameters=json.loads(parameters))
    metric_file = Path(os.environ["CLOUD_ML_HP_METRIC_FILE"])
    try:
        experiment = load_experiment(file)
        tuning = parse_tuning(experiment.tuning)
        metric, _ = objective_of(tuning)

        def report(step: int, value: float) -> None:
            entry = {metric: str(value), "global_step": str(step), "timestamp": time.time(), "trial": str(trial.number)}
            with metric_file.open("a") as reports:
                reports.write(f"{json.dumps(entry)}\n")

        with (
            with_prepared_rows(experiment, settings=settings, note=_say) as ready,
            open_tables(ready, settings=settings) as tables,
        ):
            opened = open_experiment(ready, tables, note=_say)
            every = evaluation_interval(opened, tuning)
            runner = TrialRunner(opened, folds=tuning.section.folds, every=every, metric=metric, folder=Path.cwd())
            ending = runner.run(trial, report)
    except PenstockError as error:
        ending = str(error)
    if ending == "done":
        return 0
    _say(f"ERROR: {ending}")
    return 1


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - it is taken into the trial's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
