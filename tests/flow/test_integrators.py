"""The steppers alone, on problems that have nothing to do with metrics."""

import math

import mpmath
import numpy as np
import pytest

from lnegeom.flow.torus.integrators import METHODS, IntegratingFactorRK4, phi_functions


def solve(name, linear, nonlinear, u, t, steps):
    method = METHODS[name](np, np.asarray(linear), nonlinear)
    for _ in range(steps):
        u = method.step(u, nonlinear(u), t / steps)
    return u


@pytest.mark.parametrize("name", ["ifrk4", "etdrk4"])
def test_linear_part_is_exact(name):
    linear = np.array([-1.0, -1000.0, -0.1])
    u = solve(name, linear, lambda u: 0 * u, np.ones(3), 2.0, 3)
    np.testing.assert_allclose(u, np.exp(2 * linear), atol=1e-15)


DECAY, START = np.array([1.0, 2.5]), np.array([0.7, 0.9])
# u' = −λ u + u² (Bernoulli): 1/u = 1/λ + (1/u₀ − 1/λ) e^{λt}.
EXACT = 1 / (1 / DECAY + (1 / START - 1 / DECAY) * np.exp(DECAY))


@pytest.mark.parametrize("name", METHODS)
def test_order_four(name):
    steps = np.array([16, 32, 64, 128])
    errors = [np.max(np.abs(solve(name, -DECAY, lambda u: u * u, START, 1.0, n) - EXACT)) for n in steps]
    assert np.polyfit(np.log(1 / steps), np.log(errors), 1)[0] == pytest.approx(4, abs=0.15)


@pytest.mark.parametrize("name", ["ifrk4", "etdrk4", "rk4"])
def test_the_error_estimate_is_of_order_three_in_a_step(name):
    # A difference of methods of orders four and three: O(dt⁴), and above the true error, O(dt⁵).
    estimates, errors = [], []
    steps = np.array([0.05, 0.025, 0.0125])
    for dt in steps:
        method = METHODS[name](np, -DECAY, lambda u: u * u)
        u = method.step(START, START**2, dt)
        estimates.append(np.max(np.abs(method.error(u, u * u))))
        exact = 1 / (1 / DECAY + (1 / START - 1 / DECAY) * np.exp(DECAY * dt))
        errors.append(np.max(np.abs(u - exact)))
    assert np.polyfit(np.log(steps), np.log(estimates), 1)[0] == pytest.approx(4, abs=0.2)
    assert np.all(np.array(errors) < estimates)


def test_exponential_differences_keep_fixed_points():
    # −λu + u² rests at u = λ: ETDRK4 stays there at any step, an integrating factor does not.
    for name, moves in (("etdrk4", False), ("ifrk4", True)):
        u = solve(name, -DECAY, lambda u: u * u, DECAY.copy(), 4.0, 4)
        assert (np.max(np.abs(u - DECAY)) > 1e-3) == moves


def test_phi_functions_against_high_precision():
    z = -np.array([0.0, 1e-12, 1e-5, 0.3, 0.999, 1.001, 30.0, 1e5])
    mpmath.mp.dps = 80  # the tail of exp cancels to 1e-36 near 0
    for k, values in enumerate(phi_functions(z), start=1):
        for argument, value in zip(z, values, strict=True):
            x = mpmath.mpf(float(argument))
            tail = mpmath.exp(x) - sum(x**j / mpmath.factorial(j) for j in range(k)) if x else None
            expected = tail / x**k if x else 1 / mpmath.factorial(k)
            assert value == pytest.approx(float(expected), rel=2e-14)


@pytest.mark.parametrize("excess", [0.3, 1.0, 1.5])
def test_stable_at_any_step_below_the_free_excess(excess):
    # The diffusion (1 + μ)|L|, of which μ|L| is explicit: growth at most 1 for every |L| dt.
    rate = np.geomspace(1e-3, 1e5, 2001)
    for sign in (1, -min(1.0, 1 / excess)):

        def explicit(u, s=sign):
            return -s * excess * rate * u

        growth = solve("ifrk4", -rate, explicit, np.ones_like(rate), 1.0, 1)
        assert np.max(np.abs(growth)) <= 1 + 1e-12


def test_unstable_beyond():
    rate = np.linspace(0, 20, 2001)
    growth = solve("ifrk4", -rate, lambda u: -1.8 * rate * u, np.ones_like(rate), 1.0, 1)
    assert np.max(np.abs(growth)) > 1.2


def test_multistep_starts_again_when_the_step_changes():
    method = METHODS["sbdf4"](np, -DECAY, lambda u: u * u)
    u = START
    for _ in range(5):
        u = method.step(u, u * u, 0.1)
    assert len(method.memory) == 6
    one_step = IntegratingFactorRK4(np, -DECAY, lambda u: u * u)
    np.testing.assert_array_equal(method.step(u, u * u, 0.05), one_step.step(u, u * u, 0.05))
    assert len(method.memory) == 2
    assert math.isfinite(float(np.sum(method.memory[0])))
