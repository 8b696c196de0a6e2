"""Asks Optuna's samplers for parameters, conditional ones included, and counts out a grid."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import optuna

from penstock.errors import ConfigError
from penstock.tuning.parameter import Parameter, Value

__all__ = ["distribution_of", "grid_of", "sampler_values", "suggest"]

_MOST_GRID_POINTS = 1_000_000


def suggest(trial: optuna.Trial, parameters: Sequence[Parameter]) -> dict[str, Value]:
    """The values of a trial, by name; those that are not there under these conditions are left out."""
    chosen: dict[str, Value] = {}
    for parameter in parameters:
        if parameter.is_active(chosen):
            chosen[parameter.name] = parameter.of_sampler(_draw(trial, parameter))
    return chosen


def _draw(trial: optuna.Trial, parameter: Parameter) -> Any:
    drawn = distribution_of(parameter)
    match drawn:
        case optuna.distributions.FloatDistribution():
            return trial.suggest_float(parameter.name, drawn.low, drawn.high, log=drawn.log)
        case optuna.distributions.IntDistribution():
            return trial.suggest_int(parameter.name, drawn.low, drawn.high, log=drawn.log)
        case _:
            assert isinstance(drawn, optuna.distributions.CategoricalDistribution)
            return trial.suggest_categorical(parameter.name, drawn.choices)


def distribution_of(parameter: Parameter) -> optuna.distributions.BaseDistribution:
    """What a sampler draws from: bounds mirrored for a reversed scale, positions for discrete values, texts for others.

    A reversed logarithmic scale is fine near its maximum: `min + max - x` with x on the logarithmic one.
    """
    match parameter.type:
        case "DOUBLE":
            return optuna.distributions.FloatDistribution(
                parameter.low, parameter.high, log=parameter.scale != "LINEAR"
            )
        case "INTEGER":
            return optuna.distributions.IntDistribution(
                int(parameter.low), int(parameter.high), log=parameter.scale != "LINEAR"
            )
        case "DISCRETE":
            return optuna.distributions.IntDistribution(0, len(parameter.values) - 1)
        case _:
            return optuna.distributions.CategoricalDistribution(
                [parameter.to_sampler(value) for value in parameter.values]
            )


def sampler_values(values: Mapping[str, Value], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The same values as samplers know them."""
    return {one.name: one.to_sampler(values[one.name]) for one in parameters if one.name in values}


def grid_of(parameters: Sequence[Parameter]) -> list[dict[str, Value]]:
    """Every combination once, in order; parameters that a combination does not have are left out of it.

    Raises ConfigError for more than a million.
    """
    size = 1
    for parameter in parameters:
        size *= len(parameter.all_values())
    if size > _MOST_GRID_POINTS:
        raise ConfigError(f"the grid has {size:,} points; give fewer values, or use another algorithm")
    return list(_distinct(parameters))


def _distinct(parameters: Sequence[Parameter]) -> Iterator[dict[str, Value]]:
    seen: set[str] = set()
    for combination in product(*(parameter.all_values() for parameter in parameters)):
        chosen: dict[str, Value] = {}
        for parameter, value in zip(parameters, combination, strict=True):
            if parameter.is_active(chosen):
                chosen[parameter.name] = value
        key = repr(chosen)
        if key not in seen:
            seen.add(key)
            yield chosen
