"""Metrics whose curvature is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from lnegeom._array import InputError, positive_integer
from lnegeom.symbolic._inputs import read_constant, read_expression, read_symbols
from lnegeom.symbolic.constructors import lne, log_cosh
from lnegeom.symbolic.information import fisher
from lnegeom.symbolic.metric import Metric

T, R, THETA, PHI = sp.symbols("t r theta phi")


def euclidean(n: int = 3, **options: Any) -> Metric:
    """Flat space of n dimensions, coordinates x0, …; options as in `Metric`."""
    symbols = sp.symbols(f"x:{positive_integer('n', n)}")
    return Metric(sp.eye(n), symbols, **options)


def minkowski(n: int = 4, **options: Any) -> Metric:
    """Flat space-time ``diag(−1, 1, …, 1)``; options as in `Metric`."""
    symbols = (T, *sp.symbols(f"x1:{positive_integer('n', n)}"))
    return Metric(sp.diag(-1, *[1] * (n - 1)), symbols, **options)


def sphere(n: int = 2, radius: Any = 1, **options: Any) -> Metric:
    """Round n-sphere in angles: ``Ric = (n − 1) g / radius²``; options as in `Metric`."""
    names = ("theta", "phi") if n == 2 else [f"theta{i}" for i in range(1, positive_integer("n", n) + 1)]
    angles = sp.symbols(list(names))
    entries, size = [], read_constant("radius", radius, angles, options.get("parameters")) ** 2
    for angle in angles:
        entries.append(size)
        size *= sp.sin(angle) ** 2
    return Metric(sp.diag(*entries), angles, **options)


def stereographic_sphere(n: int = 2, **options: Any) -> Metric:
    """Unit n-sphere in its stereographic chart, ``4δ/(1 + |x|²)²``; options as in `Metric`."""
    return _ball(n, 1, options)


def poincare_ball(n: int = 2, **options: Any) -> Metric:
    """Hyperbolic n-space in the unit ball, ``4δ/(1 − |x|²)²``; options as in `Metric`."""
    return _ball(n, -1, options)


def _ball(n: int, sign: int, options: dict[str, Any]) -> Metric:
    symbols = sp.symbols(f"x:{positive_integer('n', n)}")
    return Metric(4 * sp.eye(n) / (1 + sign * sum(c**2 for c in symbols)) ** 2, symbols, **options)


def half_space(n: int = 2, **options: Any) -> Metric:
    """Hyperbolic n-space above a hyperplane, ``δ / x_n²``; options as in `Metric`."""
    symbols = sp.symbols(f"x:{positive_integer('n', n)}")
    return Metric(sp.eye(n) / symbols[-1] ** 2, symbols, **options)


def _constant(what: str, value: Any, options: dict[str, Any]) -> Any:
    return read_constant(what, value, (T, R, THETA, PHI), options.get("parameters"))


def _static(f: Any, options: dict[str, Any]) -> Metric:
    return Metric(sp.diag(-f, 1 / f, R**2, R**2 * sp.sin(THETA) ** 2), (T, R, THETA, PHI), **options)


def schwarzschild(mass: Any = "M", **options: Any) -> Metric:
    """Static black hole of mass M, a vacuum: ``Ric = 0``; options as in `Metric`."""
    return _static(1 - 2 * _constant("mass", mass, options) / R, options)


def reissner_nordstrom(mass: Any = "M", charge: Any = "Q", **options: Any) -> Metric:
    """Static black hole of mass M and charge Q: scalar curvature 0; options as in `Metric`."""
    m, q = _constant("mass", mass, options), _constant("charge", charge, options)
    return _static(1 - 2 * m / R + q**2 / R**2, options)


def kerr(mass: Any = "M", spin: Any = "a", **options: Any) -> Metric:
    """Rotating black hole in Boyer–Lindquist coordinates, a vacuum: ``Ric = 0``; options as in `Metric`."""
    m, a = _constant("mass", mass, options), _constant("spin", spin, options)
    s, c = sp.sin(THETA), sp.cos(THETA)
    sigma, delta = R**2 + a**2 * c**2, R**2 - 2 * m * R + a**2
    cross = -2 * m * a * R * s**2 / sigma
    matrix = sp.diag(
        -(1 - 2 * m * R / sigma), sigma / delta, sigma, (R**2 + a**2 + 2 * m * R * a**2 * s**2 / sigma) * s**2
    )
    matrix[0, 3] = matrix[3, 0] = cross
    return Metric(matrix, (T, R, THETA, PHI), **options)


def taub_nut(mass: Any = "M", nut: Any = "l", **options: Any) -> Metric:
    """Taub–NUT space, stationary and a vacuum: ``Ric = 0``; options as in `Metric`."""
    m, n = _constant("mass", mass, options), _constant("nut", nut, options)
    sigma, f = R**2 + n**2, (R**2 - 2 * m * R - n**2) / (R**2 + n**2)
    # −f (dt + 2n cos θ dφ)² + dr²/f + (r² + n²)(dθ² + sin²θ dφ²)
    twist = 2 * n * sp.cos(THETA)
    matrix = sp.diag(-f, 1 / f, sigma, sigma * sp.sin(THETA) ** 2 - f * twist**2)
    matrix[0, 3] = matrix[3, 0] = -f * twist
    return Metric(matrix, (T, R, THETA, PHI), **options)


def flrw(curvature: Any = "k", *, scale: Any = None, **options: Any) -> Metric:
    """Homogeneous cosmology, its scale factor a(t) generic if left out; options as in `Metric`."""
    if scale is None:
        a = sp.Function("a")(T)
    else:
        declared = read_symbols(options.get("parameters") or (), "parameters")
        a = read_expression(scale, {"t": T, **{str(s): s for s in declared}})
    k = _constant("curvature", curvature, options)
    space = [a**2 / (1 - k * R**2), a**2 * R**2, a**2 * R**2 * sp.sin(THETA) ** 2]
    return Metric(sp.diag(-1, *space), (T, R, THETA, PHI), **options)


def cigar(**options: Any) -> Metric:
    """Hamilton's soliton ``(dx² + dy²)/(1 + x² + y²)``: ``R = 4/(1 + x² + y²)``; options as in `Metric`."""
    x, y = sp.symbols("x y")
    return Metric(sp.eye(2) / (1 + x**2 + y**2), (x, y), **options)


