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
