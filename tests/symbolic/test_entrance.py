"""What users' expressions, names and constants may be, wherever they come in."""

import numpy as np
import pytest
import sympy as sp

from lnegeom import InputError, symbolic

x, y, M = sp.symbols("x y M")
PLANE = {"t": "t", "r": "r", "theta": "theta", "phi": "phi"}


@pytest.mark.parametrize(
    "enter",
    [
        lambda bad: symbolic.sphere(2, radius=bad),
        lambda bad: symbolic.kerr(mass=bad),
        lambda bad: symbolic.flrw(bad),
        lambda bad: symbolic.flrw(scale=bad),
        lambda bad: symbolic.berger_sphere(bad),
        lambda bad: symbolic.lne(2, bad),
        lambda bad: symbolic.log_cosh(2, bad),
        lambda bad: symbolic.euclidean(bad),
        lambda bad: symbolic.warped_sphere(3, bad),
        lambda bad: symbolic.Metric([[bad]], ["x"]),
        lambda bad: symbolic.Metric([[1]], bad),
        lambda bad: symbolic.graph(bad, ["x"]),
        lambda bad: symbolic.from_potential(bad, ["x"]),
        lambda bad: symbolic.from_divergence(bad, ["x"], ["y"]),
        lambda bad: symbolic.fisher(bad, ["m"], support={"x": (0, 1)}),
        lambda bad: symbolic.fisher("x*m", ["m"], support={"x": (bad, 1)}),
        lambda bad: symbolic.sphere(2).killing_equation([bad, 0]),
        lambda bad: symbolic.sphere(2).ricci * bad,
        lambda bad: symbolic.euclidean(1).pullback({"x0": bad}, ["s"]),
        lambda bad: symbolic.is_zero(bad),
    ],
)
@pytest.mark.parametrize("wrap", [str, lambda text: [text], lambda text: np.array([text])])
def test_no_text_is_run_wherever_it_comes_in(tmp_path, enter, wrap):
    mark = tmp_path / "ran"
    with pytest.raises(InputError):
        enter(wrap(f"__import__('pathlib').Path({str(mark)!r}).touch()"))
    assert not mark.exists()


@pytest.mark.parametrize(
    "enter",
    [
        lambda s: symbolic.Metric(sp.diag(1, s**2), ["x", "y"]),
        lambda s: symbolic.Metric(sp.diag(1 + x**2, s**2), [y, sp.Symbol("z")]),
        lambda s: symbolic.Metric(sp.diag(1, 2), ["x", "y"], parameters=[s]),
        lambda s: symbolic.graph(s**2, ["x"]),
        lambda s: symbolic.from_potential(s**3, ["x"]),
        lambda s: symbolic.from_divergence((s - y) ** 2, ["x"], ["y"]),
        lambda s: symbolic.from_divergence((x - y) ** 2, [x], [s]),
        lambda s: symbolic.fisher(s**3, ["x"]),
        lambda s: symbolic.fisher(s * y, ["x"], support={"y": (0, 1)}),
        lambda s: symbolic.cigar().killing_equation([s, 0]),
        lambda s: symbolic.cigar().covector([s, 0]),
        lambda s: symbolic.cigar().ricci * s,
        lambda s: symbolic.euclidean(1).pullback({"x0": s**2}, ["x"]),
        lambda s: symbolic.kerr(mass=s, spin=x),
        lambda s: symbolic.flrw(0, scale=s * x),
        lambda s: symbolic.is_zero(s - x),
    ],
)
def test_two_symbols_of_one_name_are_refused(enter):
    refused = "symbols are named x, one positive and one without|different names|n others for y"
    with pytest.raises(InputError, match=refused):
        enter(sp.Symbol("x", positive=True))


def test_a_symbol_may_be_given_in_place_of_its_name():
    s = sp.Symbol("r", positive=True)
    g = symbolic.Metric(sp.diag(1, s**2), [s, "phi"])
    assert g.christoffel.nonzero() == {(0, 1, 1): -s, (1, 0, 1): 1 / s}


def test_assumptions_reach_expressions_that_come_later():
    g = symbolic.schwarzschild(assumptions={"M": "positive"})
    moved = g.pullback({**PLANE, "r": 2 * M * sp.Symbol("rho")}, ["t", "rho", "theta", "phi"])
    assert moved.parameters == (sp.Symbol("M", positive=True),)
    assert moved.ricci.is_zero()


