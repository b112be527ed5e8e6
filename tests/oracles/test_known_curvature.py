"""Metrics of curvature that is not constant, against the curvature that books print for them.

No expectation here looks at the metric's own matrix: each is a formula of the coordinates, with its source.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np
import pytest
import torch
import zoo
from scipy.special import polygamma

import lnegeom


def matrix_of(*rows):
    """A matrix from its rows, which hold numbers and at least one array."""
    arrays = [entry for row in rows for entry in row if hasattr(entry, "shape")]
    xp = array_api_compat.array_namespace(*arrays)
    return xp.stack([xp.stack([0 * arrays[0] + entry for entry in row]) for row in rows])


def functions_of(x):
    return array_api_compat.array_namespace(x)


def ring(x):  # a torus of revolution
    xp = functions_of(x)
    out = 2 + 0.7 * xp.cos(x[1])
    return xp.stack([out * xp.cos(x[0]), out * xp.sin(x[0]), 0.7 * xp.sin(x[1])])


def catenoid(x):
    xp = functions_of(x)
    return xp.stack([xp.cosh(x[1]) * xp.cos(x[0]), xp.cosh(x[1]) * xp.sin(x[0]), x[1]])


def enneper(x):
    u, v = x[0], x[1]
    return functions_of(x).stack([u - u**3 / 3 + u * v**2, v - v**3 / 3 + v * u**2, u**2 - v**2])


def cigar(x):
    return -functions_of(x).log(1 + x @ x) / 2


def heisenberg(x):  # dx² + dy² + (dz − x dy)²
    a = x[0]
    return matrix_of([1.0, 0.0, 0.0 * a], [0.0, 1 + a * a, -a], [0.0, -a, 1.0])


def solvable(x):  # e^{2z} dx² + e^{−2z} dy² + dz²
    e = functions_of(x).exp(2 * x[2])
    return matrix_of([e, 0.0, 0.0], [0.0, 1 / e, 0.0], [0.0, 0.0, 1.0])


def berger(squash):
    def metric(x):  # ¼ (dθ² + sin²θ dφ² + λ² (dψ + cos θ dφ)²)
        xp = functions_of(x)
        c, s, l2 = xp.cos(x[0]), xp.sin(x[0]), squash**2
        return matrix_of([1 + 0 * c, 0.0, 0.0], [0.0, s * s + l2 * c * c, l2 * c], [0.0, l2 * c, l2]) / 4

    return metric


def turned(x):
    """Multiplication by i of two complex numbers."""
    return functions_of(x).stack([-x[1], x[0], -x[3], x[2]])


def fubini_study(x):
    scale, j = 1 + x @ x, turned(x)
    one = matrix_of([0 * x[0] + 1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])
    return one / scale - (x[:, None] * x[None, :] + j[:, None] * j[None, :]) / scale**2


def charged(mass, charge):  # Reissner–Nordström
    def metric(x):
        r, s = x[1], functions_of(x).sin(x[2])
        f = 1 - 2 * mass / r + charge**2 / r**2
        return matrix_of([-f, 0, 0, 0], [0, 1 / f, 0, 0], [0, 0, r * r, 0], [0, 0, 0, (r * s) ** 2])

    return metric


def wave(x):  # 2 du dv + (x³ y) du² + dx² + dy²
    h = x[2] ** 3 * x[3]
    return matrix_of([h, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1])


def universe(x):  # −dt² + t (dx² + dy² + dz²): radiation
    t = x[0]
    return matrix_of([-1 + 0 * t, 0, 0, 0], [0, t, 0, 0], [0, 0, t, 0], [0, 0, 0, t])


def kerr_kretschmann(x, m=1.3, a=0.9):
    r2, c2 = x[:, 1] ** 2, (a * np.cos(x[:, 2])) ** 2
    return 48 * m**2 * (r2 - c2) * ((r2 + c2) ** 2 - 16 * r2 * c2) / (r2 + c2) ** 6


def charged_kretschmann(x, m=1.0, q=0.6):
    r = x[:, 1]
    return 48 * m**2 / r**6 - 96 * m * q**2 / r**7 + 56 * q**4 / r**8


def ellipsoid_scalar(x):
    u, v = x[:, 0], x[:, 1]
    y = np.stack([np.cos(u) * np.cos(v), np.cos(u) * np.sin(v) / 2, np.sin(u) / 3], axis=-1)  # y_i / a_i²
    return 2 / (36 * np.sum(y**2, axis=-1) ** 2)


def gamma_scalar(theta):
    k = theta[:, 0]
    return (polygamma(1, k) + k * polygamma(2, k)) / (2 * (k * polygamma(1, k) - 1) ** 2)


def ricci_eigenvalues(metric, x):
    mixed = metric.inverse(x) @ metric.ricci(x)
    return np.sort(np.linalg.eigvals(np.asarray(mixed)).real, axis=-1)


def of_lines_and_real_planes(metric, x):
    """Sectional curvatures of CP²: of a complex line, and of a plane that is totally real."""
    xp = array_api_compat.array_namespace(x)
    v, w = (xp.asarray(a, dtype=x.dtype) for a in ([1.0, 0.3, -0.2, 0.5], [0.2, 1.0, 0.4, -0.3]))
    j = turned(v)
    for u in (v, j):  # w without its parts along v and iv, which are orthogonal
        w = w - (metric.inner(x, u, w) / metric.inner(x, u, u))[:, None] * u
    planes = lnegeom.sectional_curvature(metric, x, v, j), lnegeom.sectional_curvature(metric, x, v, w)
    return xp.stack(planes, axis=-1)


def scalar(metric, x):
    return metric.scalar_curvature(x)


def always(*values):
    """A number, or numbers, at every point."""
    return lambda x: np.broadcast_to(np.squeeze(values), (len(x), *np.shape(np.squeeze(values))))


@dataclass(frozen=True)
class Known:
    """A metric, what of it is known, the formula, and points where it is tried."""

    metric: Any
    quantity: Callable
    formula: Callable
    points: Any


PLANE = np.array([[0.3, 0.4], [-0.5, 0.8]])
SPACE = np.array([[0.3, 0.4, 0.2], [0.7, -0.6, 0.5]])
TIME = np.array([[0.3, 4.0, 1.1, 0.2], [1.0, 6.0, 0.6, -0.4]])
COMPLEX = np.array([[0.1, 0.2, -0.3, 0.4], [0.5, -0.1, 0.2, 0.3]])
NORMALS = zoo.bivariate_normal(np.array([[0.3, -0.2, 0.1, 0.4, 0.5], [0.0, 0.6, -0.3, 0.2, -0.4]]))

# do Carmo, Differential Geometry of Curves and Surfaces (1976), for surfaces; Milnor, Curvatures of left
# invariant metrics on Lie groups (1976); Petersen, Riemannian Geometry (2016), chapter 4; Arwini and Dodson,
# Information Geometry (2008), for families; Misner, Thorne and Wheeler, Gravitation (1973); Henry,
# Kretschmann Scalar for a Kerr-Newman Black Hole (2000).
KNOWN = {
    "torus of revolution": Known(
        lnegeom.Pullback(ring, 2),
        scalar,
        lambda x: 2 * np.cos(x[:, 1]) / (0.7 * (2 + 0.7 * np.cos(x[:, 1]))),
        PLANE,
    ),
    "catenoid": Known(lnegeom.Pullback(catenoid, 2), scalar, lambda x: -2 / np.cosh(x[:, 1]) ** 4, PLANE),
    "Enneper's surface": Known(
        lnegeom.Pullback(enneper, 2), scalar, lambda x: -8 / (1 + np.sum(x**2, axis=-1)) ** 4, PLANE
    ),
    "ellipsoid": Known(lnegeom.Pullback(zoo.ellipsoid, 2), scalar, ellipsoid_scalar, PLANE),
    "paraboloid": Known(
        lnegeom.Graph(lnegeom.SquaredNorm()),
        scalar,
        lambda x: 2 / (1 + np.sum(x**2, axis=-1)) ** 2,
        PLANE,
    ),
    "cigar": Known(lnegeom.Conformal(cigar), scalar, lambda x: 4 / (1 + np.sum(x**2, axis=-1)), PLANE),
    "Heisenberg group": Known(
        lnegeom.FromCallable(heisenberg, 3), ricci_eigenvalues, always(-0.5, -0.5, 0.5), SPACE
    ),
    "Sol": Known(lnegeom.FromCallable(solvable, 3), ricci_eigenvalues, always(-2, 0, 0), SPACE),
    "Berger sphere": Known(
        lnegeom.FromCallable(berger(0.6), 3),
        ricci_eigenvalues,
        always(2 * 0.36, 4 - 2 * 0.36, 4 - 2 * 0.36),
        SPACE + np.array([1, 0, 0]),
    ),
    "CP²": Known(lnegeom.FromCallable(fubini_study, 4), ricci_eigenvalues, always(6, 6, 6, 6), COMPLEX),
    "planes of CP²": Known(
        lnegeom.FromCallable(fubini_study, 4), of_lines_and_real_planes, always(4, 1), COMPLEX
    ),
    "sphere times hyperbolic plane": Known(
        lnegeom.Product(lnegeom.Sphere(2, 0.5), lnegeom.PoincareBall(2)),
        ricci_eigenvalues,
        always(-1, -1, 4, 4),
        COMPLEX,
    ),
    "SPD(3)": Known(
        lnegeom.SPD(3), ricci_eigenvalues, always(*[-0.75] * 5, 0), zoo.spd(3)(np.ones((2, 6)) * 0.3)
    ),
    "gamma distributions": Known(
        lnegeom.Fisher(lnegeom.Gamma()), scalar, gamma_scalar, np.array([[0.7, -1.0], [3.0, -0.2]])
    ),
    "bivariate normals": Known(lnegeom.Fisher(lnegeom.MultivariateNormal(2)), scalar, always(-4.5), NORMALS),
    "Schwarzschild": Known(
        lnegeom.Schwarzschild(1.3), lnegeom.kretschmann, lambda x: 48 * 1.3**2 / x[:, 1] ** 6, TIME
    ),
    "Kerr": Known(lnegeom.Kerr(1.3, 0.9), lnegeom.kretschmann, kerr_kretschmann, TIME),
    "Reissner–Nordström": Known(
        lnegeom.FromCallable(charged(1.0, 0.6), 4, negative=1),
        lnegeom.kretschmann,
        charged_kretschmann,
        TIME,
    ),
    "gravitational wave": Known(  # Ric_uu = −½ ΔH
        lnegeom.FromCallable(wave, 4, negative=1),
        lambda metric, x: metric.ricci(x)[:, 0, 0],
        lambda x: -3 * x[:, 2] * x[:, 3],
        COMPLEX,
    ),
    "universe of radiation": Known(  # R = 0 while G_tt = 3 (ȧ/a)² = 3/(4t²), a = √t
        lnegeom.FromCallable(universe, 4, negative=1),
        lambda metric, x: lnegeom.einstein(metric, x)[:, 0, 0],
        lambda x: 3 / (4 * x[:, 0] ** 2),
        COMPLEX + np.array([1, 0, 0, 0]),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_curvature_is_what_books_say(name, library):
    known = KNOWN[name]
    x = known.points if library == "numpy" else torch.from_numpy(known.points)
    found = np.asarray(known.quantity(known.metric, x))
    expected = known.formula(known.points)
    assert found.shape == expected.shape
    tolerance = 1e-6 if library == "numpy" else 1e-10  # differences, or automatic
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_the_metrics_are_ten_and_more_and_not_of_constant_curvature():
    curved = set()
    for name, known in KNOWN.items():
        riemann = lnegeom.riemann(known.metric, known.points, lowered=True)
        g = known.metric.matrix(known.points)
        n = g.shape[-1]
        square = np.einsum("...ik,...jl->...ijkl", g, g) - np.einsum("...il,...jk->...ijkl", g, g)
        mean = known.metric.scalar_curvature(known.points) / (n * (n - 1))
        gap = np.abs(riemann - np.mean(mean) * square).max()  # of R from that of the best space form
        if gap > 1e-3 * np.abs(riemann).max():
            curved.add(name)
    assert curved == KNOWN.keys()
    assert len(KNOWN) >= 10
