import pytest

from penstock.tuning.parameter import Parameter, Value


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        (Parameter(name="p", type="DOUBLE", low=0.5, high=2.0), 0.75),
        (Parameter(name="p", type="DOUBLE", low=0.5, high=2.0, scale="REVERSE_LOG"), 1.75),
        (Parameter(name="p", type="INTEGER", low=1, high=9, scale="REVERSE_LOG"), 8),
        (Parameter(name="p", type="DISCRETE", values=(1.0, 3.0)), 3.0),
        (Parameter(name="p", type="CATEGORICAL", values=("a", True, 1, None, [64, 64])), True),
        (Parameter(name="p", type="CATEGORICAL", values=("a", True, 1, None, [64, 64])), [64, 64]),
    ],
)
def test_a_value_survives_the_sampler(parameter: Parameter, value: Value) -> None:
    back = parameter.of_sampler(parameter.to_sampler(value))
    assert (type(back), back) == (type(value), value)