def warped_product(
    fibre: Metric, profile: Any = None, *, base: Metric | None = None, **options: Any
) -> Metric:
    """Warped product ``g_B + φ² g_F``; its curvature comes from base, fibre and φ in closed form.

    Parameters
    ----------
    fibre : Metric
        g_F.
    profile : sympy expression or text, optional
        φ, in the base's coordinates; left out, a generic function ``varphi`` of them.
    base : Metric, optional
        g_B; left out, a line with the coordinate s.
    **options
        Passed on to `Metric`.

    Raises
    ------
    InputError
        If base and fibre share a coordinate, φ is zero, and as in `Metric`.

    Examples
    --------
    Hyperbolic space in polar coordinates:

    >>> from lnegeom import symbolic
    >>> g = symbolic.warped_product(symbolic.sphere(2), "sinh(s)")
    >>> g.structure, g.scalar.expression
    (('diagonal', 'warped'), -6)
    """
    for what, given in (("fibre", fibre), ("base", base)):
        if not isinstance(given, Metric) and (what == "fibre" or given is not None):
            raise InputError(f"{what}: expected a symbolic Metric, got {given!r:.80}")
    line = Metric([[1]], ["s"]) if base is None else base
    if shared := {str(c) for c in line.coordinates} & {str(c) for c in fibre.coordinates}:
        raise InputError(f"base and fibre both have the coordinate {min(shared)}: rename one")
    if profile is None:
        phi = sp.Function("varphi")(*line.coordinates)
    else:
        declared = read_symbols(options.get("parameters") or (), "parameters")
        phi = read_expression(profile, {str(c): c for c in (*line.coordinates, *line.parameters, *declared)})
    matrix = sp.diag(line.matrix, phi**2 * fibre.matrix)
    return Metric(matrix, (*line.coordinates, *fibre.coordinates), **options)


