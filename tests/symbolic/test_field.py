"""Differential fields: polynomials against sympy's, normal forms, derivatives."""

import hypothesis
import hypothesis.strategies as st
import pytest
import sympy as sp
from sympy.polys.rings import ring

from lnegeom import InputError
from lnegeom.symbolic._denominator import Denominator
from lnegeom.symbolic._embedding import Embedding
from lnegeom.symbolic._factor import irreducible_factors
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._polynomial import BITS, FIELD, product, quotient, without_zeros
from lnegeom.symbolic._writing import LEVELS, written

x, y, a, tau = sp.symbols("x y a tau")
RING = ring("g0,g1,g2", sp.ZZ)[0]
GUARD = sum(1 << (BITS * i + BITS - 1) for i in range(3))

exponent = st.tuples(*[st.integers(0, 3)] * 3)
polynomials = st.dictionaries(exponent, st.integers(-5, 5).filter(bool), min_size=1, max_size=6)


def packed(terms):
    return {sum(e << (BITS * i) for i, e in enumerate(powers)): int(c) for powers, c in terms.items()}


def unpacked(poly):
    return {tuple((m >> (BITS * i)) & FIELD for i in range(3)): c for m, c in poly.items()}


@hypothesis.given(polynomials, polynomials)
def test_products_and_exact_quotients_are_those_of_sympy(p, q):
    expected = RING.from_dict(p) * RING.from_dict(q)
    found = product(packed(p), packed(q))
    assert RING.from_dict(unpacked(found)) == expected
    assert quotient(found, packed(q), GUARD) == without_zeros(packed(p))
    whole, rest = RING.from_dict(p).div(RING.from_dict(q))
    divided = quotient(packed(p), packed(q), GUARD)
    assert (divided is None) == bool(rest)
    assert divided is None or RING.from_dict(unpacked(divided)) == whole


@hypothesis.given(polynomials, polynomials)
def test_the_screened_division_agrees_with_the_plain_one(p, q):
    divisor = {m: c for m, c in packed(q).items() if m} or {1: 1}
    screened = Denominator(divisor)
    for num in (packed(p), product(packed(p), divisor)):
        assert screened.divide(num, GUARD) == quotient(num, divisor, GUARD)


@hypothesis.given(polynomials, polynomials)
def test_factors_are_those_of_sympy(p, q):
    num = product(packed(p), packed(q))
    unit, expected = RING.from_dict(unpacked(num)).factor_list()
    found = irreducible_factors(num, 3)
    whole = 1
    for factor, e in found:
        if set(factor) == {0}:
            assert factor[0] ** e == unit
        whole *= RING.from_dict(unpacked(factor)) ** e
    assert whole == RING.from_dict(unpacked(num))
    assert sum(e for f, e in found if set(f) != {0}) == sum(e for _, e in expected)


def embedded(*expressions, coordinates=(x, y)):
    embedding = Embedding(expressions, coordinates, DifferentialField())
    return [embedding.element(e) for e in expressions]


IDENTITIES = [
    (sp.sin(x) ** 2 + sp.cos(x) ** 2, sp.S.One),
    (sp.sin(2 * x), 2 * sp.sin(x) * sp.cos(x)),
    (sp.sin(3 * x), 3 * sp.sin(x) - 4 * sp.sin(x) ** 3),
    (sp.cos(x / 2) ** 2, (1 + sp.cos(x)) / 2),
    (sp.cos(x - 2 * y), sp.cos(x) * sp.cos(2 * y) + sp.sin(x) * sp.sin(2 * y)),
    (sp.tan(x) ** 2 + 1, sp.sec(x) ** 2),
    (sp.cot(x) * sp.sin(x) - sp.cos(x) + sp.csc(x) * sp.sin(x), sp.S.One),
    (sp.tanh(tau * x) ** 2, 1 - sp.sech(tau * x) ** 2),
    (sp.tanh(2 * x), 2 * sp.tanh(x) / (1 + sp.tanh(x) ** 2)),
    (sp.tanh(x + y), (sp.tanh(x) + sp.tanh(y)) / (1 + sp.tanh(x) * sp.tanh(y))),
    (sp.cosh(x) + sp.sinh(x), sp.exp(x)),
    (sp.coth(-x), -1 / sp.tanh(x)),
    (sp.exp(x - y / 2) ** 2, sp.exp(2 * x) / sp.exp(y)),
    (sp.sqrt(x) ** 3 * x ** sp.Rational(1, 3), x ** sp.Rational(11, 6)),
    (1 / (1 + sp.sin(x)), (1 - sp.sin(x)) / sp.cos(x) ** 2),
    (1 / (sp.sqrt(1 + x) - sp.sqrt(x + y)), (sp.sqrt(1 + x) + sp.sqrt(x + y)) / (1 - y)),
    (sp.sqrt((1 - x) / (1 + x)) ** 2, (1 - x) / (1 + x)),
    (x**a * x ** (2 * a), x ** (3 * a)),
    (0.1 * x, x / 10),
    ((x**2 - y**2) / (x - y), x + y),
    (sp.sqrt(2) ** 2 * sp.pi, 2 * sp.pi),
]


