import doctest

import pytest

from penstock.errors import UsageError
from penstock.serving import autoscaler
from penstock.serving.autoscaler import Autoscaler, Scale, parse_scale
from penstock.serving.reports import Load


def load(*, busy: float = 0.1, requests: int = 100, in_flight: int = 0, slow: float = 0.0) -> Load:
    return Load(busy, requests, in_flight, slow, 1)


def test_examples_hold() -> None:
    assert doctest.testmod(autoscaler).failed == 0


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "0:0", "3:2", "1:2:3", "1.5", ":"])
def test_other_texts_are_no_scale(text: str) -> None:
    with pytest.raises(UsageError, match="is no number of processes"):
        parse_scale(text)


def test_busy_workers_get_help_up_to_the_maximum() -> None:
    scaler = Autoscaler(Scale(minimum=1, maximum=3), now=0)
    assert scaler.look([], now=0) == 1
    assert scaler.look([load(busy=0.9)], now=1) == 2
    assert scaler.look([load(busy=0.9)], now=2) == 2  # the second is not ready yet
    assert scaler.look([load(busy=0.9)] * 2, now=3) == 3
    assert scaler.look([load(busy=0.9)] * 3, now=4) == 3


def test_slow_answers_call_for_help_only_where_requests_wait() -> None:
    scaler = Autoscaler(Scale(minimum=1, maximum=3), now=0)
    assert scaler.look([load(slow=1.0, in_flight=1)], now=1) == 1
    assert scaler.look([load(slow=0.01, in_flight=9)], now=2) == 1
    assert scaler.look([load(slow=0.2, in_flight=9)], now=3) == 2
    assert scaler.look([load(requests=0, in_flight=5), load(requests=0)], now=4) == 3


def test_workers_go_one_by_one_once_fewer_have_sufficed_for_a_while() -> None:
    scaler = Autoscaler(Scale(minimum=1, maximum=3, calm_s=10), now=0)
    for now in (1, 2):
        scaler.look([load(busy=0.9)] * now, now=now)
    calm = load(busy=0.1)
    assert scaler.look([calm] * 3, now=5) == 3
    assert scaler.look([calm] * 3, now=12.5) == 2
    assert scaler.look([calm] * 3, now=13) == 2  # one still goes
    assert scaler.look([calm] * 2, now=20) == 2
    assert scaler.look([load(busy=0.6)] * 2, now=21) == 2  # one alone would have too much to do
    assert scaler.look([calm] * 2, now=24) == 2
    assert scaler.look([calm] * 2, now=31.5) == 1
    assert scaler.look([calm], now=99) == 1


def test_the_last_one_goes_when_no_request_has_come_and_comes_back_on_demand() -> None:
    scaler = Autoscaler(Scale(minimum=0, maximum=2, idle_s=60), now=0)
    assert scaler.look([load()], now=50) == 1
    assert scaler.look([load(requests=0)], now=109) == 1
    assert scaler.look([load(requests=0)], now=110) == 0
    assert scaler.look([], now=500) == 0
    scaler.demand(501)
    assert scaler.look([], now=501) == 1
    assert scaler.look([load(requests=0)], now=560) == 1
    assert scaler.look([load(requests=0)], now=561) == 0
