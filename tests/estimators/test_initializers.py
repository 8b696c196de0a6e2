import numpy as np
import pytest

from penstock.estimators.backend import keras
from penstock.estimators.initializers import Normal, VarianceScaling, glorot_uniform, he_normal, lecun_normal


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (he_normal(1), 2 / 400),
        (lecun_normal(1), 1 / 400),
        (glorot_uniform(1), 1 / 300),
        (Normal(0.25, 1), 0.0625),
    ],
)
def test_weights_have_the_variance_of_the_paper(initializer: "VarianceScaling | Normal", variance: float) -> None:
    weights = np.asarray(initializer((400, 200)))
    assert weights.dtype == np.float32
    assert abs(weights.mean()) < 0.01 * np.sqrt(variance) * 5
    assert weights.var() == pytest.approx(variance, rel=0.02)


def test_a_seed_names_the_weights() -> None:
    first, again, other = (np.asarray(he_normal(seed)((8, 4))) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_initializer_survives_being_saved() -> None:
    saved = keras.initializers.serialize(glorot_uniform(5))
    loaded = keras.initializers.deserialize(saved)
    np.testing.assert_array_equal(np.asarray(loaded((3, 2))), np.asarray(glorot_uniform(5)((3, 2))))
