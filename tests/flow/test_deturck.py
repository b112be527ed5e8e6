"""The right-hand side, against −2 Ric + L_V g from Christoffel symbols and exact symbolic derivatives."""

import math

import numpy as np
import pytest
import sympy

import lnegeom
from lnegeom.flow import TorusGrid, king_conformal
from lnegeom.flow.small import inverse_and_pivots, pack, positive_definite, unpack
from lnegeom.flow.torus.rhs import Equation, Plain
from lnegeom.flow.torus.spectral import Modes

X = sympy.symbols("x1:4", real=True)


def trigonometric_metric(n):
    """A full metric whose components differ, with no symmetry that could hide an index error."""
    a, b, c = X[0], X[1 % n], X[2 % n]
    entries = {
        (0, 0): 1 + sympy.cos(a) / 10 + sympy.sin(b + c) / 12,
        (0, 1): sympy.sin(a - b) / 9 + sympy.cos(c) / 20,
        (1, 1): sympy.Rational(9, 10) + sympy.sin(a) * sympy.cos(b) / 8,
        (0, 2): sympy.cos(b) / 15 + sympy.sin(c) / 11,
        (1, 2): sympy.sin(a + c) / 13,
        (2, 2): sympy.Rational(11, 10) + sympy.cos(c + b) / 10,
    }
    return sympy.Matrix(n, n, lambda i, j: entries[min(i, j), max(i, j)])


def symbolic_jets(g):
    """A function of the point: g with its first and second derivatives, exact."""
    axes = range(g.shape[0])
    d = [[[sympy.diff(g[i, j], X[a]) for j in axes] for i in axes] for a in axes]
    dd = [[[[sympy.diff(d[a][i][j], X[b]) for j in axes] for i in axes] for a in axes] for b in axes]
    return sympy.lambdify([X[: g.shape[0]]], [g.tolist(), d, dd], "numpy")


def connection(jets, point):
    """g, its inverse and first derivatives, Γ and ∂Γ, exactly."""
    g, d, dd = (np.array(part, dtype=float) for part in jets(point))
    G = np.linalg.inv(g)
    dG = -np.einsum("ki,mij,jl->mkl", G, d, G)
    first = 0.5 * (np.einsum("ilj->lij", d) + np.einsum("jli->lij", d) - d)
    # dfirst[m, l, i, j] = ½ ∂_m (∂_i g_lj + ∂_j g_li − ∂_l g_ij)
    dfirst = 0.5 * (np.einsum("milj->mlij", dd) + np.einsum("mjli->mlij", dd) - dd)
    gamma = np.einsum("kl,lij->kij", G, first)
    dgamma = np.einsum("mkl,lij->mkij", dG, first) + np.einsum("kl,mlij->mkij", G, dfirst)
    return g, G, d, dG, gamma, dgamma


def velocity_at(jets, point, gauge="flat", background=None):
    """−2 Ric_ij + (L_V g)_ij, V^k = g^{ab} (Γ^k_ab − Γ̄^k_ab), by way of Christoffel symbols."""
    g, G, d, dG, gamma, dgamma = connection(jets, point)
    ricci = (
        np.einsum("kkij->ij", dgamma)
        - np.einsum("jkik->ij", dgamma)
        + np.einsum("kkl,lij->ij", gamma, gamma)
        - np.einsum("kjl,lik->ij", gamma, gamma)
    )
    if gauge == "ricci":
        return -2 * ricci
    if background is not None:
        *_, base, dbase = connection(background, point)
        gamma, dgamma = gamma - base, dgamma - dbase
    V = np.einsum("ab,kab->k", G, gamma)
    dV = np.einsum("mab,kab->mk", dG, gamma) + np.einsum("ab,mkab->mk", G, dgamma)
    lie = np.einsum("k,kij->ij", V, d) + dV @ g + (dV @ g).T
    return -2 * ricci + lie


def spectral_velocity(metric, grid, gauge="flat", symbols=None):
    n = grid.dim
    modes = Modes(grid, np, metric, dealias=False)
    one = pack(np, np.eye(n))
    state = modes.forward(pack(np, metric - np.eye(n)))
    nonlinear = Plain(np, modes, Equation(n, gauge, one, one, symbols))(state)
    return unpack(np, modes.backward(modes.laplacian(np.eye(n)) * state + nonlinear), n)


def sampled(g, grid):
    """A symbolic matrix on a grid."""
    n = grid.dim
    points = np.moveaxis(grid.coordinates(), -1, 0)
    metric = np.empty((*grid.shape, n, n))
    for i in range(n):
        for j in range(n):
            metric[..., i, j] = sympy.lambdify([X[:n]], g[i, j], "numpy")(points)
    return metric