@pytest.mark.parametrize(
    ("enter", "message"),
    [
        (lambda: symbolic.kerr(mass="r"), "mass: r is a coordinate here"),
        (lambda: symbolic.kerr(spin=sp.Symbol("r", positive=True)), "spin: r is a coordinate here"),
        (lambda: symbolic.lne(2, tau="x0"), "tau: x0 is a coordinate here"),
        (lambda: symbolic.log_cosh(2, tau="x1"), "tau: x1 is a coordinate here"),
        (lambda: symbolic.berger_sphere("psi"), "squash: psi is a coordinate here"),
        (lambda: symbolic.sphere(2, "phi"), "radius: phi is a coordinate here"),
        (lambda: symbolic.kerr(mass=None), "mass: expected a sympy expression, a number or text, got None"),
        (lambda: symbolic.Metric([[1]], ["x"], parameters=["x"]), "x is a coordinate and a parameter"),
        (lambda: symbolic.from_potential("x**3", ["x"], parameters=["x"]), "different names"),
        (lambda: symbolic.schwarzschild().geodesic_equations("M"), "M is a symbol of the metric"),
        (lambda: symbolic.schwarzschild().pullback(PLANE, ["M"]), "M is a parameter of the metric"),
    ],
)
def test_names_that_collide_are_refused(enter, message):
    with pytest.raises(InputError, match=message):
        enter()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loggamma(10**49)*x**2", "loggamma of numbers of at most 1000"),
        ("loggamma(10**6)", "loggamma of numbers of at most 1000"),
        ("loggamma(2*10**6 + 1/2)", "loggamma of numbers of at most 1000"),
        ("x**exp(exp(exp(exp(50))))", "exp of numbers of at most 1000"),
        ("sinh(exp(999))", "sinh of numbers of at most 1000"),
        ("x + 1/log(0)", r"a finite real expression, got 'log\(0\)'"),
        ("exp(-atanh(1))", r"a finite real expression, got 'atanh\(1\)'"),
        ("0x" + "f" * 9000, "a real number below 1e50, got a larger one"),
        ("9" * 5000, "an expression such as"),
        ("*".join(["9**64"] * 1000), "numbers of at most 400 digits"),
        ("lambda**2", "lambda is a keyword of Python"),
        ("x/(y - y)", "a divisor other than zero"),
        ("x + y // 2", r"expected \+ - \* / \*\*"),
    ],
)
def test_text_that_sympy_cannot_hold_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        symbolic.parse(text, {"x": x, "y": y})


def test_long_sums_and_products_are_not_nested():
    assert symbolic.parse("+".join(["x"] * 500) + "-y", {"x": x, "y": y}) == 500 * x - y
    assert symbolic.parse("*".join(["x/y"] * 60) + "*2/x", {"x": x, "y": y}) == 2 * x**59 / y**60
    assert symbolic.parse("x - y - x + 2*y/x/x*y", {"x": x, "y": y}) == 2 * y**2 / x**2 - y
    with pytest.raises(InputError, match="at most 100 nested operations"):
        symbolic.parse("sin(" * 101 + "x" + ")" * 101, {"x": x})


