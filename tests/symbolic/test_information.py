"""Fisher metrics of densities: against textbooks, log-partitions and sampling; the budget; bad input."""

import time

import numpy as np
import pytest
import scipy.stats
import sympy as sp

from lnegeom import InputError, symbolic
from lnegeom.symbolic._child import run_limited
from lnegeom.symbolic._density import fisher_matrix
from lnegeom.symbolic._expectation import Expectation, Integers, Interval

x, y = sp.symbols("x y", real=True)
k = sp.Symbol("k", integer=True, nonnegative=True)
mu = sp.Symbol("mu", real=True)
p, s, t = sp.symbols("p s t", positive=True)
LINE, HALF, COUNTS = Interval(-sp.oo, sp.oo), Interval(sp.Integer(0), sp.oo), Integers(sp.Integer(0), sp.oo)


def information(density, coordinates, support):
    """In this process, which spares the start of another."""
    return fisher_matrix(density, coordinates, support, lambda text: None).applyfunc(sp.simplify)


def test_families_of_integers_and_of_scales():
    poisson = s**k * sp.exp(-s) / sp.factorial(k)
    assert information(poisson, [s], {k: COUNTS}) == sp.Matrix([[1 / s]])
    binomial = sp.binomial(7, k) * p**k * (1 - p) ** (7 - k)
    found = information(binomial, [p], {k: Integers(sp.Integer(0), sp.Integer(7))})
    assert sp.simplify(found[0] - 7 / (p * (1 - p))) == 0
    gamma = x ** (s - 1) * sp.exp(-x / t) / (sp.gamma(s) * t**s)
    found = information(gamma, [s, t], {x: HALF})
    assert found == sp.Matrix([[sp.polygamma(1, s), 1 / t], [1 / t, s / t**2]])


def test_what_the_scores_leave_open_is_integrated():
    # One parameter and two statistics: E[x] and E[x²] do not follow from one equation.
    curved = sp.exp(-((x - s) ** 2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
    assert information(curved, [s], {x: LINE}) == sp.Matrix([[3 / s**2]])


def test_the_bivariate_normal_density_in_its_five_parameters():
    names = ["m", "n", "s", "t", "r"]
    form = "((x-m)**2/s**2 - 2*r*(x-m)*(y-n)/(s*t) + (y-n)**2/t**2)/(2*(1-r**2))"
    g = symbolic.fisher(
        f"exp(-{form})/(2*pi*s*t*sqrt(1-r**2))",
        names,
        support={"x": ("-oo", "oo"), "y": ("-oo", "oo")},
        assumptions={"s": "positive", "t": "positive"},
        budget=60.0,
    )
    # The same space as the Hessian of its log-partition, by curvature …
    assert g.scalar.expression == sp.Rational(-9, 2) == symbolic.bivariate_normal().scalar.expression
    # … and at a point the covariance of the scores, sampled.
    at = [0.3, -0.2, 1.5, 0.8, 0.4]
    cov = np.array([[at[2] ** 2, at[4] * at[2] * at[3]], [at[4] * at[2] * at[3], at[3] ** 2]])
    sample = np.random.default_rng(0).multivariate_normal(at[:2], cov, 100_000)
    scores = []
    for i in range(5):
        ends = []
        for step in (1e-5, -1e-5):
            m, n, a, b, r = (v + step * (j == i) for j, v in enumerate(at))
            matrix = [[a * a, r * a * b], [r * a * b, b * b]]
            ends.append(scipy.stats.multivariate_normal([m, n], matrix).logpdf(sample))
        scores.append((ends[0] - ends[1]) / 2e-5)
    np.testing.assert_allclose(g.tensor.compile()(at), np.cov(scores), rtol=0.03, atol=0.03)


def test_the_budget_ends_what_would_hang():
    normal = "exp(-(x - mu)**2/2)/(2*sqrt(2*pi)) + exp(-(x + mu)**2/2)/(2*sqrt(2*pi))"
    start = time.monotonic()
    with pytest.raises(symbolic.TimeBudgetError, match=r"budget of 2.5 s is spent"):
        symbolic.fisher(normal, ["mu"], support={"x": ("-oo", "oo")}, budget=2.5)
    assert time.monotonic() - start < 10


def test_a_child_is_ended_and_says_what_it_was_doing():
    density = sp.exp(-((x - mu) ** 2) / 2) / sp.sqrt(2 * sp.pi)
    with pytest.raises(symbolic.TimeBudgetError, match=r"budget of 0.01 s is spent$"):
        run_limited(fisher_matrix, density, [mu], {x: LINE}, seconds=0.01)
    with pytest.raises(InputError, match="expected 1"):
        run_limited(fisher_matrix, 2 * density, [mu], {x: LINE}, seconds=60)


NORMAL = "exp(-(x - mu)**2/2)/sqrt(2*pi)"
LINES = {"x": ("-oo", "oo")}


@pytest.mark.parametrize(
    ("density", "support", "message"),
    [
        (NORMAL, {"x": ("a", "oo")}, "where the support depends on a parameter"),
        (NORMAL, {"x": (1, 0)}, r"expected \(low, high\), a range"),
        (NORMAL, {"x": range(0, 10, 2)}, r"expected \(low, high\), a range of step 1"),
        (NORMAL, {"mu": ("-oo", "oo")}, "expected different names"),
        ("exp(-x**2/2)/sqrt(2*pi)", LINES, "does not depend on mu"),
        ("exp(-(x - q)**2/2)", LINES, r"expected a declared name \(mu, x\), got 'q'"),
        (sp.exp(-sp.Abs(sp.Symbol("x") - sp.Symbol("mu"))) / 2, LINES, "is not smooth"),
    ],
)
def test_bad_densities_are_refused(density, support, message):
    with pytest.raises(InputError, match=message):
        symbolic.fisher(density, ["mu"], support=support)


def test_what_is_no_density_is_refused():
    for density, message in (
        (sp.exp(-((x - mu) ** 2) / 2), r"integrates to 2.50663 at mu = .*: expected 1; normalise it"),
        (sp.exp((x - mu) ** 2 / 2), "no finite integral at any parameters tried"),
    ):
        with pytest.raises(InputError, match=message):
            information(density, [mu], {x: LINE})


def test_a_density_whose_formula_overflows_in_floats_has_its_integral():
    u, m = sp.symbols("u m", real=True)
    z, scale = u - m, sp.Symbol("s", positive=True)
    logistic = sp.exp(-z / scale) / (scale * (1 + sp.exp(-z / scale)) ** 2)
    expectation = Expectation(logistic, {u: Interval(-sp.oo, sp.oo)})
    expectation.check_total()
    assert len(expectation._points) == 2
    with pytest.raises(InputError, match="integrates to 2"):
        Expectation(2 * logistic, {u: Interval(-sp.oo, sp.oo)}).check_total()
