"""Connection and curvature against the textbook formulas in numbers, and against themselves."""

import itertools

import mpmath
import numpy as np
import pytest
import sympy as sp

from lnegeom import InputError, symbolic
from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._polynomial import exponents

t, x, y, z, a, tau = sp.symbols("t x y z a tau")
f = sp.Function("f")
s, c = sp.sin, sp.cos

WAVY = sp.Matrix(
    [
        [2 + s(x + y), c(z) / 3, 0],
        [c(z) / 3, 2, x * y / 5],
        [0, x * y / 5, sp.exp(3 * x / 10) + 1],
    ]
)
ROOTS = sp.Matrix([[sp.sqrt(1 + x**2), x * y], [x * y, 3 + y * sp.sqrt(2 + y)]])
MIXED = sp.Matrix([[-sp.cosh(y), 0, x], [0, sp.log(2 + x * z), 0], [x, 0, 2 + sp.tanh(y + z) ** 2]])
POWERS = sp.diag(-1, t ** sp.Rational(4, 3), t ** (2 * a), (1 + x) ** 2)
STRETCHED = 3 * sp.Matrix([[2, 1, 0], [1, 3, 0], [0, 0, -1]]) * sp.exp(x * y) / (2 + z)
STEEP = sp.eye(3) + sp.Matrix([x * y * z, x**2 * z / 2, x**2 * y / 2]) * sp.Matrix(
    [[x * y * z, x**2 * z / 2, x**2 * y / 2]]
)
# Fibre (0, 2) over base (1, 3), their indices interleaved.
WARP = 1 + x + y**2
WARPED = sp.Matrix(
    [
        [WARP * (1 + z**2), 0, WARP * z * t, 0],
        [0, 1 + x**2, 0, x / 3],
        [WARP * z * t, 0, WARP * (3 + t), 0],
        [0, x / 3, 0, 2 + y],
    ]
)
PRODUCT = sp.diag(sp.Matrix([[1 + x**2, x * y], [x * y, 3 + y]]), sp.Matrix([[2 + z * t, z], [z, 3 + t]]))

METRICS = {
    "warped": (WARPED, (z, x, t, y)),
    "product": (PRODUCT, (x, y, z, t)),
    "wavy": (WAVY, (x, y, z)),
    "roots": (ROOTS, (x, y)),
    "mixed": (MIXED, (x, y, z)),
    "powers": (POWERS, (t, x, y, z)),
    "stretched": (STRETCHED, (x, y, z)),
    "steep": (STEEP, (x, y, z)),
    **{
        name: (metric.matrix, metric.coordinates)
        for name, metric in (
            ("kerr", symbolic.kerr()),
            ("taub-nut", symbolic.taub_nut()),
            ("lne", symbolic.lne(3)),
            ("lne-5", symbolic.lne(5)),
            ("log-cosh", symbolic.log_cosh(2)),
            ("bivariate-normal", symbolic.bivariate_normal()),
            ("stereographic", symbolic.stereographic_sphere(3)),
            ("berger", symbolic.berger_sphere()),
            ("sphere", symbolic.sphere(4)),
            ("reissner-nordstrom", symbolic.reissner_nordstrom()),
        )
    },
}


def values(matrix, symbols):
    """Rational values for all symbols, by their place."""
    free = sorted(matrix.free_symbols | set(symbols), key=str)
    return {
        symbol: sp.Rational(3 + 2 * i, 13) + (sp.Rational(1, 7) if i % 2 else 0)
        for i, symbol in enumerate(free)
    }