def warped_sphere(n: int = 3, profile: Any = None, **options: Any) -> Metric:
    """Rotationally symmetric ``ds² + φ(s)² g_sphere``, n ≥ 2, φ generic if None; options as in `Metric`."""
    if positive_integer("n", n) < 2:
        raise InputError(f"n must be at least 2, a line and a sphere, got {n}")
    return warped_product(sphere(n - 1) if n > 2 else euclidean(1), profile, **options)


def berger_sphere(squash: Any = "beta", **options: Any) -> Metric:
    """Three-sphere with scaled Hopf fibres, ``¼ (dθ² + sin²θ dφ² + β² (dψ + cos θ dφ)²)``, round at β = 1.

    Options as in `Metric`.
    """
    psi = sp.Symbol("psi")
    scale = read_constant("squash", squash, (THETA, PHI, psi), options.get("parameters")) ** 2
    s, c = sp.sin(THETA), sp.cos(THETA)
    matrix = sp.Matrix([[1, 0, 0], [0, s**2 + scale * c**2, scale * c], [0, scale * c, scale]]) / 4
    return Metric(matrix, (THETA, PHI, psi), **options)


def normal(**options: Any) -> Metric:
    """Fisher metric ``diag(1/σ², 2/σ²)`` of the normal family: curvature −½; options as in `Metric`."""
    mu, sigma = sp.symbols("mu sigma")
    return Metric(sp.diag(1 / sigma**2, 2 / sigma**2), (mu, sigma), **options)


def bivariate_normal(**options: Any) -> Metric:
    """Fisher metric of the bivariate normal family in its five natural parameters; options as in `Metric`."""
    a, b, p, q, r = symbols = sp.symbols("a b p q r")
    # θ = (Λμ, −Λ/2) with Λ = −2 [[p, q], [q, r]]; the log-partition is ½ aᵀ Λ⁻¹ a − ½ log det Λ.
    det = 4 * (p * r - q**2)
    psi = -(a**2 * r - 2 * a * b * q + b**2 * p) / det - sp.log(det) / 2
    return fisher(psi, symbols, **options)


CATALOGUE: dict[str, Callable[..., Metric]] = {
    "euclidean": euclidean,
    "minkowski": minkowski,
    "sphere": sphere,
    "stereographic-sphere": stereographic_sphere,
    "poincare-ball": poincare_ball,
    "half-space": half_space,
    "schwarzschild": schwarzschild,
    "reissner-nordstrom": reissner_nordstrom,
    "kerr": kerr,
    "taub-nut": taub_nut,
    "flrw": flrw,
    "cigar": cigar,
    "warped-sphere": warped_sphere,
    "berger-sphere": berger_sphere,
    "normal": normal,
    "bivariate-normal": bivariate_normal,
    "lne": lne,
    "log-cosh": log_cosh,
}
"""The metrics that the command line knows by name."""

SIZED = (
    *("euclidean", "minkowski", "sphere", "stereographic-sphere", "poincare-ball", "half-space"),
    *("warped-sphere", "lne", "log-cosh"),
)
"""Those that take a dimension."""


def from_name(name: str, n: int | None = None, **options: Any) -> Metric:
    """Return a metric of the catalogue by its name, of dimension n where it has one.

    Raises
    ------
    InputError
        If there is no such name, or its dimension is fixed and n is given.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> symbolic.from_name("lne", 3).dim
    3
    """
    if name not in CATALOGUE:
        raise InputError(f"unknown metric {name!r}: expected {', '.join(CATALOGUE)}, or a .toml file")
    if name not in SIZED:
        if n is not None:
            raise InputError(f"{name} has a fixed dimension: leave n out")
        return CATALOGUE[name](**options)
    if n is None and name in ("lne", "log-cosh"):
        n = 3
    return CATALOGUE[name](**options) if n is None else CATALOGUE[name](n, **options)
