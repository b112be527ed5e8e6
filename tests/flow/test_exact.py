import math

import numpy as np
import pytest
import sympy

from lnegeom import InputError
from lnegeom.flow import TorusGrid, king_conformal


def test_solves_the_conformal_flow_symbolically():
    x, y, t, a, p, q, s0 = sympy.symbols("x y t alpha p q s0", positive=True)
    s = s0 + (p**2 + q**2) * t / a
    w = a * sympy.sinh(s) / (sympy.cosh(s) + sympy.cos(p * x + q * y))
    residual = sympy.diff(w, t) - sympy.diff(sympy.log(w), x, 2) - sympy.diff(sympy.log(w), y, 2)
    values = {x: 0.3, y: 1.1, t: 0.4, a: 0.7, p: 2, q: 3, s0: 0.5}
    assert abs(residual.evalf(30, subs=values)) < 1e-20
    grid = TorusGrid((8, 8))
    got = king_conformal(grid, 0.4, wavevector=(2, 3), s0=0.5, alpha=0.7)[3, 5]
    point = grid.coordinates()[3, 5]
    expected = w.evalf(20, subs={**values, x: point[0], y: point[1]})
    np.testing.assert_allclose(got, float(expected) * np.eye(2), rtol=1e-13)


def test_mean_and_deviation():
    w = king_conformal(TorusGrid((64, 32), (3.0, 5.0)), 0.1, wavevector=(1, 1), s0=1.0, alpha=2.0)[..., 0, 0]
    s = 1.0 + ((2 * math.pi / 3) ** 2 + (2 * math.pi / 5) ** 2) * 0.1 / 2.0
    assert w.mean() == pytest.approx(2.0, rel=1e-12)
    assert w.std() == pytest.approx(2.0 * math.sqrt(1 / math.tanh(s) - 1), rel=1e-12)


def test_late_times_do_not_overflow():
    np.testing.assert_array_equal(king_conformal(TorusGrid((8, 8)), 1e6)[0, 0], np.eye(2))


@pytest.mark.parametrize(
    ("grid", "change", "words"),
    [
        (TorusGrid((8, 8, 8)), {}, "2-torus, got a grid of dimension 3"),
        (TorusGrid((8, 8)), {"wavevector": (0, 0)}, "two integers, not both zero"),
        (TorusGrid((8, 8)), {"wavevector": (1.5, 0)}, "a mode is 2 integers"),
        (TorusGrid((8, 8)), {"alpha": 0.0}, "alpha must be a positive"),
        (TorusGrid((8, 8)), {"t": -3.0}, "s > 0|> 0, got s = 0"),
    ],
)
def test_bad_arguments(grid, change, words):
    with pytest.raises(InputError, match=words):
        king_conformal(grid, **{"t": 0.0, **change})
