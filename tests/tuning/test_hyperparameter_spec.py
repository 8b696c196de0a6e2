from typing import Any

import pytest

from penstock.errors import ConfigError
from penstock.tuning.hyperparameter_spec import parse_hyperparameter_spec
from penstock.tuning.parameter import Parameter

RATE = {"parameterName": "rate", "type": "DOUBLE", "minValue": 0.001, "maxValue": 0.1, "scaleType": "UNIT_LOG_SCALE"}


def test_the_message_is_read_with_its_defaults() -> None:
    spec = parse_hyperparameter_spec({"params": [RATE], "maxTrials": "20", "max_parallel_trials": 2})
    specification = spec.specification()
    assert specification.goal == "MAXIMIZE"
    assert specification.metric == "training/hptuning/metric"
    assert (specification.algorithm, specification.trials, specification.parallel) == ("tpe", 20, 2)
    assert specification.parameters == (Parameter(name="rate", type="DOUBLE", low=0.001, high=0.1, scale="LOG"),)


def test_categorical_values_stay_as_they_were_written() -> None:
    spec = parse_hyperparameter_spec(
        {"params": [{"parameterName": "on", "type": "CATEGORICAL", "categoricalValues": [True, 1, "x"]}]}
    )
    assert spec.specification().parameters[0].values == ("true", "1", "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": [{**RATE, "minValue": 0}]}, r"'rate'.*minValue.*logarithmic scaleType needs a range above 0"),
        ({"params": [{**RATE, "minValue": 0.5}]}, r"'rate'.*min <= max: exchange them"),
        ({"params": [{**RATE, "scaleType": "LOG"}]}, r"params\[0\]\.scaleType.*LOG"),
        ({"params": [RATE], "algorithm": "GRID_SEARCH"}, r"'rate' is of type DOUBLE.*GRID_SEARCH.*DISCRETE"),
        ({"params": [RATE, RATE]}, "'rate' is there twice"),
        ({"params": []}, "no parameters"),
        ({"params": [{"parameterName": "n", "type": "INTEGER", "minValue": 1}]}, "'n'.*has no maxValue"),
        (
            {"params": [{"parameterName": "n", "type": "INTEGER", "minValue": 1.5, "maxValue": 3}]},
            "'n'.*minValue is 1.5.*whole number",
        ),
        ({"params": [{"parameterName": "n", "type": "DISCRETE", "discreteValues": [2, 1]}]}, "'n'.*above the last"),
        ({"params": [{"parameterName": "n", "type": "CATEGORICAL"}]}, "'n'.*no categoricalValues"),
        ({"params": [RATE], "maxTrial": 3}, "no field 'maxTrial'.*did you mean 'maxTrials'"),
        ({"params": [{**RATE, "minvalue": 1}]}, r"params\[0\] has no field 'minvalue'"),
        ({"params": [RATE], "maxTrials": -1}, r"trials \(maxTrials\) is -1"),
        ({"params": [RATE], "maxParallelTrials": -1}, r"maxParallelTrials\) is -1"),
        ({"params": [RATE], "goal": "MINIMISE"}, "goal is 'MINIMISE'; expected one of .* did you mean 'MINIMIZE'"),
        ([], "is no section"),
    ],
)
def test_what_is_wrong_is_named(change: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_hyperparameter_spec(change).specification()
