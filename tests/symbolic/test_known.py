"""Known results, exactly."""

import itertools

import pytest
import sympy as sp

from lnegeom import InputError, symbolic
from lnegeom.symbolic._curvature import Curvature


def proved(test):
    return test.value and test.method == "normal form"


@pytest.mark.parametrize("metric", [symbolic.schwarzschild, symbolic.kerr, symbolic.taub_nut])
def test_black_holes_are_vacuum(metric):
    g = metric()
    assert proved(g.ricci.is_zero())
    assert not g.riemann.is_zero()
    r = g.coordinates[1]
    broken = g.matrix.as_mutable()
    broken[2, 2] += r
    assert not symbolic.Metric(broken, g.coordinates).ricci.is_zero()


def test_kretschmann_scalars():
    mass, spin, r, theta = sp.symbols("M a r theta")
    assert symbolic.schwarzschild().kretschmann.expression == 48 * mass**2 / r**6
    ac = spin * sp.cos(theta)
    known = 48 * mass**2 * (r**2 - ac**2) * ((r**2 + ac**2) ** 2 - 16 * r**2 * ac**2) / (r**2 + ac**2) ** 6
    kerr = symbolic.kerr()
    assert kerr.kretschmann._component() == kerr.element(known)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize(
    ("metric", "sign"),
    [
        (symbolic.sphere, 1),
        (symbolic.stereographic_sphere, 1),
        (symbolic.poincare_ball, -1),
        (symbolic.half_space, -1),
    ],
)
def test_spaces_of_constant_curvature(metric, sign, n):
    g = metric(n)
    assert proved((g.ricci - g.tensor * (sign * (n - 1))).is_zero())
    assert g.scalar.expression == sign * n * (n - 1)
    assert g.kretschmann.expression == 2 * n * (n - 1)


def test_a_sphere_of_radius_rho():
    g = symbolic.sphere(3, sp.Symbol("rho"))
    assert g.scalar.expression == 6 / sp.Symbol("rho") ** 2


def test_cosmology_obeys_friedmann():
    g = symbolic.flrw()
    t = g.coordinates[0]
    a, k = sp.Function("a")(t), sp.Symbol("k")
    assert g.einstein._component(0, 0) == g.element(3 * (a.diff(t) ** 2 + k) / a**2)
    assert g.ricci._component(0, 0) == g.element(-3 * a.diff(t, 2) / a)


def test_charged_black_hole_has_no_scalar_curvature():
    g = symbolic.reissner_nordstrom()
    assert g.scalar.is_zero()
    assert g.ricci[0, 1] == 0
    assert g.ricci.raised(0)[2, 2] == sp.Symbol("Q") ** 2 / g.coordinates[1] ** 4


def test_cigar_and_warped_products_and_berger_spheres():
    x, y, s, squash = sp.symbols("x y s beta")
    assert symbolic.cigar().scalar.expression == 4 / (1 + x**2 + y**2)
    warped, phi = symbolic.warped_sphere(3), sp.Function("varphi")(s)
    known = -4 * phi.diff(s, 2) / phi + 2 * (1 - phi.diff(s) ** 2) / phi**2
    assert warped.scalar._component() == warped.element(known)
    assert warped.structure == ("diagonal", "warped")
    berger = symbolic.berger_sphere()
    assert sp.expand(berger.scalar.expression - (8 - 2 * squash**2)) == 0
    round_one = symbolic.berger_sphere(1)
    assert proved((round_one.ricci - round_one.tensor * 2).is_zero())


def test_normal_families_have_their_curvature():
    g = symbolic.normal()
    assert g.scalar.expression == -1  # Gaussian curvature -1/2
    natural = symbolic.fisher("-a**2/(4*b) - log(-2*b)/2", ["a", "b"])
    assert proved((natural.ricci + natural.tensor * sp.Rational(1, 2)).is_zero())
    # The same space: natural parameters of mean and standard deviation.
    mu, sigma = g.coordinates
    moved = natural.pullback({"a": mu / sigma**2, "b": -1 / (2 * sigma**2)}, [mu, sigma])
    assert moved.matrix.applyfunc(sp.simplify) == sp.Matrix(g.matrix)
    within = symbolic.bivariate_normal(budget=20.0)
    assert within.scalar.expression == sp.Rational(-9, 2)


@pytest.mark.parametrize("n", [2, 3])
def test_log_cosh_is_flat_and_its_coordinates_straighten_it(n):
    g = symbolic.log_cosh(n)
    assert proved(g.riemann_lowered.is_zero())
    tau, x = sp.Symbol("tau"), g.coordinates
    bent = g.matrix + sp.diag(x[1] ** 2, *[0] * (n - 1))
    assert not symbolic.Metric(bent, x).riemann_lowered.is_zero()
    # Gudermann's function is an isometry to Euclidean space.
    straight = {c: 2 * sp.atan(sp.tanh(tau * c / 2)) / tau for c in x}
    moved = symbolic.euclidean(n).pullback(straight, x)
    for i, j in moved.tensor.independent:
        assert proved(symbolic.is_zero(moved.matrix[i, j] - g.matrix[i, j]))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_closed_form_of_lne_is_proved(n):
    g = symbolic.lne(n)
    tau, field = sp.Symbol("tau"), g.field
    u = [sp.tanh(tau * c) for c in g.coordinates]
    h = [tau * (1 - v**2) for v in u]
    w = 1 - sum(v**2 for v in u)
    total = sum(a * (1 + v**2 / w) for a, v in zip(h, u, strict=True))
    # The general engine, not the one of graphs, whose formula this would repeat.
    general = Curvature(field, g.geometry.g)
    for i, j in itertools.product(range(n), repeat=2):
        known = h[i] * u[i] * h[j] * u[j] / w**2 - ((total * h[i] - h[i] ** 2) / w if i == j else 0)
        assert general.ricci(i, j) == g.element(known)
        assert g.ricci._component(i, j) == g.element(known)
        for k in range(n):
            assert general.christoffel(k, i, j) == g.element(-u[k] * h[i] / w if i == j else 0)
    trace = sum(a**2 * (1 + 2 * v**2 / w) for a, v in zip(h, u, strict=True))
    trace += sum(a * v**2 / w for a, v in zip(h, u, strict=True)) ** 2
    assert general.scalar() == g.element(-(total**2 - trace) / w)