@pytest.mark.parametrize(("left", "right"), IDENTITIES)
def test_equal_expressions_have_one_normal_form(left, right):
    one, other = embedded(left, right)
    assert (one.num, one.exps, one.den) == (other.num, other.exps, other.den)


@pytest.mark.parametrize(("left", "right"), IDENTITIES)
def test_different_expressions_differ(left, right):
    one, other = embedded(left, right + x * y / 1000)
    assert one != other


FUNCTIONS = [
    *(left for left, _ in IDENTITIES if not left.atoms(sp.Float)),
    sp.log(1 + x**2) * sp.atan(x * y),
    sp.atanh(x / 3) + sp.asin(y / 4) * sp.acos(x / 5),
    sp.asinh(x) / sp.acosh(3 + y),
    sp.erf(x) * sp.exp(-(x**2)),
    sp.sqrt(1 + sp.sqrt(x + y)),
    (1 + x) ** (a * y),
    sp.sinh(x) * sp.cosh(x / 2) / (sp.sin(y) + 2),
]


@pytest.mark.parametrize("expression", FUNCTIONS)
def test_derivatives_and_writing_agree_with_numbers(expression):
    embedding = Embedding([expression], (x, y), DifferentialField())
    element = embedding.element(expression)
    point = {x: sp.Rational(3, 7), y: sp.Rational(5, 11), a: sp.Rational(2, 3), tau: sp.Rational(1, 2)}
    for i, variable in enumerate((x, y)):
        slope = embedding.field.derivative(element, i)
        expected = expression.diff(variable).subs(point).evalf(30)
        for level in LEVELS:
            assert abs(written(slope, level).subs(point).evalf(30) - expected) < 1e-25
    assert abs(written(element).subs(point).evalf(30) - expression.subs(point).evalf(30)) < 1e-25


def test_derivatives_of_undefined_functions_go_to_any_order():
    f = sp.Function("f")(x, y)
    embedding = Embedding([f], (x, y), DifferentialField())
    element = embedding.element(f**2)
    for i in (0, 1, 0, 0):
        element = embedding.field.derivative(element, i)
    assert sp.expand(written(element) - (f**2).diff(x, y, x, x)) == 0


def test_squares_of_roots_are_written_as_roots():
    (element,) = embedded(1 / (1 - sp.cos(x) ** 2))
    assert written(element) == sp.sin(x) ** -2
    (element,) = embedded((2 - 2 * sp.cos(x) ** 2) * y)
    assert written(element) == 2 * y * sp.sin(x) ** 2


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (sp.Abs(x), "cannot be handled"),
        (sp.sqrt(x**2 * y**2 + 0), "but for its sign"),
        (sp.sqrt(1 - sp.cos(x) ** 2), "but for its sign"),
        ((1 + x) ** sp.Rational(1, 3), "expected a square root, or a root of a symbol"),
        (1 / (sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1), "divides by zero"),
        (x**2000, "powers"),
        (sp.I * x, "cannot be handled"),
        (sp.Function("f")(x**2), "undefined function of symbols"),
    ],
)
def test_what_cannot_be_handled_is_refused(expression, message):
    with pytest.raises(InputError, match=message):
        embedded(expression)


def test_dependent_roots_are_refused():
    with pytest.raises(InputError, match="but for its sign"):
        embedded(sp.sqrt(1 + x), sp.sqrt(1 + y), sp.sqrt((1 + x) * (1 + y) + 0) * x, coordinates=(x, y))


def test_later_functions_may_not_change_the_generators():
    embedding = Embedding([sp.tanh(x), sp.exp(y)], (x, y), DifferentialField())
    assert embedding.admit(sp.cosh(y) ** 2 - sp.sinh(y) ** 2) == 1
    with pytest.raises(InputError, match=r"the metric has tanh of x"):
        embedding.admit(sp.cosh(x))
