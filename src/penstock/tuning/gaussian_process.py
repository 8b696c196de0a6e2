"""A sampler for Optuna: a Gaussian process over the trials so far, asked where the expected improvement is largest.

Matérn 5/2 with a length for each parameter, lengths and noise of the largest posterior; Snoek, Larochelle and Adams,
"Practical Bayesian Optimization of Machine Learning Algorithms" (2012). NumPy alone: Optuna's own needs PyTorch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

__all__ = ["GaussianProcessSampler"]

_STARTUP_TRIALS = 10
_MOST_TRIALS = 400
"""The newest; the cost grows with the cube of their number."""

_CANDIDATES = 1_000
_NEAR = 100
_ROUNDS = 4
_FAR_IQRS = 3.0
"""A diverged loss of 1e30 would make all others look alike: what is far above the usual counts as that far."""

_MEASURED = (TrialState.COMPLETE, TrialState.PRUNED)
Array = NDArray[np.float64]


class GaussianProcessSampler(optuna.samplers.BaseSampler):
    """The first ten trials are random, and so are parameters that only some trials have.

    A trial stopped early counts with what it measured last, a failed one as the worst of all: where trials fail, no
    more are wanted.
    """

    def __init__(self, *, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._independent = optuna.samplers.RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that every measured trial has, but for those that can have one value only."""
        measured = study.get_trials(deepcopy=False, states=_MEASURED)
        if not measured:
            return {}
        shared = set.intersection(*(set(one.distributions) for one in measured))
        return {
            name: distribution
            for name, distribution in sorted(measured[-1].distributions.items())
            if name in shared and not distribution.single()
        }

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The most promising of many points: random ones, and ones near the best; nothing for the first trials."""
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1.0
        ended = [
            one
            for one in study.get_trials(deepcopy=False, states=(*_MEASURED, TrialState.FAIL))
            if search_space.keys() <= one.params.keys()
        ]
        known = [(one, _value(one)) for one in ended[-_MOST_TRIALS:]]
        measured = [sign * value for _, value in known if value is not None]
        if not search_space or len(known) < _STARTUP_TRIALS or not measured:
            return {}
        axes = [_Axis(distribution) for distribution in search_space.values()]
        points = np.array([_encoded(one.params, search_space, axes) for one, _ in known])
        worst = max(measured)
        losses = _standardized(np.array([worst if value is None else sign * value for _, value in known]))
        model = _Process.fit(points, losses, self._random)
        running = [
            _encoded(one.params, search_space, axes)
            for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if one.number != trial.number and search_space.keys() <= one.params.keys()
        ]
        if running:  # as if they had come out as expected, so that trials at a time are not all the same
            believed = np.array(running)
            model = model.told(believed, model.answer(believed)[0])
        best = points[np.argmin(losses)]
        chosen = self._candidates(axes)
        for spread in (0.2, 0.05, 0.01):
            near = np.vstack([self._near(best, axes, spread), self._near(chosen[0], axes, spread), chosen])
            chosen = near[np.argsort(-model.log_improvement(near), kind="stable")]
        values = chosen[0]
        found, place = {}, 0
        for (name, _), axis in zip(search_space.items(), axes, strict=True):
            found[name] = axis.value(values[place : place + axis.width])
            place += axis.width
        return found

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def _candidates(self, axes: Sequence["_Axis"]) -> Array:
        return np.hstack([axis.snapped(axis.drawn(self._random, _CANDIDATES)) for axis in axes])

    def _near(self, point: Array, axes: Sequence["_Axis"], spread: float) -> Array:
        """Neighbours of a point: each parameter keeps its value, moves a little, or (a choice) is another."""
        parts, place = [], 0
        for axis in axes:
            here = np.tile(point[place : place + axis.width], (_NEAR, 1))
            moves = self._random.random(_NEAR) < (0.7 if axis.width == 1 else 0.3)
            other = (
                np.clip(here + self._random.normal(scale=spread, size=here.shape), 0.0, 1.0)
                if axis.width == 1
                else axis.drawn(self._random, _NEAR)
            )
            parts.append(axis.snapped(np.where(moves[:, None], other, here)))
            place += axis.width
        return np.hstack(parts)


class _Axis:
    """One parameter as numbers from 0 to 1: one for a range, one a choice for a category."""

    def __init__(self, distribution: BaseDistribution) -> None:
        self._distribution = distribution
        self.width = len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 1
        if isinstance(distribution, FloatDistribution | IntDistribution):
            # A whole number stands for all that round to it.
            half = 0.5 if isinstance(distribution, IntDistribution) else 0.0
            self._scale = np.log if distribution.log else np.asarray
            self._low = float(self._scale(distribution.low - half))
            self._high = float(self._scale(distribution.high + half))

    def encoded(self, value: Any) -> Array:
        if isinstance(self._distribution, CategoricalDistribution):
            chosen = np.zeros(self.width)
            chosen[int(self._distribution.to_internal_repr(value))] = 1.0 / math.sqrt(2.0)
            return chosen
        return np.array([(float(self._scale(value)) - self._low) / (self._high - self._low)])

    def value(self, encoded: Array) -> Any:
        distribution = self._distribution
        if isinstance(distribution, CategoricalDistribution):
            return distribution.choices[int(np.argmax(encoded))]
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        raw = self._low + float(encoded[0]) * (self._high - self._low)
        number = math.exp(raw) if distribution.log else raw
        if isinstance(distribution, IntDistribution):
            number = round(number)
        return min(max(number, distribution.low), distribution.high)

    def drawn(self, random: np.random.Generator, count: int) -> Array:
        if self.width == 1:
            return random.random((count, 1))
        return np.eye(self.width)[random.integers(self.width, size=count)] / math.sqrt(2.0)

    def snapped(self, points: Array) -> Array:
        """At values that the parameter can have, as the process is to see them."""
        if isinstance(self._distribution, IntDistribution):
            return np.array([self.encoded(self.value(one)) for one in points])
        return points


@dataclass(frozen=True)
class _Process:
    """Of losses standardized at points within a unit cube. lengths: a dimension each. noise: of variance 1 + noise."""

    points: Array
    losses: Array
    lengths: Array
    noise: float

    @classmethod
    def fit(cls, points: Array, losses: Array, random: np.random.Generator) -> "_Process":
        """Lengths and noise that explain the losses best: drawn, then moved one at a time."""
        width = points.shape[1]
        starts = [np.zeros(width + 1), *random.normal(scale=1.0, size=(12, width + 1))]
        best = max((cls._of(points, losses, one) for one in starts), key=lambda one: one[1])
        for step in np.geomspace(1.0, 0.2, _ROUNDS):
            for number in range(width + 1):
                for direction in (-step, step):
                    moved = best[0].copy()
                    moved[number] += direction
                    tried = cls._of(points, losses, moved)
                    best = tried if tried[1] > best[1] else best
        return cls(points, losses, *_unpacked(best[0]))

    @classmethod
    def _of(cls, points: Array, losses: Array, packed: Array) -> tuple[Array, float]:
        """The logarithm of the posterior density, up to a constant."""
        model = cls(points, losses, *_unpacked(packed))
        root = model._root()
        explained = np.linalg.solve(root, losses)
        likelihood = -0.5 * explained @ explained - np.log(np.diag(root)).sum()
        return packed, float(likelihood - 0.5 * (packed**2).sum())

    def told(self, points: Array, losses: Array) -> "_Process":
        """The same with further losses."""
        return _Process(
            np.vstack([self.points, points]), np.concatenate([self.losses, losses]), self.lengths, self.noise
        )

    def answer(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the loss at each point."""
        root = self._root()
        across = np.linalg.solve(root, _matern(self.points, points, self.lengths))
        mean = across.T @ np.linalg.solve(root, self.losses)
        return mean, np.sqrt(np.maximum(1.0 - (across**2).sum(axis=0), 1e-12))

    def log_improvement(self, points: Array) -> Array:
        """The logarithm of the expected improvement on the best mean among the trials."""
        mean, deviation = self.answer(points)
        return np.log(deviation) + _log_gain((self.answer(self.points)[0].min() - mean) / deviation)

    def _root(self) -> Array:
        within = _matern(self.points, self.points, self.lengths)
        return np.asarray(np.linalg.cholesky(within + (self.noise + 1e-6) * np.eye(len(within))), np.float64)


