"""Compiled formulas: against the numeric engines on the whole catalogue, dtypes, batches, derivatives."""

import importlib.util
import sys

import numpy as np
import pytest
import sympy as sp

import lnegeom
from lnegeom import InputError, symbolic

RNG = np.random.default_rng(0)
UNIT = RNG.uniform(-1, 1, (5, 4))
HOLE = np.array([0, 4, 1.5, 0]) + UNIT
MASS, SPIN = 1.25, 0.75
X, Y, Z = sp.symbols("x y z")


def library(name):
    """An array library; a folder of tests that has its name is none."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"{name} is not installed")
    return importlib.import_module("jax.numpy" if name == "jax" else name)


def angles(x):
    """The 3-sphere of radius 1.5 in its angles, embedded."""
    s, c = np.sin, np.cos
    return 1.5 * np.stack(
        [c(x[0]), s(x[0]) * c(x[1]), s(x[0]) * s(x[1]) * c(x[2]), s(x[0]) * s(x[1]) * s(x[2])]
    )


PAIRS = {
    "lne-3": (symbolic.lne(3), lnegeom.LNE(0.8), UNIT[:, :3] / 2, {"tau": 0.8}),
    "lne-4": (symbolic.lne(4, 1), lnegeom.LNE(1.0), UNIT / 3, {}),
    "log-cosh": (symbolic.log_cosh(3), lnegeom.Hessian(lnegeom.LogCosh(0.7)), UNIT[:, :3], {"tau": 0.7}),
    "stereographic": (symbolic.stereographic_sphere(3), lnegeom.Sphere(3), UNIT[:, :3], {}),
    "ball": (symbolic.poincare_ball(2), lnegeom.PoincareBall(2), UNIT[:, :2] / 2, {}),
    "half-space": (symbolic.half_space(3), lnegeom.HalfSpace(3), UNIT[:, :3] + [0, 0, 2], {}),
    "schwarzschild": (symbolic.schwarzschild(), lnegeom.Schwarzschild(MASS), HOLE, {"M": MASS}),
    "kerr": (symbolic.kerr(), lnegeom.Kerr(MASS, SPIN), HOLE, {"M": MASS, "a": SPIN}),
    "minkowski": (symbolic.minkowski(4), lnegeom.Minkowski(4), HOLE, {}),
    "euclidean": (symbolic.euclidean(3), lnegeom.Euclidean(3), UNIT[:, :3], {}),
    "graph": (
        symbolic.graph("log(1 + exp(x) + exp(y) + exp(z))", ["x", "y", "z"]),
        lnegeom.Graph(lnegeom.LogSumExp(), sign=1),
        UNIT[:, :3],
        {},
    ),
    "normal": (
        symbolic.fisher("-a**2/(4*b) - log(-2*b)/2", ["a", "b"]),
        lnegeom.Hessian(lnegeom.Normal().log_partition),
        UNIT[:, :2] - [0, 2],
        {},
    ),
    "sphere": (symbolic.sphere(3, 1.5), lnegeom.Pullback(angles, 3), UNIT[:, :3] / 2 + 1.5, {}),
    "product": (
        symbolic.Metric(
            sp.diag(
                *[4 / (1 + sum(v**2 for v in sp.symbols("x y"))) ** 2] * 2, 1 - sp.tanh(sp.Symbol("z")) ** 2
            ),
            (X, Y, Z),
        ),
        lnegeom.Product(lnegeom.Sphere(2), lnegeom.LNE(1.0), dims=(2, 1)),
        UNIT[:, :3],
        {},
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_symbolic_and_numeric_engines_agree(name):
    exact, numeric, points, parameters = PAIRS[name]
    known = {"parameters": exact.christoffel.compile().parameters}
    for tensor, method in (
        (exact.tensor, numeric.matrix),
        (exact.inverse, numeric.inverse),
        (exact.christoffel, numeric.christoffel),
        (exact.riemann, numeric.riemann),
        (exact.ricci, numeric.ricci),
        (exact.scalar, numeric.scalar_curvature),
    ):
        compiled = tensor.compile()
        used = {k: v for k, v in parameters.items() if k in compiled.parameters}
        expected = method(points)
        tolerance = 1e-6 if name in ("schwarzschild", "kerr", "sphere", "graph") else 1e-11
        np.testing.assert_allclose(compiled(points, **used), expected, rtol=tolerance, atol=tolerance)
        assert compiled(points, **used).shape == expected.shape
    assert set(known["parameters"]) <= set(parameters)


OFFSET = np.array([0.3, 0.2, 0.1, 0.25])
NATURAL = np.array([0.2, -0.1, -1, 0.3, -1.5])  # the quadratic form in its last three is negative definite
CATALOGUE = {
    # Name: the metric, points, parameters, negative eigenvalues.
    "euclidean": (symbolic.euclidean(2), UNIT[:, :2], {}, 0),
    "minkowski": (symbolic.minkowski(4), UNIT, {}, 1),
    "sphere": (symbolic.sphere(3), UNIT[:, :3] / 2 + 1.5, {}, 0),
    "stereographic-sphere": (symbolic.stereographic_sphere(3), UNIT[:, :3], {}, 0),
    "poincare-ball": (symbolic.poincare_ball(3), UNIT[:, :3] / 3, {}, 0),
    "half-space": (symbolic.half_space(3), UNIT[:, :3] + [0, 0, 2], {}, 0),
    "schwarzschild": (symbolic.schwarzschild(), HOLE, {"M": MASS}, 1),
    "reissner-nordstrom": (symbolic.reissner_nordstrom(), HOLE, {"M": MASS, "Q": 0.5}, 1),
    "kerr": (symbolic.kerr(), HOLE, {"M": MASS, "a": SPIN}, 1),
    "taub-nut": (symbolic.taub_nut(), HOLE, {"M": MASS, "l": 0.4}, 1),
    "flrw": (symbolic.flrw(scale="t**(2/3)*(1 + t**2)"), UNIT * OFFSET + [1, 0.5, 1.5, 0], {"k": 0.7}, 1),
    "cigar": (symbolic.cigar(), UNIT[:, :2], {}, 0),
    "warped-sphere": (
        symbolic.warped_sphere(4, "exp(-s**2) + tanh(s)"),
        UNIT / 3 + [0.5, 1.5, 1.5, 0],
        {},
        0,
    ),
    "berger-sphere": (symbolic.berger_sphere(), UNIT[:, :3] / 2 + [1.5, 0, 0], {"beta": 0.6}, 0),
    "normal": (symbolic.normal(), UNIT[:, :2] + [0, 2], {}, 0),
    "bivariate-normal": (symbolic.bivariate_normal(), NATURAL + np.pad(UNIT, ((0, 0), (0, 1))) / 10, {}, 0),
    "lne": (symbolic.lne(4), UNIT / 3, {"tau": 1.2}, 0),
    "log-cosh": (symbolic.log_cosh(3), UNIT[:, :3], {"tau": 0.7}, 0),
}


def test_the_whole_catalogue_is_checked():
    assert set(CATALOGUE) == set(symbolic.CATALOGUE)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_agrees_with_the_numeric_engine(name):
    """The numeric engine sees the compiled matrix alone, and differentiates it by torch."""
    torch = library("torch")
    exact, points, parameters, negative = CATALOGUE[name]
    compiled = exact.tensor.compile("torch")
    numeric = lnegeom.FromCallable(
        lambda x: compiled(x, **parameters), exact.dim, negative=negative, derivatives="torch"
    )
    x = torch.tensor(points)
    for tensor, method in (
        (exact.christoffel, numeric.christoffel),
        (exact.riemann, numeric.riemann),
        (exact.ricci, numeric.ricci),
        (exact.scalar, numeric.scalar_curvature),
    ):
        formula = tensor.compile()
        found = formula(points, **{k: v for k, v in parameters.items() if k in formula.parameters})
        np.testing.assert_allclose(found, method(x).numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("generic", "special", "profile"),
    [
        (symbolic.flrw(), symbolic.flrw(scale="t**3 + 2"), {"a(t)": "t**3 + 2"}),
        (symbolic.warped_sphere(3), symbolic.warped_sphere(3, "exp(-s)"), {"varphi(s)": "exp(-s)"}),
    ],
)
def test_generic_profiles_may_be_filled_in(generic, special, profile):
    names = {str(c): c for c in generic.coordinates}
    (function, text), *_ = profile.items()
    function = next(f for f in generic.matrix.atoms(sp.core.function.AppliedUndef) if str(f) == function)
    for tensor, other in ((generic.ricci, special.ricci), (generic.scalar, special.scalar)):
        for index in tensor.independent:
            filled = tensor[index].subs(function, symbolic.parse(text, names)).doit()
            assert symbolic.is_zero(filled - other[index])


def test_points_where_a_formula_has_no_value_are_refused():
    curvature = symbolic.schwarzschild(1).christoffel
    points = np.array([[0.0, 3.0, 1.0, 0.0], [0.0, 2.0, 1.0, 0.0]])
    for backend in BACKENDS:
        given = library(backend).asarray(points)
        with pytest.raises(
            lnegeom.GeometryError, match=r"is -?inf at x\[1\] = .*leave singularities of the"
        ) as e:
            curvature.compile(backend)(given)
        assert e.value.index == (1,)
    with pytest.raises(lnegeom.GeometryError, match=r"x\[0, 1\] is nan"):
        curvature.compile()(np.array([[0, np.nan, 1, 0]]))


BACKENDS = ["numpy", "torch", "jax"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)])
def test_dtype_and_batch_are_kept(backend, dtype, batch):
    xp = library(backend)
    metric = symbolic.kerr(sp.Rational(5, 4), sp.Rational(3, 4))
    points = xp.asarray(np.broadcast_to(HOLE[0], (*batch, 4)).tolist() if batch != (0,) else np.zeros((0, 4)))
    points = xp.asarray(points, dtype=getattr(xp, dtype))
    for tensor in (metric.tensor, metric.ricci, metric.kretschmann):
        out = tensor.compile(backend)(points)
        assert out.dtype == points.dtype
        assert tuple(out.shape) == (*batch, *tensor.shape)
    if batch == (2, 3):
        expected = lnegeom.Kerr(1.25, 0.75).matrix(HOLE[0])
        np.testing.assert_allclose(
            np.asarray(metric.tensor.compile(backend)(points))[1, 2], expected, rtol=2e-6
        )


def test_torch_differentiates_through_it():
    torch = library("torch")
    metric = symbolic.lne(2, 1)
    x = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    metric.scalar.compile("torch")(x).backward()
    slope = metric.scalar.covariant_derivative().compile()
    np.testing.assert_allclose(x.grad.numpy(), slope(x.detach().numpy()), rtol=1e-12)


def test_jax_compiles_and_differentiates_it():
    jax = pytest.importorskip("jax")
    metric = symbolic.lne(3, 1)
    points = UNIT[:, :3] / 2
    found = jax.jit(metric.ricci.compile("jax"))(jax.numpy.asarray(points))
    np.testing.assert_allclose(found, metric.ricci.compile()(points), rtol=1e-12)
    slope = jax.vmap(jax.grad(metric.scalar.compile("jax")))(jax.numpy.asarray(points))
    known = metric.scalar.covariant_derivative().compile()(points)
    np.testing.assert_allclose(slope, known, rtol=1e-10)


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax.numpy", None)
    with pytest.raises(lnegeom.InputError, match=r"for jax needs jax: pip install .lnegeom\[jax\]"):
        symbolic.sphere(2).ricci.compile("jax")


def test_parameters_may_be_arrays():
    scalar = symbolic.sphere(2, sp.Symbol("rho")).scalar.compile()
    radii = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(scalar(np.ones((3, 2)), rho=radii), 2 / radii**2)
    torch = library("torch")
    single = symbolic.sphere(2, sp.Symbol("rho")).scalar.compile("torch")
    out = single(torch.ones(3, 2), rho=torch.tensor(radii))
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out.numpy(), 2 / radii**2, rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_broadcast_with_the_batch(backend):
    xp = library(backend)
    tensor = symbolic.sphere(2, sp.Symbol("rho")).tensor.compile(backend)
    points = xp.ones((3, 2))
    radii = [[1.0], [2.0]]
    for given in (radii, xp.asarray(radii)):
        out = np.asarray(tensor(points, rho=given))
        assert out.shape == (2, 3, 2, 2)
        np.testing.assert_allclose(out[..., 0, 0], [[1, 1, 1], [4, 4, 4]])
    for given in (2, np.float64(2), sp.Integer(2)):
        np.testing.assert_allclose(np.asarray(tensor(points[0], rho=given))[0, 0], 4)


def test_bad_parameters_are_refused():
    scalar = symbolic.sphere(2, sp.Symbol("rho")).scalar.compile()
    points = np.ones((3, 2))
    for given, message in (
        ("1", "rho: expected a number or an array, got '1'"),
        (None, "rho"),
        ([[1.0, 2.0]], r"rho has shape \(1, 2\): expected one that broadcasts with the batch axes \(3,\)"),
        ([1.0, np.nan, 2.0], r"rho\[1\] is nan: expected finite numbers"),
        (float("inf"), "rho is inf: expected finite numbers"),
        (1j, "rho"),
    ):
        with pytest.raises(InputError, match=message):
            scalar(points, rho=given)


def test_names_are_those_that_python_reads():
    x, y, mu = sp.symbols("x y µ")  # the micro sign, which Python reads as the letter mu
    scalar = symbolic.Metric(sp.diag(1, 1 + mu * x**2), (x, y)).tensor.compile()
    assert scalar.parameters == ("μ",)
    for given in ({"µ": 2.0}, {"μ": 2.0}):
        assert scalar([2.0, 0.0], **given)[1, 1] == 9.0


def test_the_source_shows_shared_subexpressions():
    source = symbolic.kerr().christoffel.compile().source
    assert source.startswith("import numpy as _xp")
    assert source.count("xp.cos(") == 1
    assert source.count("xp.sin(") == 1
    assert "**" not in source  # products
    library("torch")
    assert "import torch as _xp" in symbolic.kerr().tensor.compile("torch").source


def test_every_function_has_its_code():
    torch = library("torch")
    x, y = sp.symbols("x y")
    names = "sin cos sinh cosh exp log atan asinh atanh asin acos"
    functions = [getattr(sp, name) for name in names.split()]
    entry = 20 + sum(f(x / 3) for f in functions) + sp.erf(x) + sp.sqrt(x + 2) + x ** sp.Rational(1, 3)
    other = sp.acosh(y + 2) + (1 + x) ** (y / 2) + sp.tanh(y) ** 5 + sp.loggamma(x + 3) + sp.polygamma(1, y)
    metric = symbolic.Metric(sp.diag(entry, other), (x, y))
    points = np.array([[0.4, 0.6], [0.9, 1.5]])
    at = [{x: p, y: q} for p, q in points.tolist()]
    expected = [[[float(e.subs(a)) for e in row] for row in metric.matrix.tolist()] for a in at]
    for backend, convert in (("numpy", np.asarray), ("torch", torch.tensor)):
        out = metric.tensor.compile(backend)(convert(points))
        # The trigamma function of torch has nine digits.
        np.testing.assert_allclose(np.asarray(out), expected, rtol=1e-13 if backend == "numpy" else 1e-9)


def test_the_same_call_serves_tensors_that_do_not_depend_on_all_parameters():
    metric = symbolic.schwarzschild()
    for tensor in (metric.tensor, metric.kretschmann, metric.ricci):
        compiled = tensor.compile()
        assert compiled(HOLE[:, None], M=np.array([0.1, 0.2, 0.3])).shape == (len(HOLE), 3, *tensor.shape)
    assert not compiled(HOLE).any()
    with pytest.raises(InputError, match=r"expected the parameters none, got M, Q"):
        compiled(HOLE, M=1.0, Q=1.0)
    with pytest.raises(lnegeom.GeometryError, match=r"M is nan"):
        compiled(HOLE, M=np.nan)


def test_bad_calls_are_refused():
    ricci = symbolic.reissner_nordstrom().ricci
    with pytest.raises(InputError, match="backend must be one of numpy, torch, jax, got 'cupy'"):
        ricci.compile("cupy")
    compiled = ricci.compile()
    with pytest.raises(InputError, match=r"expected the parameters M, Q, got M"):
        compiled(HOLE, M=1.0)
    with pytest.raises(InputError, match=r"x has shape \(5, 3\): expected \(\.\.\., 4\)"):
        compiled(HOLE[:, :3], M=1.0, Q=0.1)
    torch = library("torch")
    with pytest.raises(InputError, match="compiled for numpy: got torch arrays"):
        compiled(torch.zeros(4), M=1.0, Q=0.1)
    with pytest.raises(InputError, match="a is not known: substitute it"):
        symbolic.flrw().ricci.compile()
    with pytest.raises(InputError, match="cannot name an argument"):
        symbolic.berger_sphere(sp.Symbol("lambda")).ricci.compile()


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_of_constants_and_of_numbers_given_for_parameters(backend):
    xp = library(backend)
    x, m = X, sp.Symbol("M", positive=True)
    entry = sp.sin(m) + sp.loggamma(m) + 2**x + 3 ** (-m) + sp.sqrt(2) + sp.sin(sp.sqrt(3)) + x**sp.pi
    compiled = symbolic.Metric([[entry]], [x]).tensor.compile(backend)
    expected = float(entry.subs({x: 0.5, m: 2}))
    for number in (2, 2.0, np.float64(2.0), xp.asarray(2.0)):
        out = compiled(xp.asarray([0.5], dtype=xp.float64), M=number)
        np.testing.assert_allclose(np.asarray(out)[0, 0], expected, rtol=1e-6)
