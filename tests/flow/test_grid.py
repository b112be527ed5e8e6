import math

import numpy as np
import pytest

from lnegeom import InputError
from lnegeom.flow import TorusGrid


def test_defaults():
    grid = TorusGrid([8, 9])
    assert grid.shape == (8, 9)
    assert grid.lengths == (2 * math.pi, 2 * math.pi)
    assert grid.dim == 2
    assert grid.spacing == (2 * math.pi / 8, 2 * math.pi / 9)
    assert grid == TorusGrid((8, 9), (2 * math.pi, 2 * math.pi))
    assert hash(grid) == hash(TorusGrid((8, 9)))
    assert grid != TorusGrid((8, 9), (1, 1))


def test_coordinates():
    x = TorusGrid((4, 6, 8), (1.0, 3.0, 2.0)).coordinates()
    assert x.shape == (4, 6, 8, 3)
    np.testing.assert_allclose(x[1, 2, 3], [0.25, 1.0, 0.75])
    assert x.dtype == np.float64


def test_wavenumbers_differentiate():
    grid = TorusGrid((9,), (3.0,))
    (k,) = grid.wavenumbers
    x = grid.coordinates()[:, 0]
    scale = 2 * math.pi / 3
    derivative = np.fft.ifft(1j * k * np.fft.fft(np.sin(2 * scale * x))).real
    np.testing.assert_allclose(derivative, 2 * scale * np.cos(2 * scale * x), atol=1e-13)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((2 * math.pi,), [1, 4, 9, 16, 25]),
        ((2 * math.pi,) * 2, [1, 2, 4, 5, 8]),
        ((2 * math.pi,) * 3, [1, 2, 3, 4, 5]),
        ((2 * math.pi, 20 * math.pi), [0.01, 0.04, 0.09, 0.16, 0.25]),
    ],
)
def test_eigenvalues(lengths, expected):
    grid = TorusGrid((8,) * len(lengths), lengths)
    np.testing.assert_allclose(grid.eigenvalues(5), expected)
    assert grid.smallest_eigenvalue() == pytest.approx(expected[0])
    assert len(grid.eigenvalues(2)) == 2


def test_eigenvalues_that_differ_by_rounding_count_once():
    # 25 = 5² = 3² + 4², which round apart after scaling.
    values = TorusGrid((8, 8), (1.1, 1.1)).eigenvalues(16)
    ratios = [1, 2, 4, 5, 8, 9, 10, 13, 16, 17, 18, 20, 25, 26, 29, 32]
    np.testing.assert_allclose(np.array(values) / values[0], ratios)


def test_smallest_eigenvalue_is_of_the_longest_side():
    assert TorusGrid((8, 8), (1.0, 5.0)).smallest_eigenvalue() == pytest.approx((2 * math.pi / 5) ** 2)


@pytest.mark.parametrize(
    ("shape", "lengths", "words"),
    [
        (64, None, "sequence of positive integers"),
        ((8, 8.0), None, "sequence of positive integers"),
        ((8, -8), None, "sequence of positive integers"),
        ((), None, "1 to 4 axes"),
        ((8,) * 5, None, "1 to 4 axes"),
        ((8, 3), None, r"at least 4 points on each axis, got \(8, 3\)"),
        ((8, 8), (1.0,), "sequence of 2 numbers"),
        ((8, 8), 1.0, "sequence of 2 numbers"),
        ((8, 8), (1.0, -2.0), r"lengths\[1\] must be a positive finite number, got -2.0"),
        ((8, 8), (math.inf, 1.0), r"lengths\[0\] must be a positive finite"),
    ],
)
def test_bad_grids(shape, lengths, words):
    with pytest.raises(InputError, match=words):
        TorusGrid(shape, lengths)


HEXAGON = [[2.0, 0.0], [1.0, math.sqrt(3)]]


def test_an_oblique_lattice():
    grid = TorusGrid((4, 6), lattice=HEXAGON)
    assert grid.lengths == (2.0, pytest.approx(2.0))
    assert not grid.is_rectangular
    assert grid.volume == pytest.approx(2 * math.sqrt(3))
    x = grid.coordinates()
    np.testing.assert_allclose(x[1, 0], [0.5, 0])
    np.testing.assert_allclose(x[2, 3], 0.5 * np.array(HEXAGON[0]) + 0.5 * np.array(HEXAGON[1]))
    k = grid.wavevector((2, -1))
    np.testing.assert_allclose(np.array(HEXAGON) @ k, [4 * math.pi, -2 * math.pi])
    assert grid.integrate(np.ones((3, 4, 6))) == pytest.approx([grid.volume] * 3)
    # Six shortest wavevectors, of length 4π/(√3 · 2), then six √3 and six 2 times as long.
    squares, sizes = grid.shells(3)
    np.testing.assert_allclose(np.array(squares[:3]) / squares[0], [1, 3, 4])
    assert squares[0] == pytest.approx((2 * math.pi / math.sqrt(3)) ** 2)
    assert sizes[:3] == [6, 6, 6]
    assert TorusGrid.from_json(grid.to_json()) == grid
    assert TorusGrid((4, 6), lattice=np.diag([1.0, 2.0])) == TorusGrid((4, 6), (1.0, 2.0))


def test_eigenvalues_of_a_constant_metric():
    grid = TorusGrid((8, 8, 8))
    metric = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, 0.1], [0.0, 0.1, 1.5]])
    modes = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    expected = np.unique(np.round(np.einsum("pi,ij,pj->p", modes, np.linalg.inv(metric), modes), 9))[1:7]
    np.testing.assert_allclose(grid.eigenvalues(6, metric), expected)


@pytest.mark.parametrize(
    ("lattice", "words"),
    [
        ([[1.0, 0.0]], r"2 vectors of 2 numbers, got shape \(1, 2\)"),
        ("square", "2 vectors of 2 numbers, got 'square'"),
        ([[1.0, 2.0], [2.0, 4.0]], "finite and linearly independent"),
        ([[1.0, math.nan], [0.0, 1.0]], "finite and linearly independent"),
    ],
)
def test_bad_lattices(lattice, words):
    with pytest.raises(InputError, match=words):
        TorusGrid((8, 8), lattice=lattice)


def test_bad_modes_and_both_forms():
    with pytest.raises(InputError, match="a mode is 2 integers"):
        TorusGrid((8, 8)).wavevector((1, 0.5))
    with pytest.raises(InputError, match="or its lattice, not both"):
        TorusGrid((8, 8), (1.0, 1.0), lattice=HEXAGON)