def _unpacked(packed: Array) -> tuple[Array, float]:
    """Lengths around a half, noise around a hundredth."""
    return 0.5 * np.exp(packed[:-1]), float(0.01 * np.exp(1.5 * packed[-1]))


def _matern(left: Array, right: Array, lengths: Array) -> Array:
    left, right = left / lengths, right / lengths
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1)[None, :] - 2.0 * left @ right.T
    distance = np.sqrt(5.0 * np.maximum(squares, 0.0))
    covariance: Array = (1.0 + distance + distance**2 / 3.0) * np.exp(-distance)
    return covariance


def _log_gain(z: Array) -> Array:
    """log(z Φ(z) + φ(z)); far below zero, where that is 0 in floating point, by its asymptote φ(z)/z²."""
    density = np.exp(-0.5 * z**2) / math.sqrt(2.0 * math.pi)
    share = np.array([0.5 * math.erfc(-one / math.sqrt(2.0)) for one in z])
    far = z < -5.0
    asymptote = -0.5 * z**2 - 0.5 * math.log(2.0 * math.pi) - 2.0 * np.log(np.where(far, -z, 1.0))
    return np.where(far, asymptote, np.log(np.maximum(z * share + density, 1e-300)))


def _standardized(losses: Array) -> Array:
    low, middle, high = np.quantile(losses, (0.25, 0.5, 0.75))
    clipped = np.minimum(losses, high + _FAR_IQRS * max(high - low, 1e-12 * max(1.0, abs(middle))))
    centered: Array = clipped - clipped.mean()
    deviation = float(clipped.std())
    return centered / deviation if deviation > 0 else centered


def _value(trial: FrozenTrial) -> float | None:
    """What a trial measured last; None for one that failed or measured nothing."""
    found = trial.value if trial.state is TrialState.COMPLETE else None
    if trial.state is TrialState.PRUNED and trial.intermediate_values:
        found = trial.intermediate_values[max(trial.intermediate_values)]
    return found if found is not None and math.isfinite(found) else None


def _encoded(values: Mapping[str, Any], space: Mapping[str, BaseDistribution], axes: Sequence[_Axis]) -> Array:
    return np.concatenate([axis.encoded(values[name]) for name, axis in zip(space, axes, strict=True)])
