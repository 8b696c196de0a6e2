"""A version that gets a copy of requests meant for another: its answers are compared and never returned."""

import json
import math
from collections.abc import Callable
from typing import Any

from penstock.serving.catalog import ServedVersion
from penstock.serving.exchange import Exchange, Headers

__all__ = ["Mirror", "ShadowExchange", "difference"]

_CLOSE = 1e-6
_ABOUT_THE_VERSION = frozenset({"model_version", "model_name", "id"})

Compared = Callable[[str, ServedVersion, str, float], None]


class Mirror:
    """Holds the two answers to one request until both are there, and tells how they compare.

    outcome: `same`, `different`, or `failed` where only the shadow refused the request.
    """

    def __init__(self, model_name: str, shadow: ServedVersion, compared: Compared) -> None:
        """compared: told model, shadow version, outcome and the largest difference of two numbers."""
        self._model_name = model_name
        self._shadow = shadow
        self._compared = compared
        self._answers: dict[str, tuple[int, bytes]] = {}

    def take(self, who: str, status: int, body: bytes) -> None:
        """who: `primary` or `shadow`. Called once for each, on whatever thread."""
        self._answers[who] = (status, body)
        if len(self._answers) == 2:
            (status, body), (shadow_status, shadow_body) = self._answers["primary"], self._answers["shadow"]
            if status >= 400:
                return  # a bad request says nothing of the shadow
            if shadow_status >= 400:
                self._compared(self._model_name, self._shadow, "failed", 0.0)
                return
            largest = difference(body, shadow_body)
            outcome = "same" if largest <= _CLOSE else "different"
            self._compared(self._model_name, self._shadow, outcome, largest if math.isfinite(largest) else 0.0)


class ShadowExchange(Exchange):
    """A copy of a request whose answer goes to a mirror."""

    def __init__(self, original: Exchange, mirror: Mirror) -> None:
        super().__init__(original.method, original.path)
        self.body = original.body
        self._original = original
        self._mirror = mirror
        self.is_second_try = True

    def header(self, name: str) -> str | None:
        return self._original.header(name)

    def _send(self, status: int, body: bytes, headers: Headers) -> None:
        self._mirror.take("shadow", status, body)


def difference(one: bytes, other: bytes) -> float:
    """The largest relative difference of two answers' numbers: 0 where they agree, infinity where they cannot.

    Numbers around zero are compared absolutely. What names the version is left out.
    """
    if one == other:
        return 0.0
    try:
        return _difference(json.loads(one), json.loads(other))
    except ValueError:
        return math.inf


def _difference(one: Any, other: Any) -> float:
    match one, other:
        case (bool(), _) | (_, bool()):
            return 0.0 if one is other else math.inf
        case int() | float(), int() | float():
            if one == other or (math.isnan(one) and math.isnan(other)):
                return 0.0
            gap = abs(one - other) / max(abs(one), abs(other), 1.0)
            return math.inf if math.isnan(gap) else gap
        case dict(), dict():
            names = (one.keys() | other.keys()) - _ABOUT_THE_VERSION
            if not all(name in one and name in other for name in names):
                return math.inf
            return max((_difference(one[name], other[name]) for name in names), default=0.0)
        case list(), list() if len(one) == len(other):
            return max((_difference(*pair) for pair in zip(one, other, strict=True)), default=0.0)
        case _:
            return 0.0 if one == other else math.inf
