"""The modes' symbols, on functions whose derivatives are known."""

import math

import numpy as np
import pytest

from lnegeom.flow import TorusGrid
from lnegeom.flow.torus import fft
from lnegeom.flow.torus.spectral import Modes


def modes_on(grid, dealias=False):
    return Modes(grid, np, np.zeros(grid.shape), dealias=dealias)


@pytest.mark.parametrize("dealias", [False, True])
@pytest.mark.parametrize("shape", [(9,), (8, 9), (9, 8), (7, 8, 10), (8, 7, 7, 8)])
def test_derivatives_and_laplacian(shape, dealias):
    grid = TorusGrid(shape, tuple(1.0 + axis for axis in range(len(shape))))
    modes = modes_on(grid, dealias)
    k = 2 * math.pi * np.array([2, -2, 1, 2][: grid.dim]) / np.array(grid.lengths)
    phase = grid.coordinates() @ k
    wave = modes.forward(np.sin(phase))
    assert wave.shape == modes.kept
    np.testing.assert_allclose(modes.backward(wave), np.sin(phase), atol=1e-14)
    for axis, symbol in enumerate(modes.derivatives):
        np.testing.assert_allclose(modes.backward(symbol * wave), k[axis] * np.cos(phase), atol=1e-11)
    c = np.eye(grid.dim) + 0.1
    np.testing.assert_allclose(
        modes.backward(modes.laplacian(c) * wave), -(k @ c @ k) * np.sin(phase), atol=1e-10
    )


def test_the_derivative_at_the_nyquist_wavenumber_is_zero():
    # cos(4x) on 8 points cannot be told from cos(−4x): it has a second derivative there, but no first.
    grid = TorusGrid((8, 8))
    modes = modes_on(grid)
    x = np.moveaxis(grid.coordinates(), -1, 0)
    for axis in (0, 1):
        field = np.cos(4 * x[axis]) * np.sin(x[1 - axis])
        wave = modes.forward(field)
        np.testing.assert_allclose(modes.backward(modes.derivatives[axis] * wave), 0, atol=1e-13)
        np.testing.assert_allclose(modes.backward(modes.laplacian(np.eye(2)) * wave), -17 * field, atol=1e-12)


@pytest.mark.parametrize(("size", "kept"), [(8, 2), (9, 2), (10, 3), (12, 3), (13, 4)])
def test_two_thirds_rule(size, kept):
    # The product of two kept waves folds back onto none that is kept: 2M − N < −M.
    modes = modes_on(TorusGrid((size, size)), dealias=True)
    assert modes.kept == (2 * kept + 1, kept + 1)
    np.testing.assert_array_equal(modes.axes[0].wavenumber, [*range(kept + 1), *range(-kept, 0)])
    assert 2 * kept - size < -kept
    assert modes_on(TorusGrid((size, size))).kept == (size, size // 2 + 1)


@pytest.mark.parametrize("shape", [(8,), (7, 8), (8, 9)])
def test_rms_is_that_of_the_field(shape):
    field = np.random.default_rng(0).normal(size=(3, *shape))
    modes = modes_on(TorusGrid(shape))
    expected = math.sqrt(np.mean(np.sum(field**2, axis=0)))
    assert modes.rms((modes.forward(field), 1.0)) == (pytest.approx(expected),)


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaling_with_and_without_ducc0(monkeypatch, installed, dtype):
    if installed:
        pytest.importorskip("ducc0")
    else:
        monkeypatch.setattr(fft, "ducc", lambda: None)
    field = np.random.default_rng(0).normal(size=(2, 6, 9)).astype(dtype)
    waves = fft.forward(np, field, 2)
    assert waves.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(waves, np.fft.rfft2(field, norm="forward"), atol=1e-6)
    back = fft.backward(np, waves, (6, 9))
    assert back.dtype == dtype
    np.testing.assert_allclose(back, field, atol=1e-6)
