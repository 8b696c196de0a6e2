"""ML Engine's HyperparameterSpec, read into a Specification."""

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec

from penstock.errors import ConfigError, did_you_mean
from penstock.tuning.parameter import Parameter, ParameterType, Scale
from penstock.tuning.specification import Algorithm, Goal, Specification

__all__ = ["DEFAULT_METRIC_TAG", "HyperparameterSpec", "parse_hyperparameter_spec"]

DEFAULT_METRIC_TAG = "training/hptuning/metric"

_SCALES: dict[str, Scale] = {
    "NONE": "LINEAR",
    "UNIT_LINEAR_SCALE": "LINEAR",
    "UNIT_LOG_SCALE": "LOG",
    "UNIT_REVERSE_LOG_SCALE": "REVERSE_LOG",
}
_ALGORITHMS: dict[str, Algorithm] = {"ALGORITHM_UNSPECIFIED": "tpe", "GRID_SEARCH": "grid", "RANDOM_SEARCH": "random"}


class ParameterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    parameter_name: str
    type: ParameterType
    min_value: float | None = None
    max_value: float | None = None
    categorical_values: list[str] = []
    discrete_values: list[float] = []
    scale_type: Literal["NONE", "UNIT_LINEAR_SCALE", "UNIT_LOG_SCALE", "UNIT_REVERSE_LOG_SCALE"] = "NONE"


class HyperparameterSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """The message as the API has it; max_failed_trials 0 leaves the number to the service."""

    goal: Literal["GOAL_TYPE_UNSPECIFIED", "MAXIMIZE", "MINIMIZE"] = "MAXIMIZE"
    params: list[ParameterSpec] = []
    max_trials: int = 1
    max_parallel_trials: int = 1
    max_failed_trials: int = 0
    hyperparameter_metric_tag: str = ""
    enable_trial_early_stopping: bool = False
    resume_previous_job_id: str = ""
    algorithm: Literal["ALGORITHM_UNSPECIFIED", "GRID_SEARCH", "RANDOM_SEARCH"] = "ALGORITHM_UNSPECIFIED"

    def specification(self) -> Specification:
        """What the study is to do. Raises ConfigError naming the field at fault."""
        goal: Goal = "MINIMIZE" if self.goal == "MINIMIZE" else "MAXIMIZE"
        return Specification(
            parameters=tuple(_parameter(one) for one in self.params),
            metric=self.hyperparameter_metric_tag or DEFAULT_METRIC_TAG,
            goal=goal,
            algorithm=_ALGORITHMS[self.algorithm],
            pruning="median" if self.enable_trial_early_stopping else "none",
            trials=self.max_trials or 1,
            parallel=self.max_parallel_trials or 1,
            # ML Engine does not say how many it allows; a trainer that is wrong fails in each of its first trials.
            failures=self.max_failed_trials or max(2, self.max_trials // 10),
        ).check("trainingInput.hyperparameters")


def parse_hyperparameter_spec(section: Any) -> HyperparameterSpec:
    """The message in a config file or an HTTP body: field names in either case, whole numbers also as texts.

    Raises ConfigError naming the field at fault.
    """
    place = "trainingInput.hyperparameters"
    if not isinstance(section, Mapping):
        raise ConfigError(f"{place} is no section; expected goal, params, maxTrials and the like")
    fields = {_camel(str(key)): value for key, value in section.items()}
    _check_words(fields, HyperparameterSpec, place)
    params = fields.get("params", [])
    if not isinstance(params, list) or not all(isinstance(one, Mapping) for one in params):
        raise ConfigError(f"{place}.params is no list of parameters; expected entries with parameterName and type")
    fields["params"] = []
    for number, entry in enumerate(params):
        spec = {_camel(str(key)): value for key, value in entry.items()}
        _check_words(spec, ParameterSpec, f"{place}.params[{number}]")
        if isinstance(spec.get("categoricalValues"), list):
            spec["categoricalValues"] = [
                value if isinstance(value, str) else _text(value) for value in spec["categoricalValues"]
            ]
        fields["params"].append(spec)
    try:
        return msgspec.convert(fields, HyperparameterSpec, strict=False)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise ConfigError(f"{place}{where.rstrip('`')}: {message}") from None


def _parameter(spec: ParameterSpec) -> Parameter:
    place = f"trainingInput.hyperparameters: parameter {spec.parameter_name!r}"
    if spec.type in ("DOUBLE", "INTEGER"):
        for name, bound in (("minValue", spec.min_value), ("maxValue", spec.max_value)):
            if bound is None:
                raise ConfigError(f"{place} is of type {spec.type} and has no {name}; give both ends of its range")
        assert spec.min_value is not None
        assert spec.max_value is not None
        return Parameter(
            name=spec.parameter_name,
            type=spec.type,
            low=spec.min_value,
            high=spec.max_value,
            scale=_SCALES[spec.scale_type],
        )
    values: tuple[Any, ...] = tuple(spec.categorical_values if spec.type == "CATEGORICAL" else spec.discrete_values)
    if not values:
        field = "categoricalValues" if spec.type == "CATEGORICAL" else "discreteValues"
        raise ConfigError(f"{place} is of type {spec.type} and has no {field}; name the values to try")
    return Parameter(name=spec.parameter_name, type=spec.type, values=values)


def _check_words(fields: Mapping[str, Any], kind: type[msgspec.Struct], place: str) -> None:
    """The names of fields, and values that are one of a few words."""
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in fields.items():
        if name not in known:
            raise ConfigError(f"{place} has no field {name!r}; it has {', '.join(known)}{did_you_mean(name, known)}")
        words = get_args(known[name]) if get_origin(known[name]) is Literal else ()
        if words and value not in words:
            near = did_you_mean(str(value), words)
            raise ConfigError(f"{place}.{name} is {value!r}; expected one of {', '.join(words)}{near}")


def _text(value: Any) -> str:
    # YAML reads `true` and `1` as what they look like; a trainer's flag gets them as they were written.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
