"""The `tuning:` section of an experiment: what to search and how; what it leaves out is chosen by the estimator."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from penstock.errors import ConfigError, did_you_mean
from penstock.tuning.parameter import Parameter, ParameterType, Scale
from penstock.tuning.specification import Algorithm, Goal, Pruning, Specification

__all__ = ["Tuning", "parse_tuning", "seconds_of_text"]

_TYPES: dict[str, ParameterType] = {
    "float": "DOUBLE",
    "double": "DOUBLE",
    "integer": "INTEGER",
    "int": "INTEGER",
    "categorical": "CATEGORICAL",
    "discrete": "DISCRETE",
}
_SCALES: dict[str, Scale] = {"linear": "LINEAR", "log": "LOG", "reverse_log": "REVERSE_LOG"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h)?")
_UNIT_S = {"s": 1, "m": 60, "h": 3600}


class TuningSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As it stands in the file.

    metric, goal: of the evaluation; by default the loss, or the accuracy's like, that the task calls for.
    timeout: seconds, or a text such as 10m. failures: trials that may fail.
    evaluations: times that a trial is measured on the way to its end.
    folds: of a cross-validation; without, trials are measured on the rows that the experiment's split holds out.
    parameters: by name; default: the estimator's built-in space.
    """

    trials: int | None = None
    parallel: int = 1
    timeout: float | str | None = None
    failures: int | None = None
    metric: str | None = None
    goal: Literal["minimize", "maximize"] | None = None
    algorithm: Algorithm = "tpe"
    pruner: Pruning = "asha"
    evaluations: int = 10
    folds: int | None = None
    seed: int = 0
    parameters: dict[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The section, read. parameters: None for the built-in ones."""

    section: TuningSection
    parameters: tuple[Parameter, ...] | None
    timeout_s: float | None

    def specification(
        self, *, parameters: Sequence[Parameter], metric: str, goal: Goal, first_rung: int
    ) -> Specification:
        """With what the estimator chose. Raises ConfigError naming the field at fault."""
        section = self.section
        trials = section.trials
        if trials is None and self.timeout_s is None:
            trials = None if section.algorithm == "grid" else 50
        return Specification(
            parameters=tuple(parameters),
            metric=metric,
            goal=goal,
            algorithm=section.algorithm,
            pruning=section.pruner,
            trials=trials,
            parallel=section.parallel,
            failures=section.failures if section.failures is not None else max(3, (trials or 0) // 10),
            timeout_s=self.timeout_s,
            seed=section.seed,
            first_rung=first_rung,
        ).check()


def parse_tuning(content: Any) -> Tuning:
    """The section as YAML gives it; None for one that is not there. Raises ConfigError naming the field at fault."""
    if content is None:
        content = {}
    if not isinstance(content, Mapping):
        raise ConfigError("tuning is no section; expected trials, parameters and the like")
    known = [field.name for field in msgspec.structs.fields(TuningSection)]
    for name in content:
        if name not in known:
            raise ConfigError(
                f"tuning has no field {name!r}; it has {', '.join(known)}{did_you_mean(str(name), known)}"
            )
    try:
        section = msgspec.convert(dict(content), TuningSection)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise ConfigError(f"tuning.{place.rstrip('`')}: {message}" if place else f"tuning: {message}") from None
    if section.evaluations < 1:
        raise ConfigError(f"tuning.evaluations is {section.evaluations}; expected at least 1")
    if section.folds is not None and section.folds < 2:
        raise ConfigError(f"tuning.folds is {section.folds}; expected at least 2, or leave it out")
    parameters = None
    if section.parameters:
        parameters = tuple(_parameter(str(name), entry) for name, entry in section.parameters.items())
    return Tuning(section=section, parameters=parameters, timeout_s=seconds_of_text(section.timeout, "tuning.timeout"))


def seconds_of_text(value: float | str | None, place: str) -> float | None:
    """Seconds of a number or of a text such as 90s, 10m, 1.5h. Raises ConfigError."""
    if value is None or not isinstance(value, str):
        return None if value is None else float(value)
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ConfigError(f"{place} is {value!r}; expected seconds, or a text such as 90s, 10m or 1.5h")
    return float(match[1]) * _UNIT_S[match[2] or "s"]


def _parameter(name: str, entry: Any) -> Parameter:
    """An entry is a list of values, or a mapping with type, min, max, values, scale, when."""
    place = f"tuning.parameters.{name}"
    if isinstance(entry, list):
        entry = {"values": entry}
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{place} is {entry!r}; expected a list of values, or a section with type, min and max")
    known = ["type", "min", "max", "values", "scale", "when"]
    for key in entry:
        if key not in known:
            raise ConfigError(f"{place} has no field {key!r}; it has {', '.join(known)}{did_you_mean(str(key), known)}")
    scale = _SCALES.get(str(entry.get("scale", "linear")).lower())
    if scale is None:
        raise ConfigError(f"{place}: scale is {entry['scale']!r}; expected one of {', '.join(_SCALES)}")
    when = _conditions(entry.get("when"), place)
    if "values" in entry:
        return _of_values(name, entry, place, when)
    low, high = entry.get("min"), entry.get("max")
    for key, bound in (("min", low), ("max", high)):
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise ConfigError(f"{place}: {key} is {bound!r}; expected a number (or give values)")
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    usual = "integer" if isinstance(low, int) and isinstance(high, int) else "float"
    kind = _type(entry.get("type", usual), place)
    if kind in ("CATEGORICAL", "DISCRETE"):
        raise ConfigError(f"{place}: a {kind.lower()} parameter is given by values, not by min and max")
    return Parameter(name=name, type=kind, low=float(low), high=float(high), scale=scale, when=when)


def _of_values(name: str, entry: Mapping[str, Any], place: str, when: dict[str, tuple[Any, ...]] | None) -> Parameter:
    values = entry["values"]
    if not isinstance(values, list):
        raise ConfigError(f"{place}: values is {values!r}; expected a list")
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    kind = _type(entry.get("type", "categorical"), place)
    if kind in ("DOUBLE", "INTEGER"):
        raise ConfigError(
            f"{place}: type {entry['type']} goes with min and max; with values it is categorical or discrete"
        )
    if kind == "DISCRETE" and not numbers:
        raise ConfigError(f"{place}: discrete values must be numbers; they are {values}")
    return Parameter(name=name, type=kind, values=tuple(values), when=when)


def _type(text: Any, place: str) -> ParameterType:
    kind = _TYPES.get(str(text).lower())
    if kind is None:
        close = did_you_mean(str(text), _TYPES)
        raise ConfigError(f"{place}: type is {text!r}; expected float, integer, categorical or discrete{close}")
    return kind


def _conditions(section: Any, place: str) -> dict[str, tuple[Any, ...]] | None:
    if section is None:
        return None
    if not isinstance(section, Mapping):
        raise ConfigError(f"{place}: when is {section!r}; expected names of parameters with the values they must have")
    return {str(name): tuple(value) if isinstance(value, list) else (value,) for name, value in section.items()}