def textbook(matrix, symbols, at):
    """Christoffel symbols and R^r_smv in floating point: derivatives of Γ, unlike the engine's."""
    number = np.vectorize(lambda e: float(sp.N(e.subs(at), 30)), otypes=[float])
    g = number(np.array(matrix.tolist(), dtype=object))
    d = np.stack([number(np.array(matrix.diff(v).tolist(), dtype=object)) for v in symbols], -1)
    dd = np.stack(
        [
            np.stack([number(np.array(matrix.diff(v, w).tolist(), dtype=object)) for w in symbols], -1)
            for v in symbols
        ],
        -2,
    )
    inverse = np.linalg.inv(g)
    low = (np.einsum("kji->kij", d) + np.einsum("kij->kij", d) - np.einsum("ijk->kij", d)) / 2
    dlow = (np.einsum("kjia->kija", dd) + dd - np.einsum("ijka->kija", dd)) / 2
    gamma = np.einsum("kl,lij->kij", inverse, low)
    dinverse = -np.einsum("ij,jka,kl->ila", inverse, d, inverse)
    dgamma = np.einsum("kla,lij->kija", dinverse, low) + np.einsum("kl,lija->kija", inverse, dlow)
    half = np.einsum("rvsm->rsmv", dgamma) + np.einsum("rml,lvs->rsmv", gamma, gamma)
    return gamma, half - np.swapaxes(half, -1, -2)


def numbers(tensor, at):
    """Components in floating point, from their normal forms at values of the generators with 40 digits."""
    field = tensor.metric.field
    mpmath.mp.dps = 40
    known = [mpmath.mpf(str(sp.N(g.expression.subs(at), 40))) for g in field.generators]

    def polynomial(poly):
        return mpmath.fsum(
            c * mpmath.fprod(known[i] ** e for i, e in exponents(m).items()) for m, c in poly.items()
        )

    below = [polynomial(d.poly) for d in field.denominators]

    def value(index):
        element = tensor.element(index)
        top = polynomial(element.num) / element.den
        return float(top / mpmath.fprod(d**e for d, e in zip(below, element.exps, strict=False)))

    indices = itertools.product(range(tensor.metric.dim), repeat=len(tensor.shape))
    return np.array([value(index) for index in indices]).reshape(tensor.shape)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "bivariate-normal"])
def test_components_are_those_of_the_textbook(name):
    matrix, symbols = METRICS[name]
    metric = symbolic.Metric(matrix, symbols)
    at = values(matrix, symbols)
    gamma, riemann = textbook(matrix, symbols, at)
    scale = np.abs(riemann).max() + 1
    np.testing.assert_allclose(numbers(metric.christoffel, at), gamma, atol=1e-10, rtol=1e-9)
    np.testing.assert_allclose(numbers(metric.riemann, at), riemann, atol=1e-9 * scale)
    np.testing.assert_allclose(numbers(metric.ricci, at), np.einsum("rsrv->sv", riemann), atol=1e-9 * scale)


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("stretched", ("block", "conformal")),
        ("stereographic", ("diagonal", "conformal")),
        ("steep", ("graph",)),
        ("lne", ("graph",)),
        ("lne-5", ("graph",)),
        ("log-cosh", ("diagonal", "hessian")),
        ("bivariate-normal", ("hessian",)),
        ("kerr", ("block",)),
        ("warped", ("block", "warped")),
        ("product", ("block", "product")),
        ("sphere", ("diagonal", "warped")),
        ("reissner-nordstrom", ("diagonal", "warped")),
        ("wavy", ()),
    ],
)
def test_structure_is_recognised_and_changes_nothing(name, structure):
    matrix, symbols = METRICS[name]
    metric = symbolic.Metric(matrix, symbols)
    assert metric.structure == structure
    general = Curvature(metric.field, metric.geometry.g)
    index = range(metric.dim)
    for i, j in itertools.combinations_with_replacement(index, 2):
        assert general.inverse(i, j) == metric.geometry.inverse(i, j)
        assert general.ricci(i, j) == metric.geometry.ricci(i, j)
        for k in index:
            assert general.christoffel(k, i, j) == metric.geometry.christoffel(k, i, j)
            assert general.lowered(k, i, j) == metric.geometry.lowered(k, i, j)
    for component in general.independent():
        assert general.riemann(*component) == metric.geometry.riemann(*component)
    assert general.scalar() == metric.geometry.scalar()


def test_a_hessian_that_is_not_a_graph_is_not_taken_for_one():
    near = sp.eye(2) + sp.Matrix([[x**2, x * y], [x * y, y**2 + x]])
    assert symbolic.Metric(near, (x, y)).structure == ()
    assert symbolic.Metric(sp.eye(2) + sp.Matrix([[y**2, y * y], [y * y, y**2]]), (x, y)).structure == ()
    assert symbolic.Metric(sp.diag(1 + y**2, x), (x, y)).structure == ("diagonal",)


