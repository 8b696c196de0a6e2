"""What a study is: its parameters, its goal, how it looks for them, and how much it may cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.errors import ConfigError, did_you_mean
from penstock.tuning.parameter import Parameter

__all__ = ["Algorithm", "Goal", "Pruning", "Specification"]

Goal = Literal["MINIMIZE", "MAXIMIZE"]
Algorithm = Literal["tpe", "gp", "random", "grid"]
Pruning = Literal["none", "asha", "median"]


@dataclass(frozen=True, kw_only=True)
class Specification:
    """parameters: in an order in which each comes after those that its `when` names.

    metric: what trials report. trials: that end in any way; None for no bound but the others (a grid ends by itself).
    parallel: trials at a time. failures: trials that may fail; with one more the study ends.
    timeout_s: seconds after which no trial goes on past its next evaluation.
    first_rung: step before which no trial is stopped early.
    """

    parameters: tuple[Parameter, ...]
    metric: str
    goal: Goal
    algorithm: Algorithm = "tpe"
    pruning: Pruning = "none"
    trials: int | None = 50
    parallel: int = 1
    failures: int = 3
    timeout_s: float | None = None
    seed: int = 0
    first_rung: int = 1

    def check(self, place: str = "tuning") -> "Specification":
        """This, if it can be carried out. Raises ConfigError naming the field. place: what holds it."""
        if not self.parameters:
            raise ConfigError(f"{place}: there are no parameters (params); name at least one with its type and range")
        seen: list[str] = []
        for parameter in self.parameters:
            where = f"{place}: parameter {parameter.name!r}"
            if parameter.name in seen:
                raise ConfigError(f"{where} is there twice; names must differ")
            parameter.check(where)
            self._check_condition(parameter, seen, where)
            seen.append(parameter.name)
            if self.algorithm == "grid" and parameter.type == "DOUBLE":
                raise ConfigError(
                    f"{where} is of type DOUBLE, and a grid (GRID_SEARCH) cannot try every number of a range; make it "
                    "DISCRETE with the values to try, or use another algorithm"
                )
        for name, value in (("trials (maxTrials)", self.trials), ("parallel (maxParallelTrials)", self.parallel)):
            if value is not None and value < 1:
                raise ConfigError(f"{place}: {name} is {value}; expected at least 1")
        if self.failures < 0:
            raise ConfigError(f"{place}: failures (maxFailedTrials) is {self.failures}; expected 0 or more")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ConfigError(f"{place}: timeout is {self.timeout_s:g} s; expected more than 0")
        if self.trials is None and self.timeout_s is None and self.algorithm != "grid":
            raise ConfigError(f"{place}: there is no end; give trials or timeout")
        return self

    def _check_condition(self, parameter: Parameter, earlier: Sequence[str], where: str) -> None:
        by_name = {one.name: one for one in self.parameters}
        for name, allowed in (parameter.when or {}).items():
            if name not in by_name:
                raise ConfigError(f"{where}: when names {name!r}, which is no parameter{did_you_mean(name, by_name)}")
            if name not in earlier:
                raise ConfigError(f"{where}: when names {name!r}, which comes later; put {name!r} before it")
            other = by_name[name]
            impossible = [value for value in allowed if not other.contains(value)]
            if not allowed or impossible:
                said = f"{impossible[0]!r}, which {name!r} never is" if impossible else f"no value of {name!r}"
                raise ConfigError(f"{where}: when asks for {said}")

    def is_better(self, value: float, than: float | None) -> bool:
        if than is None:
            return True
        return value < than if self.goal == "MINIMIZE" else value > than
