"""The transforms' symbols, on functions whose derivatives are known."""

import math

import numpy as np
import pytest

from lnegeom.flow import TorusGrid
from lnegeom.flow.spectral import Transforms


def transforms_on(grid, dealias=False):
    return Transforms(grid, np, np.zeros((*grid.shape, grid.dim, grid.dim)), dealias=dealias)


@pytest.mark.parametrize("shape", [(9,), (8, 9), (9, 8), (7, 8, 10)])
def test_derivatives_and_laplacian(shape):
    grid = TorusGrid(shape, tuple(1.0 + axis for axis in range(len(shape))))
    transforms = transforms_on(grid)
    k = 2 * math.pi * np.array([2, -3, 1][: grid.dim]) / np.array(grid.lengths)
    phase = grid.coordinates() @ k
    wave = transforms.forward(np.sin(phase))
    for axis, symbol in enumerate(transforms.derivatives):
        np.testing.assert_allclose(transforms.backward(symbol * wave), k[axis] * np.cos(phase), atol=1e-11)
    np.testing.assert_allclose(
        transforms.backward(transforms.laplacian * wave), -k @ k * np.sin(phase), atol=1e-10
    )


def test_the_derivative_at_the_nyquist_wavenumber_is_zero():
    # cos(4x) on 8 points cannot be told from cos(−4x): it has a second derivative there, but no first.
    grid = TorusGrid((8, 8))
    transforms = transforms_on(grid)
    x = np.moveaxis(grid.coordinates(), -1, 0)
    for axis in (0, 1):
        field = np.cos(4 * x[axis]) * np.sin(x[1 - axis])
        wave = transforms.forward(field)
        np.testing.assert_allclose(transforms.backward(transforms.derivatives[axis] * wave), 0, atol=1e-13)
        np.testing.assert_allclose(transforms.backward(transforms.laplacian * wave), -17 * field, atol=1e-12)


@pytest.mark.parametrize(("size", "kept"), [(8, 2), (9, 2), (10, 3), (12, 3), (13, 4)])
def test_two_thirds_rule(size, kept):
    # The product of two kept waves folds back onto none that is kept: 2M − N < −M.
    grid = TorusGrid((size, size), (2 * math.pi, math.pi))
    filtered, plain = transforms_on(grid, True), transforms_on(grid)
    multiples = np.abs(np.rint(np.fft.fftfreq(size) * size))
    half = multiples[: size // 2 + 1]
    np.testing.assert_array_equal(filtered.retained, (multiples[:, None] <= kept) & (half[None] <= kept))
    assert 2 * kept - size < -kept
    assert filtered.largest_eigenvalue == pytest.approx(kept**2 * (1 + 4))
    assert np.all(plain.retained == 1)
    assert plain.largest_eigenvalue == pytest.approx(-plain.laplacian.min())