@pytest.mark.parametrize(
    ("n", "size", "gauge"), [(2, 32, "flat"), (3, 20, "flat"), (2, 32, "ricci"), (3, 20, "ricci")]
)
def test_is_minus_two_ricci_plus_the_lie_derivative(n, size, gauge):
    g = trigonometric_metric(n)
    grid = TorusGrid((size,) * n)
    got = spectral_velocity(sampled(g, grid), grid, gauge)
    jets = symbolic_jets(g)
    for index in [(0,) * n, (3, 7, 5)[:n], (11, 2, 17)[:n]]:
        np.testing.assert_allclose(got[index], velocity_at(jets, grid.coordinates()[index], gauge), atol=1e-8)


def test_a_curved_background():
    g = trigonometric_metric(2)
    base = sympy.Matrix([[1 + sympy.sin(X[1]) / 7, sympy.cos(X[0]) / 9], [sympy.cos(X[0]) / 9, 1]])
    grid = TorusGrid((32, 32))
    jets, steady = symbolic_jets(g), symbolic_jets(base)
    gamma = np.array(
        [[connection(steady, point)[4] for point in row] for row in grid.coordinates()]
    )  # (32, 32, k, i, j)
    symbols = np.moveaxis(pack(np, gamma), -1, 0)
    got = spectral_velocity(sampled(g, grid), grid, "background", symbols)
    for index in [(0, 0), (3, 7), (11, 2)]:
        expected = velocity_at(jets, grid.coordinates()[index], background=steady)
        np.testing.assert_allclose(got[index], expected, atol=1e-8)


def test_four_dimensions_by_automatic_symbols():
    # No loop of ours but the library's exact Ricci tensor, at one point, of a metric on T⁴ without symmetry.
    grid = TorusGrid((12,) * 4)

    def metric(x):
        a, b, c, d = (x[..., i] for i in range(4))
        upper = {
            (0, 0): 0.1 * np.cos(a + d), (0, 1): 0.05 * np.sin(b - c), (0, 3): 0.04 * np.cos(c),
            (1, 1): 0.08 * np.sin(d), (1, 2): 0.06 * np.cos(a), (2, 2): 0.07 * np.sin(a - b),
            (2, 3): 0.05 * np.cos(b + d), (3, 3): 0.06 * np.sin(c),
        }  # fmt: skip
        g = np.broadcast_to(np.eye(4), (*x.shape[:-1], 4, 4)).copy()
        for (i, j), value in upper.items():
            g[..., i, j] += value
            if i != j:
                g[..., j, i] += value
        return g

    point = grid.coordinates()[1, 5, 2, 7]
    exact = -2 * lnegeom.FromCallable(metric, dim=4).ricci(point)
    got = spectral_velocity(metric(grid.coordinates()), grid, "ricci")[1, 5, 2, 7]
    np.testing.assert_allclose(got, exact, atol=3e-5)


def test_one_dimension_is_a_pure_diffeomorphism():
    # Ric = 0 in one dimension: L_V g with V = g'/(2 g²), that is V g' + 2 g V'.
    x = sympy.Symbol("x")
    g = 1 + sympy.cos(x) / 5 + sympy.sin(2 * x) / 10
    V = sympy.diff(g, x) / (2 * g**2)
    expected = sympy.lambdify(x, V * sympy.diff(g, x) + 2 * g * sympy.diff(V, x), "numpy")
    grid = TorusGrid((64,))
    points = grid.coordinates()[:, 0]
    metric = sympy.lambdify(x, g, "numpy")(points)[:, None, None]
    np.testing.assert_allclose(spectral_velocity(metric, grid)[:, 0, 0], expected(points), atol=1e-11)


def test_kings_solution_solves_the_equation():
    # ∂_t w from a centred difference in time of the closed form, of fourth order.
    grid = TorusGrid((48, 24), (2 * math.pi, 3.0))
    step = 1e-3
    w = {
        m: king_conformal(grid, 0.2 + m * step, wavevector=(1, 0), s0=1.5, alpha=0.8) for m in (-2, -1, 1, 2)
    }
    rate = (8 * (w[1] - w[-1]) - (w[2] - w[-2])) / (12 * step)
    now = king_conformal(grid, 0.2, wavevector=(1, 0), s0=1.5, alpha=0.8)
    np.testing.assert_allclose(spectral_velocity(now, grid), rate, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_small_matrices(n):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, n, n))
    g = a @ np.swapaxes(a, -1, -2) - 0.3 * np.eye(n)
    packed = list(pack(np, g))
    inverse, _ = inverse_and_pivots(n, packed)
    np.testing.assert_allclose(
        unpack(np, np.stack(inverse), n) @ g, np.tile(np.eye(n), (50, 1, 1)), atol=1e-8
    )
    expected = np.linalg.eigvalsh(g).min(-1) > 0
    assert 0 < expected.sum() < 50
    np.testing.assert_array_equal(positive_definite(n, packed), expected)
    assert not positive_definite(n, list(np.full((n * (n + 1) // 2, 1), np.nan))).any()
    np.testing.assert_array_equal(unpack(np, pack(np, g), n), g)
