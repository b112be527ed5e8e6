"""Curvature against computer algebra and against known constant curvatures."""

import itertools

import numpy as np
import pytest
import sympy as sp

import lnegeom


def ricci_by_computer_algebra(matrix, coordinates, point):
    """Ricci tensor by the textbook formula: sympy's derivatives, 40 digits, a generic inverse."""
    n = len(coordinates)
    at = dict(zip(coordinates, point, strict=True))

    def number(expression):
        return sp.N(expression.subs(at), 40)

    g = matrix.applyfunc(number)
    inverse = g.inv()
    index = range(n)
    d = [matrix.diff(c).applyfunc(number) for c in coordinates]
    dd = [[matrix.diff(a, b).applyfunc(number) for b in coordinates] for a in coordinates]
    low = {
        (k, i, j): (d[i][k, j] + d[j][k, i] - d[k][i, j]) / 2
        for k, i, j in itertools.product(index, repeat=3)
    }
    up = {
        (k, i, j): sum(inverse[k, m] * low[m, i, j] for m in index)
        for k, i, j in itertools.product(index, repeat=3)
    }

    def riemann(i, j, k, m):  # R_ijkm, all indices down
        second = dd[j][k][i, m] + dd[i][m][j, k] - dd[i][k][j, m] - dd[j][m][i, k]
        return second / 2 + sum(low[p, j, k] * up[p, i, m] - low[p, i, k] * up[p, j, m] for p in index)

    def ricci(j, m):
        return sum(inverse[i, k] * riemann(i, j, k, m) for i in index for k in index)

    return np.array([[float(ricci(j, m)) for m in index] for j in index])


def test_oracle_knows_the_sphere():
    # Stereographic S³ has Ric = 2 g: the oracle's sign and order are those of the conventions.
    x = sp.symbols("x:3")
    g = sp.eye(3) * 4 / (1 + sum(c**2 for c in x)) ** 2
    point = [sp.Rational(1, 3), sp.Rational(-1, 5), sp.Rational(1, 2)]
    expected = 2 * np.array(g.subs(dict(zip(x, point, strict=True))).evalf(), dtype=float)
    np.testing.assert_allclose(ricci_by_computer_algebra(g, x, point), expected, atol=1e-14)


@pytest.mark.parametrize("tau", [sp.Integer(1), sp.Rational(2, 5)])
def test_lne_ricci_matches_computer_algebra_in_three_dimensions(tau):
    x = sp.symbols("x:3")
    u = sp.Matrix([sp.tanh(tau * c) for c in x])
    point = [sp.Rational(1, 3), sp.Rational(-1, 5), sp.Rational(1, 2)]
    expected = ricci_by_computer_algebra(sp.eye(3) - u * u.T, x, point)
    actual = lnegeom.LNE(float(tau)).ricci([float(p) for p in point])
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-15)
    assert np.all(np.linalg.eigvalsh(actual) < 0)


def test_normal_family_is_hyperbolic():
    family = lnegeom.Normal()
    metric = lnegeom.Hessian(family.log_partition)
    theta = family.natural(np.array([0.0, -2.0, 5.0]), np.array([1.0, 0.3, 4.0]))
    np.testing.assert_allclose(metric.ricci(theta), -metric.matrix(theta) / 2, rtol=1e-9)
    np.testing.assert_allclose(metric.scalar_curvature(theta), -1.0, rtol=1e-9)


@pytest.mark.parametrize("outcomes", [3, 4, 6])
def test_categorical_family_is_a_sphere_of_radius_two(outcomes):
    family = lnegeom.Categorical(outcomes)
    metric = lnegeom.Hessian(family.log_partition)
    n = outcomes - 1
    theta = np.linspace(-1, 1, n)
    np.testing.assert_allclose(
        metric.ricci(theta), (n - 1) / 4 * metric.matrix(theta), rtol=1e-10, atol=1e-14
    )


def test_log_cosh_hessian_is_flat_though_lne_is_not():
    x = np.array([0.3, -0.2, 0.1])
    np.testing.assert_array_equal(lnegeom.Hessian(lnegeom.LogCosh(1.0)).riemann(x), 0)
    assert np.abs(lnegeom.LNE(1.0).riemann(x)).max() > 0.1


def test_lne_becomes_euclidean_as_tau_vanishes():
    x = np.array([0.3, -0.2, 0.1])
    np.testing.assert_allclose(lnegeom.LNE(1e-5).matrix(x), np.eye(3), atol=1e-10)
    np.testing.assert_allclose(lnegeom.LNE(1e-5).ricci(x), 0, atol=1e-9)