def test_a_metric_that_is_nearly_a_warped_product_is_not_taken_for_one():
    near = WARPED + sp.diag(x, 0, 0, 0)  # its fibre's components have no common factor
    assert symbolic.Metric(near, (z, x, t, y)).structure == ("block",)
    leaning = PRODUCT + sp.diag(z, 0, y, 0)  # no part is closed
    assert symbolic.Metric(leaning, (x, y, z, t)).structure == ("block",)
    joined = sp.diag(1 + x * y + x**2, 1)  # x and y in one irreducible factor
    assert symbolic.Metric(joined, (x, y)).structure == ("diagonal",)


@pytest.mark.parametrize(
    ("fibre", "structure"),
    [
        (symbolic.stereographic_sphere(3), "conformal"),
        (symbolic.lne(3, 1), "graph"),
        (symbolic.from_potential("x**4 + y**2 + x*y + x**2*y**2", ["x", "y"]), "hessian"),
        (symbolic.warped_product(symbolic.sphere(2), "exp(q)", base=symbolic.Metric([[2]], ["q"])), "warped"),
    ],
)
def test_the_fibre_of_a_warped_product_has_its_own_structure(fibre, structure):
    metric = symbolic.warped_product(fibre, "1 + s**2")
    assert structure in fibre.structure
    assert "warped" in metric.structure
    assert type(metric.geometry.fibre) is type(fibre.geometry)
    general = Curvature(metric.field, metric.geometry.g)
    for i, j in itertools.combinations_with_replacement(range(metric.dim), 2):
        assert general.ricci(i, j) == metric.geometry.ricci(i, j)
    for r, s, m, v in itertools.product(range(metric.dim), repeat=4):
        assert general.mixed(r, s, m, v) == metric.geometry.mixed(r, s, m, v)
    # Gauss and Codazzi know nothing of it: the fibre at s = 0 is totally geodesic, its curvature the fibre's.
    at = {sp.Symbol("s"): 0}
    for i, j, k, m in fibre.riemann_lowered.independent:
        found = metric.riemann_lowered[i + 1, j + 1, k + 1, m + 1].subs(at)
        assert symbolic.is_zero(found - fibre.riemann_lowered[i, j, k, m])


def test_bad_warped_products_are_refused():
    with pytest.raises(InputError, match="both have the coordinate phi"):
        symbolic.warped_product(symbolic.sphere(2), base=symbolic.sphere(2))
    with pytest.raises(InputError, match="singular"):
        symbolic.warped_product(symbolic.sphere(2), 0)
    with pytest.raises(InputError, match=r"expected a declared name \(s\), got 'theta'"):
        symbolic.warped_product(symbolic.sphere(2), "theta")
    g = symbolic.warped_product(symbolic.sphere(2), "sinh(k*s)/k", parameters=["k"])
    assert g.scalar.expression == -6 * sp.Symbol("k") ** 2


@pytest.mark.parametrize("name", ["wavy", "kerr", "lne"])
def test_symmetries_and_bianchi_identities_hold(name):
    metric = symbolic.Metric(*METRICS[name])
    n, riemann, zero = metric.dim, metric.geometry.riemann, metric.field.zero
    for i, j, k, m in itertools.product(range(n), repeat=4):
        assert riemann(i, j, k, m) == -riemann(j, i, k, m)
        assert riemann(i, j, k, m) == riemann(k, m, i, j)
        assert riemann(i, j, k, m) + riemann(i, k, m, j) + riemann(i, m, j, k) == zero


def test_the_independent_components_are_as_many_as_they_should_be():
    for n in range(2, 7):
        metric = symbolic.euclidean(n)
        assert len(metric.riemann_lowered.independent) == n * n * (n * n - 1) // 12


def test_the_metric_and_the_einstein_tensor_are_parallel_where_they_should_be():
    metric = symbolic.Metric(WAVY, (x, y, z))
    assert metric.tensor.covariant_derivative().is_zero()
    assert not metric.ricci.covariant_derivative().is_zero()
    einstein = symbolic.reissner_nordstrom().einstein
    gradient = einstein.covariant_derivative()  # G_ij;a
    field, inverse = einstein.metric.field, einstein.metric.geometry.inverse
    for i in range(4):
        terms = ((1, inverse(j, k), gradient.element((i, j, k))) for j in range(4) for k in range(4))
        assert not field.combine(terms)
    assert not einstein.is_zero()


