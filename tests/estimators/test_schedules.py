import numpy as np
import pytest

from penstock.errors import ConfigError
from penstock.estimators.schedules import SCHEDULES, Schedule, learning_rates, regularization


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_pieces_equal_the_whole(schedule: Schedule) -> None:
    whole = learning_rates(schedule, 0.1, first=0, count=200, total=200)
    pieces = [learning_rates(schedule, 0.1, first=first, count=50, total=200) for first in range(0, 200, 50)]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert whole.max() == pytest.approx(0.1, rel=0.05)


def test_cosine_warms_up_and_ends_near_zero() -> None:
    rates = learning_rates("cosine", 0.1, first=0, count=1000, total=1000)
    assert rates[0] < 0.01
    assert rates[:50].argmax() == 49
    assert rates[-1] < 1e-5


def test_an_unknown_schedule_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'step'.*constant, cosine"):
        learning_rates("step", 0.1, first=0, count=1, total=1)  # type: ignore[arg-type]


def test_cycles_double_in_length_and_each_ends_near_zero() -> None:
    rates = learning_rates("cosine_cycles", 1.0, first=0, count=1500, total=1500)
    valleys = [step for step in range(1, 1499) if rates[step] < rates[step - 1] and rates[step] <= rates[step + 1]]
    assert valleys == pytest.approx([100, 300, 700], abs=1)
    assert rates[valleys].max() < 1e-3
    assert rates[-1] < 1e-3


def test_regularization_lasts_for_half_of_the_training() -> None:
    shares = regularization("flat_cosine", first=0, count=100, total=100)
    assert (shares[:50] == 1.0).all()
    assert (np.diff(shares[50:]) < 0.0).all()
    assert shares[-1] < 0.01
