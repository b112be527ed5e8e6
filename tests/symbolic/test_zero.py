"""Zero tests: what random points can tell, and what they cannot."""

import pytest
import sympy as sp

from lnegeom import InputError, symbolic

x, y = sp.symbols("x y")


def test_points_have_the_signs_that_assumptions_allow():
    a, b = sp.symbols("a b", negative=True)
    test = symbolic.is_zero(sp.log(a * b) - sp.log(-a) - sp.log(-b))
    assert (test.value, test.method) == (True, "random points")
    assert "8 points with a in [-" in test.statement
    free = symbolic.is_zero(sp.Abs(x) - x)
    assert not free
    assert "at x = -" in free.statement
    p = sp.Symbol("p", positive=True)
    assert symbolic.is_zero(sp.Abs(x * p) - p * sp.Abs(x))


def test_what_has_no_value_is_not_decided():
    nowhere = sp.log(-1 - x**2)
    with pytest.raises(InputError, match="not decided, as its normal form is not 0, but no point"):
        symbolic.is_zero(nowhere)
    covector = symbolic.Metric([[1]], [x]).covector([nowhere])
    with pytest.raises(InputError, match=r"a: not decided, as the normal form of components \[\(0,\)\]"):
        covector.is_zero()
    far = sp.log(x - 100)
    assert not symbolic.is_zero(far)  # points reach far enough


def test_hidden_zeros_of_the_matrix_are_found():
    zero = sp.asin(x) + sp.acos(x) - sp.pi / 2
    for matrix in (
        [[zero, 0], [0, 1 + x * y]],
        [[1, 1], [1, 1 + zero]],
        [[sp.log(2) + sp.log(3) - sp.log(6)]],
    ):
        with pytest.raises(InputError, match="singular: its determinant is zero"):
            symbolic.Metric(matrix, [x, y][: len(matrix)])
    quarter = symbolic.Metric([[1, sp.asin(x) + sp.acos(x)], [sp.pi / 2, 9]], [x, y])
    assert quarter.matrix[1, 0] == sp.pi / 2
    with pytest.raises(InputError, match="not symmetric"):
        symbolic.Metric([[1, sp.asin(x)], [sp.acos(x), 9]], [x, y])