def test_indices_move_with_the_metric():
    metric = symbolic.kerr()
    mixed = metric.tensor.raised(0)
    assert mixed.variance == ("up", "down")
    assert all(mixed[i, j] == (i == j) for i in range(4) for j in range(4))
    assert (metric.riemann.lowered(0) - metric.riemann_lowered).is_zero()
    assert (metric.inverse.lowered(0).lowered(1) - metric.tensor).is_zero()


def test_the_weyl_tensor_is_what_is_left_in_a_vacuum_and_nothing_on_a_sphere():
    vacuum = symbolic.kerr()
    assert (vacuum.weyl - vacuum.riemann_lowered).is_zero()
    assert not vacuum.weyl.is_zero()
    assert symbolic.stereographic_sphere(4).weyl.is_zero()
    assert symbolic.flrw().weyl.is_zero()


def test_kretschmann_is_the_square_of_the_curvature():
    metric = symbolic.lne(3, 1)
    up = metric.riemann_lowered
    for slot in range(4):
        up = up.raised(slot)
    total = sum(metric.riemann_lowered[i] * up[i] for i in itertools.product(range(3), repeat=4))
    at = {v: sp.Rational(1 + i, 9) for i, v in enumerate(metric.coordinates)}
    assert abs((total - metric.kretschmann.expression).subs(at).evalf(30)) < 1e-25


def test_products_are_with_scalars_of_the_same_metric():
    sphere, plane = symbolic.sphere(2), symbolic.half_space(2)
    assert (sphere.tensor * sphere.scalar)[0, 0] == 2
    for factor in (plane.scalar, sphere.ricci):
        with pytest.raises(
            InputError, match="expected a number, an expression or a scalar of the same metric"
        ):
            sphere.ricci * factor


def test_only_independent_components_are_computed():
    g = symbolic.lne(4)
    slope = g.riemann_lowered.covariant_derivative()
    assert len(slope.independent) == 80
    assert len(g.ricci.covariant_derivative().independent) == 40
    raised = g.ricci.raised(0)
    assert len(raised.independent) == 16
    assert len(raised.raised(1).independent) == 10
    assert raised.raised(1)[1, 0] == raised.raised(1)[0, 1]
    assert "96 components with m < v" in repr(g.riemann)
    # Those that are not listed follow by the symmetries, the second Bianchi identity among them.
    h = symbolic.kerr()
    slope = h.riemann_lowered.covariant_derivative()
    assert symbolic.is_zero(slope[1, 0, 2, 3, 0] + slope[0, 1, 2, 3, 0])
    assert symbolic.is_zero(slope[0, 3, 0, 3, 1] + slope[0, 3, 3, 1, 0] + slope[0, 3, 1, 0, 3])


def test_connections_are_no_tensors_but_their_difference_is():
    g = symbolic.from_divergence("x - y - y*log(x/y)", ["x"], ["y"])
    for symbols in (
        g.christoffel,
        g.christoffel_lowered,
        g.connection,
        g.connection * 2,
        g.christoffel.lowered(0),
    ):
        with pytest.raises(InputError, match="is no tensor and has no covariant derivative"):
            symbols.covariant_derivative()
    assert g.cubic.covariant_derivative().complete


def test_tensors_have_signs_and_quotients():
    g = symbolic.sphere(2)
    assert (-g.ricci + g.ricci).is_zero()
    assert (g.ricci / 2)[0, 0] == sp.Rational(1, 2)
    assert (g.ricci / g.scalar - g.tensor / 2).is_zero()
    with pytest.raises(InputError, match="is divided by zero"):
        g.ricci / 0


def test_messages_hold_no_latex():
    g = symbolic.sphere(2)
    assert repr(g.christoffel).startswith("<Γ:")
    assert repr(g.ricci.covariant_derivative()).startswith("<∇Ric:")
    assert repr(g.killing_equation([0, 1])).startswith("<L_X g:")
    with pytest.raises(InputError, match=r"^Ric has 2 indices"):
        g.ricci[0]
