from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.jobs.pricing import Estimate, Prices, Speed, advise, load_prices


def of(estimates: list[Estimate], tier: str) -> Estimate:
    return next(one for one in estimates if one.tier == tier)


def test_a_short_training_stays_here() -> None:
    advice = advise(Speed(steps=3000, step_s=50e-6, parameters=221), Prices())
    assert advice.here_s == pytest.approx(0.15)
    assert advice.recommendation.startswith("under an hour here: stay local")
    assert "too small to distribute: its steps would be slower on STANDARD_1 and PREMIUM_1" in advice.recommendation
    assert of(advice.estimates, "BASIC").break_even_speed_up == 0.0, "no speed makes up for the start"


def test_a_long_training_goes_where_it_is_done_soonest() -> None:
    advice = advise(Speed(steps=100_000, step_s=0.5, parameters=70_000), Prices())
    assert advice.recommendation.startswith("PREMIUM_1 is done")
    assert "too small" not in advice.recommendation
    standard = of(advice.estimates, "STANDARD_1")
    assert 4.9 < standard.speed_up < 5.0
    assert standard.total_s == pytest.approx(300 + 100_000 * (0.1 + 0.0007 + 8 * 70_000 / 1e9))
    assert standard.cost == pytest.approx(10 * 0.49 * standard.total_s / 3600)
    assert standard.break_even_speed_up == pytest.approx(50_000 / 49_700)


def test_a_gpu_costs_three_units() -> None:
    advice = advise(Speed(steps=100_000, step_s=0.5, parameters=10), Prices())
    gpu = of(advice.estimates, "BASIC_GPU")
    assert gpu.cost == pytest.approx(3 * 0.49 * gpu.total_s / 3600)


def test_the_price_table_can_be_edited(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    assert load_prices(file) == Prices()
    file.write_text("unit_price: 1.0\nstartup_s: 30\ntiers:\n  BASIC_GPU: {units: 5, speed_up: 20}\n")
    prices = load_prices(file)
    assert (prices.unit_price, prices.startup_s, prices.tiers["BASIC_GPU"].units) == (1.0, 30, 5)
    assert prices.tiers["STANDARD_1"].units == 10
    for wrong in ("unit_prize: 1", "unit_price: dear", "- a", "tiers: ["):
        file.write_text(wrong)
        with pytest.raises(ConfigError, match=r"prices\.yaml"):
            load_prices(file)
