"""What a training costs and how long it takes on each scale tier, from a few measured seconds and a price table."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from penstock.errors import ConfigError

__all__ = ["Advice", "Estimate", "Prices", "Speed", "advise", "load_prices"]

_SHORT_S = 3600.0


class Tier(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """units: ML units an hour. workers: processes that train together. speed_up: of a GPU over this machine."""

    units: float
    workers: int = 1
    speed_up: float = 1.0


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price table; every value may be changed in `prices.yaml`.

    unit_price: of an ML unit an hour. startup_s: from submission to the first step, the talk's five minutes.
    reduce_latency_s: of one all-reduce between machines. bytes_per_s: of the network between them.
    """

    unit_price: float = 0.49
    currency: str = "USD"
    startup_s: float = 300.0
    reduce_latency_s: float = 0.0007
    bytes_per_s: float = 1.0e9
    tiers: dict[str, Tier] = msgspec.field(
        default_factory=lambda: {
            "BASIC": Tier(units=1),
            "STANDARD_1": Tier(units=10, workers=5),
            "PREMIUM_1": Tier(units=75, workers=20),
            "BASIC_GPU": Tier(units=3, speed_up=5.0),
        }
    )


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """The training, measured here. steps: it has. step_s: seconds of one. parameters: floats that workers exchange."""

    steps: int
    step_s: float
    parameters: int

    @property
    def here_s(self) -> float:
        return self.steps * self.step_s


class Estimate(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One tier. break_even_speed_up: how much faster than here its steps must be to be done sooner, start-up included;
    0 where no speed is enough."""

    tier: str
    training_s: float
    total_s: float
    cost: float
    speed_up: float
    break_even_speed_up: float


class Advice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """here_s: the whole training on this machine. estimates: by tier, as in the price table."""

    here_s: float
    step_s: float
    steps: int
    estimates: list[Estimate]
    currency: str
    recommendation: str


def load_prices(path: Path) -> Prices:
    """The table, with the values of a YAML file over the built-in ones; a file that is not there adds nothing."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Prices()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"price table {str(path)!r} cannot be read: {error}") from None
    import yaml

    try:
        content = yaml.safe_load(text) or {}
        if isinstance(content, dict) and isinstance(content.get("tiers"), dict):
            content["tiers"] = {**msgspec.to_builtins(Prices().tiers), **content["tiers"]}
        return msgspec.convert(content, Prices)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}") from None


def advise(speed: Speed, prices: Prices) -> Advice:
    """Estimates for every tier, and what to do.

    A step over several workers takes its share of the computing plus one all-reduce, which moves twice the gradients.
    """
    estimates = [_estimate(name, tier, speed, prices) for name, tier in prices.tiers.items()]
    return Advice(
        here_s=speed.here_s,
        step_s=speed.step_s,
        steps=speed.steps,
        estimates=estimates,
        currency=prices.currency,
        recommendation=_recommend(speed, estimates, prices.tiers),
    )


def _estimate(name: str, tier: Tier, speed: Speed, prices: Prices) -> Estimate:
    step_s = speed.step_s / tier.workers / tier.speed_up
    if tier.workers > 1:
        step_s += prices.reduce_latency_s + 2 * 4 * speed.parameters / prices.bytes_per_s
    training_s = speed.steps * step_s
    left = speed.here_s - prices.startup_s
    return Estimate(
        tier=name,
        training_s=training_s,
        total_s=prices.startup_s + training_s,
        cost=tier.units * prices.unit_price * (prices.startup_s + training_s) / 3600,
        speed_up=speed.step_s / step_s,
        break_even_speed_up=speed.here_s / left if left > 0 else 0.0,
    )


def _recommend(speed: Speed, estimates: list[Estimate], tiers: Mapping[str, Tier]) -> str:
    best = min(estimates, key=lambda one: one.total_s)
    here = speed.here_s
    if here <= _SHORT_S:
        advice = "under an hour here: stay local"
    elif best.total_s >= here:
        advice = "no tier is done sooner: stay local"
    else:
        advice = f"{best.tier} is done {here / best.total_s:.1f} times sooner, for {best.cost:,.2f}"
    slower = [one.tier for one in estimates if tiers[one.tier].workers > 1 and one.speed_up < 1.0]
    if slower:
        advice += f"; this net is too small to distribute: its steps would be slower on {' and '.join(slower)}"
    return advice
