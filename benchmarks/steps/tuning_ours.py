"""Our side of the speed comparison: `penstock tune` without its table and report. Argument: trials."""

import json
import sys
import time
from importlib.resources import files

from penstock.flows import tune
from penstock.settings import load_settings
from penstock.training.experiment import parse_experiment

TEXT = f"""
data: {files("penstock.data") / "packaged" / "housing_lab.csv"}
label: MEDV
features: {{CRIM: numeric, ZN: numeric, INDUS: numeric, NOX: numeric, RM: numeric, AGE: numeric, DIS: numeric,
           TAX: numeric, PTRATIO: numeric}}
estimator: {{type: DNNRegressor, hidden_units: [10, 10], learning_rate_schedule: constant}}
training: {{max_steps: 500, batch_size: all}}
tuning:
  pruner: asha
  parameters:
    learning_rate: {{min: 0.001, max: 0.1, scale: log}}
    weight_decay: {{min: 0.001, max: 1.0, scale: log}}
"""

clock: list[float] = []


def watch(_study: object) -> None:
    clock.append(time.perf_counter())


begin_study = tune.begin_study
tune.begin_study = lambda *words, **named: (clock.append(time.perf_counter()), begin_study(*words, **named))[1]
tuned = tune.tune_experiment(
    parse_experiment(TEXT),
    settings=load_settings(),
    name="benchmark",
    changes={"trials": int(sys.argv[1])},
    refit=False,
    note=lambda message: print(message, file=sys.stderr),
    watch=watch,
)
stopped = sum(trial.state == "STOPPED" for trial in tuned.trials)
print(json.dumps({"study_s": clock[-1] - clock[0], "stopped": stopped, "best": tuned.best.value}))