def test_names_are_those_that_python_reads():
    curly = sp.Symbol("ϕ")
    assert symbolic.parse("ϕ**2 + φ", {"ϕ": curly}) == curly**2 + curly
    with pytest.raises(InputError, match="different names"):
        symbolic.Metric([["ϕ", 0], [0, 1]], ["ϕ", "φ"])
    with pytest.raises(InputError, match="coordinates: lambda is a keyword of Python"):
        symbolic.Metric([["lambda"]], ["lambda"])
    with pytest.raises(InputError, match="coordinates: pi is a constant"):
        symbolic.Metric([["pi"]], ["pi"])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('diagonal = ["x**exp(exp(exp(exp(50))))"]', "exp of numbers of at most 1000"),
        ('diagonal = ["0x' + "f" * 9000 + '"]', "a real number below 1e50"),
        ("diagonal = [0x" + "f" * 9000 + "]", "a real number below 1e50"),
        ("diagonal = 0x" + "f" * 9000, "a list of expressions, got a"),
        ("diagonal = [" + "9" * 9000 + "]", "expected a TOML file"),
        ("diagonal = [inf]", "a real number below 1e50, got inf"),
        ("diagonal = " + "[" * 5000 + "]" * 5000, "nested"),
        ("diagonal = " + "[" * 50 + "]" * 50, "expected a list of expressions, got"),
        ('diagonal = ["log(0)"]', "finite real expression"),
        ('graph = "x**2"\nsign = true', "sign must be 1 or -1, got True"),
        ('graph = "x**2"\nsign = "1"', "sign must be 1 or -1, got '1'"),
        ('diagonal = ["x"]\nsign = -1', "sign belongs to graph, and there is diagonal"),
        ('parameters = ["x"]\ndiagonal = ["1"]', "expected different names, got x, x"),
        ('functions = ["x"]\ndiagonal = ["x(1)"]', "expected different names, got x, x"),
        (
            'parameters = ["f"]\nfunctions = ["f"]\ndiagonal = ["f(x)"]',
            "expected different names, got x, f, f",
        ),
        ('functions = ["sin"]\ndiagonal = ["sin(x)**2"]', "functions: sin is a known one"),
        ('parameters = ["lambda"]\ndiagonal = ["x"]', "parameters: lambda is a keyword"),
    ],
)
def test_bad_files_get_one_line(tmp_path, body, message):
    path = tmp_path / "metric.toml"
    path.write_text(f'coordinates = ["x"]\n{body}', encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        symbolic.from_toml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_assumptions_reach_roots_before_they_are_differentiated():
    s = sp.Symbol("x", positive=True)
    positive = {"assumptions": {"x": "positive"}}
    assert symbolic.from_potential("x**2*sqrt(x**2)", ["x"], **positive).tensor[0, 0] == 6 * s
    with pytest.raises(InputError, match="rational but for its sign"):
        symbolic.from_potential("x**2*sqrt(x**2)", ["x"])
    assert symbolic.graph("x*sqrt(x**2)", ["x"], **positive).tensor[0, 0] == 4 * s**2 + 1
    # The Bregman divergence of x³, its root written out.
    g = symbolic.from_divergence(
        "x**2*sqrt(x**2) - y**2*sqrt(y**2) - 3*y**2*(x - y)", ["x"], ["y"], **positive
    )
    assert (g.tensor[0, 0], g.connection[0, 0, 0], g.dual_connection[0, 0, 0]) == (6 * s, 0, 6)
    h = symbolic.from_divergence("(x - y)**2*sqrt(x**2)*M", [x], [y], parameters=[M], **positive)
    assert h.tensor[0, 0] == 2 * M * s


@pytest.mark.parametrize(
    ("enter", "message"),
    [
        (lambda: symbolic.warped_sphere(1), "n must be at least 2, a line and a sphere, got 1"),
        (lambda: symbolic.warped_sphere(0), "n must be a positive integer, got 0"),
        (lambda: symbolic.warped_sphere("3"), "n must be a positive integer, got '3'"),
        (lambda: symbolic.euclidean("3"), "n must be a positive integer, got '3'"),
        (lambda: symbolic.warped_product(3), "fibre: expected a symbolic Metric, got 3"),
        (lambda: symbolic.warped_product(symbolic.sphere(2), base="s"), "base: expected a symbolic Metric"),
        (lambda: symbolic.kerr(budget="a"), "budget: expected seconds, 0 or more, or None, got 'a'"),
        (lambda: symbolic.kerr(budget=-1), "budget: expected seconds"),
        (lambda: symbolic.kerr(budget=float("nan")), "budget: expected seconds"),
        (
            lambda: symbolic.fisher("x*m", ["m"], support={"x": (0, 1)}, budget="a"),
            "budget: expected seconds",
        ),
        (lambda: symbolic.cigar(assumptions=["x"]), "assumptions: expected a mapping such as"),
        (lambda: symbolic.from_potential("x**3", "x", assumptions=["x"]), "assumptions: expected a mapping"),
        (
            lambda: symbolic.from_divergence("(x - y)**2", "x", "y", assumptions=["x"]),
            "assumptions: expected a mapping",
        ),
        (lambda: symbolic.fisher("x*m", ["m"], support="x"), "support: expected a mapping such as"),
        (lambda: symbolic.cigar().ricci - 3, "expected a tensor to add or subtract, got 3"),
        (lambda: symbolic.Metric([[1]], None), "coordinates: expected symbols or names, got None"),
        (lambda: symbolic.Metric([[1]], ["x"], parameters=3), "parameters: expected symbols or names, got 3"),
        (lambda: symbolic.flrw(scale="exp(H*t)"), "declare it"),
    ],
)
def test_bad_arguments_are_refused(enter, message):
    with pytest.raises(InputError, match=message):
        enter()


def test_constants_may_be_expressions_of_declared_parameters():
    assert symbolic.flrw(0, scale="exp(H*t)", parameters=["H"]).scalar.expression == 12 * sp.Symbol("H") ** 2
    half = symbolic.schwarzschild("M/2", parameters=["M"])
    assert sp.expand(half.tensor[0, 0]) == M / sp.Symbol("r") - 1
    assert symbolic.sphere(2, "pi").scalar.expression == 2 / sp.pi**2
    assert symbolic.kerr("1", "1/2").parameters == ()
    assert symbolic.warped_sphere(2).dim == 2
