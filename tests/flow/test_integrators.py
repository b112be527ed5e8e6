"""The stepper alone, on problems that have nothing to do with metrics."""

import numpy as np
import pytest

from lnegeom.flow.integrators import integrating_factor_rk4


def solve(linear, nonlinear, u, t, steps):
    step = integrating_factor_rk4(np, np.asarray(linear), nonlinear, t / steps)
    for _ in range(steps):
        u = step(u)
    return u


def test_linear_part_is_exact():
    u = solve([-1.0, -1000.0, -0.1j], lambda u: 0 * u, np.array([1.0, 1.0, 1.0 + 0j]), 2.0, 3)
    np.testing.assert_allclose(u, np.exp(np.array([-2.0, -2000.0, -0.2j])), atol=1e-15)


def test_order_four():
    # u' = −λ u + u² (Bernoulli): 1/u = 1/λ + (1/u₀ − 1/λ) e^{λt}.
    decay = np.array([1.0, 2.5])
    start = np.array([0.7, 0.9])
    exact = 1 / (1 / decay + (1 / start - 1 / decay) * np.exp(decay))
    steps = np.array([4, 8, 16, 32])
    errors = [np.max(np.abs(solve(-decay, lambda u: u * u, start, 1.0, count) - exact)) for count in steps]
    assert np.polyfit(np.log(1 / steps), np.log(errors), 1)[0] == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize("excess", [0.3, 1.0, 1.5])
def test_stable_at_any_step_below_the_free_excess(excess):
    # The diffusion (1 + μ)|L|, of which μ|L| is explicit: growth at most 1 for every |L| dt.
    rate = np.geomspace(1e-3, 1e5, 2001)
    for sign in (1, -min(1.0, 1 / excess)):
        growth = integrating_factor_rk4(np, -rate, lambda u, s=sign: -s * excess * rate * u, 1.0)(
            np.ones_like(rate)
        )
        assert np.max(np.abs(growth)) <= 1 + 1e-12


def test_unstable_beyond():
    rate = np.linspace(0, 20, 2001)
    growth = integrating_factor_rk4(np, -rate, lambda u: -1.8 * rate * u, 1.0)(np.ones_like(rate))
    assert np.max(np.abs(growth)) > 1.2
