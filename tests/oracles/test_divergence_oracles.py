"""Divergences against distributions of other libraries, and against each other where they are one object."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

import lnegeom


@given(
    mean=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    std=st.tuples(st.floats(0.2, 5), st.floats(0.2, 5)),
)
def test_kl_of_normals_matches_torch(mean, std):
    family = lnegeom.Normal()
    p, q = (torch.distributions.Normal(*map(torch.tensor, pair)) for pair in zip(mean, std, strict=True))
    value = lnegeom.KL(family)(family.natural(mean[0], std[0]), family.natural(mean[1], std[1]))
    np.testing.assert_allclose(value, torch.distributions.kl_divergence(p, q), rtol=1e-4, atol=1e-5)


def test_kl_of_normals_matches_quadrature():
    family = lnegeom.Normal()
    p, q = scipy.stats.norm(0.3, 0.7), scipy.stats.norm(-1.0, 1.5)
    expected = p.expect(lambda x: p.logpdf(x) - q.logpdf(x), epsabs=1e-12, epsrel=1e-12)
    value = lnegeom.KL(family)(family.natural(0.3, 0.7), family.natural(-1.0, 1.5))
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_kl_of_categoricals_matches_scipy():
    family = lnegeom.Categorical(4)
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.1, 0.4, 0.1])
    value = lnegeom.KL(family)(family.natural(p), family.natural(q))
    np.testing.assert_allclose(value, scipy.stats.entropy(p, q), rtol=1e-13)
    np.testing.assert_allclose(family.probabilities(family.natural(p)), p, rtol=1e-14)


def test_log_cosh_is_stable_at_both_ends():
    psi = lnegeom.LogCosh(1.0)
    np.testing.assert_allclose(psi([1e-9]), 0.5e-18, rtol=1e-12)
    np.testing.assert_allclose(psi([1e6]), 1e6 - np.log(2), rtol=1e-14)
    for z, dtype in ((25.0, "float32"), (40.0, "float32"), (200.0, "float64"), (350.0, "float64")):
        point = np.array([z], dtype=dtype)
        np.testing.assert_allclose(psi.hessian(point), 4 * np.exp(-2 * z), rtol=1e-4)  # 1 − tanh² would be 0
    far = lnegeom.Hessian(psi).logdet([0.0, 600.0])
    np.testing.assert_allclose(far, np.log(4) - 1200, rtol=1e-12)
    assert lnegeom.LogCosh(1e-200)([1.0, 2.0]) == 0  # 2.5, but for underflow; not NaN
    assert lnegeom.LogSumExp()([1e4, -1e4]) == 1e4
    assert lnegeom.LogSumExp()([-1e4, -1e4]) == 0


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.0])
def test_hyperbolic_divergence_is_kl_of_spins(tau):
    # A ±1 spin with natural parameter λ is a two-outcome variable with log-odds 2λ.
    rng = np.random.default_rng(0)
    new, old = rng.normal(size=(2, 5))
    spin = lnegeom.KL(lnegeom.Categorical(2))
    kl = sum(spin([2 * tau * a], [2 * tau * b]) for a, b in zip(old, new, strict=True))
    np.testing.assert_allclose(lnegeom.Hyperbolic(tau)(new, old), kl / tau**2, rtol=1e-12)


def test_categorical_fisher_metric_where_one_outcome_is_nearly_certain():
    metric = lnegeom.Hessian(lnegeom.LogSumExp())
    for t in (30.0, 38.0, 100.0):
        p, rest = 1.0, np.exp(-t)  # the first outcome's probability is 1 − 2 e^{−t}
        np.testing.assert_allclose(metric.inverse([t, 0.0])[0, 0], 1 / p + 1 / rest, rtol=1e-10)
        np.testing.assert_allclose(metric.sharp([t, 0.0], [1.0, 0.0])[0], 1 / rest, rtol=1e-10)
        np.testing.assert_allclose(metric.logdet([t, 0.0]), -2 * t, atol=1e-10)
    with pytest.raises(lnegeom.GeometryError, match="an outcome has probability 0: expected a positive one"):
        metric.sharp([800.0, -800.0], [1.0, 0.0])


def test_hyperbolic_divergence_matches_its_printed_formula():
    # ManiQuant Eq. 13, evaluated with 40 digits.
    import mpmath

    tau, new, old = 0.6, [0.7, -1.2], [0.1, 0.4]
    with mpmath.workdps(40):
        expected = sum(
            mpmath.log(mpmath.cosh(tau * a) / mpmath.cosh(tau * b)) / tau**2
            - (mpmath.mpf(a) - b) * mpmath.tanh(tau * b) / tau
            for a, b in zip(new, old, strict=True)
        )
    np.testing.assert_allclose(lnegeom.Hyperbolic(tau)(new, old), float(expected), rtol=1e-13)
