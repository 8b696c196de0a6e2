"""Which versions share the requests that name none, and which one shadows them, as kept in a model's labels.

`penstock.traffic` is `1=90,2=10` (version numbers and weights), `penstock.shadow` is `3=0.1` (a number and the share of
requests that are mirrored to it).
"""

import math
from collections.abc import Collection, Mapping

from penstock.errors import ConfigError

__all__ = ["SHADOW_LABEL", "TRAFFIC_LABEL", "format_weights", "parse_weights", "traffic_of"]

TRAFFIC_LABEL = "penstock.traffic"
SHADOW_LABEL = "penstock.shadow"

Weights = tuple[tuple[int, float], ...]


def parse_weights(text: str) -> Weights:
    """Version numbers with their weights. Raises ConfigError.

    >>> parse_weights("1=90,2=10")
    ((1, 90.0), (2, 10.0))
    """
    weights: dict[int, float] = {}
    for part in text.split(","):
        number, _, weight = part.strip().partition("=")
        try:
            value = float(weight)
        except ValueError:
            value = math.nan
        if not number.isdecimal() or not math.isfinite(value) or value < 0 or int(number) in weights:
            raise ConfigError(f"the traffic {text!r} cannot be read; expected version numbers and weights: 1=90,2=10")
        weights[int(number)] = value
    if not any(weights.values()):
        raise ConfigError(f"the traffic {text!r} goes nowhere; expected a weight above 0")
    return tuple(weights.items())


def format_weights(weights: Mapping[int, float]) -> str:
    """The text that `parse_weights` reads."""
    return ",".join(f"{number}={weight:g}" for number, weight in weights.items())


def traffic_of(labels: Mapping[str, str], versions: Collection[int]) -> tuple[Weights, tuple[int, float] | None]:
    """The weights of the versions that are there, and the shadow with its share, out of a model's labels.

    Raises ConfigError for labels that cannot be read.
    """
    weights: Weights = ()
    shadow = None
    if text := labels.get(TRAFFIC_LABEL):
        weights = tuple((number, weight) for number, weight in parse_weights(text) if number in versions and weight > 0)
    if text := labels.get(SHADOW_LABEL):
        parsed = parse_weights(text)
        if len(parsed) != 1 or parsed[0][1] > 1:
            raise ConfigError(f"the shadow {text!r} cannot be read; expected a version number and a share: 3=0.1")
        shadow = parsed[0] if parsed[0][0] in versions else None
    return weights, shadow
