"""The maps of dense values: no segment makes much of rounding."""

import numpy as np
import pytest

from penstock.estimators.normalization import fit_normalizer, fit_quantiles


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


def test_robust_scaling_is_by_quartiles_and_bounded() -> None:
    values = np.concatenate([np.linspace(10.0, 20.0, 999), [1e30]]).astype(np.float32)[:, None]
    robust = fit_normalizer("robust", values, seed=0)
    mapped = robust.apply(np.array([[15.0], [20.0], [1e30], [-3e38]], np.float32))[:, 0]
    assert mapped[0] == pytest.approx(0.0, abs=0.02)
    assert mapped[1] == pytest.approx(1.0 / np.sqrt(1.0 + 1.0 / 9.0), abs=0.02)
    assert mapped[2:] == pytest.approx([3.0, -3.0])


def test_where_half_of_the_rows_are_alike_the_range_is_the_scale() -> None:
    values = np.zeros((100, 2), np.float32)
    values[:10, 0] = 4.0
    mapped = fit_normalizer("robust", values, seed=0).apply(values)
    assert mapped[0, 0] == pytest.approx(2.0 / np.sqrt(1.0 + 4.0 / 9.0))
    assert (mapped[:, 1] == 0.0).all()
