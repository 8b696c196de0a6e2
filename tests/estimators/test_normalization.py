"""The maps of dense values: no segment makes much of rounding."""

import numpy as np

from penstock.estimators.normalization import fit_quantiles


def test_values_a_rounding_apart_are_mapped_alike() -> None:
    hours = np.tile([0.0, 6.0, 12.0, 18.0], 100)
    points = np.sin(hours / 12.0 * np.pi).astype(np.float32)[:, None]
    exact = np.round(points)
    normalizer = fit_quantiles(points)
    np.testing.assert_allclose(normalizer.apply(points), normalizer.apply(exact), atol=1e-5)


def test_small_numbers_beside_an_outlier_keep_knots_of_their_own() -> None:
    values = np.concatenate([np.linspace(0.0, 1.0, 999), [1e9]]).astype(np.float32)[:, None]
    assert len(fit_quantiles(values).xs[0]) > 40


def test_numbers_all_of_one_kind_stay_apart_however_small() -> None:
    values = (np.linspace(1.0, 2.0, 500) * 1e-19).astype(np.float32)[:, None]
    assert len(fit_quantiles(values).xs[0]) > 40