def test_killing_fields():
    phi = sp.Symbol("phi")
    theta = sp.Symbol("theta")
    sphere = symbolic.sphere(2)
    assert sphere.killing_equation([0, 1]).is_zero()
    assert sphere.killing_equation([sp.sin(phi), sp.cot(theta) * sp.cos(phi)]).is_zero()
    assert not sphere.killing_equation([1, 0]).is_zero()
    equations = symbolic.euclidean(2).killing_equation()
    x0, x1 = equations.metric.coordinates
    first, second = sp.Function("X0")(x0, x1), sp.Function("X1")(x0, x1)
    assert equations[0, 0] == 2 * first.diff(x0)
    assert equations[0, 1] == first.diff(x1) + second.diff(x0)


def test_geodesics_of_lne_are_those_of_the_closed_form():
    g = symbolic.lne(2, 1)
    s = sp.Symbol("s")
    a, b = (sp.Function(name)(s) for name in ("x0", "x1"))
    u, v = sp.tanh(a), sp.tanh(b)
    w = 1 - u**2 - v**2
    known = a.diff(s, 2) - u * ((1 - u**2) * a.diff(s) ** 2 + (1 - v**2) * b.diff(s) ** 2) / w
    assert symbolic.is_zero(g.geodesic_equations()[0] - known)


def test_pullbacks_are_induced_metrics():
    space = symbolic.euclidean(3)
    sphere = space.pullback({"x0": "sin(p)*cos(q)", "x1": "sin(p)*sin(q)", "x2": "cos(p)"}, ["p", "q"])
    assert sphere.tensor.nonzero() == {(0, 0): 1, (1, 1): sp.sin(sp.Symbol("p")) ** 2}
    tanh = symbolic.minkowski(3).pullback({"t": "log(cosh(x)*cosh(y))", "x1": "x", "x2": "y"}, ["x", "y"])
    lne = symbolic.lne(2, 1)
    moved = lne.pullback({"x0": "x", "x1": "y"}, ["x", "y"])
    assert symbolic.is_zero(tanh.scalar.expression - moved.scalar.expression)


def test_eguchi_gives_dual_connections():
    x, y = sp.symbols("x:2"), sp.symbols("y:2")
    psi = {v: sp.log(sp.cosh(v[0])) + v[0] * v[1] / 3 + v[1] ** 4 + v[1] ** 2 for v in (x, y)}
    bregman = psi[x] - psi[y] - sum((p - q) * psi[y].diff(q) for p, q in zip(x, y, strict=True))
    g = symbolic.from_divergence(bregman, x, y)
    hessian = symbolic.from_potential(psi[x], x)
    assert symbolic.is_zero(g.tensor[0, 0] - hessian.tensor[0, 0])
    assert g.connection.is_zero()  # flat in these coordinates
    for i, j, k in itertools.product(range(2), repeat=3):
        third = psi[x].diff(x[i], x[j], x[k])
        assert symbolic.is_zero(g.cubic[k, i, j] - third)
        # ∂_k g_ij = Γ_ki,j + Γ*_kj,i, and the mean of the two is Levi-Civita's.
        slope = hessian.tensor[i, j].diff(x[k])
        assert symbolic.is_zero(slope - g.connection[j, k, i] - g.dual_connection[i, k, j])
        mean = (g.connection[k, i, j] + g.dual_connection[k, i, j]) / 2
        assert symbolic.is_zero(mean - g.christoffel_lowered[k, i, j])


def test_kullback_leibler_of_normals_has_the_exponential_connection_as_its_dual():
    p, q = sp.symbols("m s"), sp.symbols("n t")
    kl = sp.log(q[1] / p[1]) + (p[1] ** 2 + (p[0] - q[0]) ** 2) / (2 * q[1] ** 2) - sp.Rational(1, 2)
    g = symbolic.from_divergence(kl, p, q)
    assert g.tensor[1, 1] == 2 / p[1] ** 2
    # Amari: C_111 = 0, C_112 = 2/σ³, C_222 = 8/σ³ for E[∂l ∂l ∂l]; for KL[p : q] the cubic is minus that.
    assert [g.cubic[0, 0, 0], g.cubic[1, 0, 0], g.cubic[1, 1, 1]] == [0, -2 / p[1] ** 3, -8 / p[1] ** 3]


def test_divergences_must_vanish_on_the_diagonal():
    with pytest.raises(InputError, match="must vanish"):
        symbolic.from_divergence("x - y + 1", ["x"], ["y"])
