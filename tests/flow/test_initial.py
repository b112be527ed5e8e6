import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnegeom import InputError
from lnegeom.flow import BoxGrid, TorusGrid, perturbed_flat, plane_wave

GRIDS = [TorusGrid((13,)), TorusGrid((8, 11), (1.0, 4.0)), TorusGrid((7, 8, 9))]


@given(seed=st.integers(0, 2**32 - 1), amplitude=st.floats(0, 0.999), grid=st.sampled_from(GRIDS))
def test_is_a_mean_free_perturbation_of_exact_size(seed, amplitude, grid):
    g = perturbed_flat(grid, amplitude, seed=seed)
    n = grid.dim
    h = g - np.eye(n)
    assert g.shape == (*grid.shape, n, n)
    assert np.max(np.abs(np.linalg.eigvalsh(h))) == pytest.approx(amplitude, rel=1e-12, abs=1e-15)
    np.testing.assert_allclose(np.mean(h, axis=tuple(range(n))), 0, atol=1e-15)
    np.testing.assert_array_equal(g, np.swapaxes(g, -1, -2))
    assert np.linalg.eigvalsh(g).min() > 0


def test_seeded():
    grid = TorusGrid((8, 8))
    np.testing.assert_array_equal(perturbed_flat(grid, 0.1, seed=5), perturbed_flat(grid, 0.1, seed=5))
    assert np.any(perturbed_flat(grid, 0.1, seed=5) != perturbed_flat(grid, 0.1, seed=6))


def test_same_function_on_a_finer_grid():
    coarse = perturbed_flat(TorusGrid((8, 10)), 0.1, seed=5) - np.eye(2)
    fine = perturbed_flat(TorusGrid((16, 20)), 0.1, seed=5)[::2, ::2] - np.eye(2)
    # Equal but for the scale, which each grid takes from its own points.
    np.testing.assert_allclose(fine / np.max(np.abs(fine)), coarse / np.max(np.abs(coarse)), atol=1e-12)


def test_band_limited():
    h = perturbed_flat(TorusGrid((32, 32)), 0.1, seed=5, modes=4) - np.eye(2)
    power = np.abs(np.fft.fft2(h, axes=(0, 1))).max(axis=(2, 3))
    multiples = np.abs(np.fft.fftfreq(32) * 32)
    inside = (multiples[:, None] <= 4) & (multiples[None] <= 4)
    assert power[~inside].max() < 1e-12 * power.max()
    assert power[4, 0] > 1e-3 * power.max()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"amplitude": 1.0}, r"amplitude must be in \[0, 1\).*got 1.0"),
        ({"amplitude": -0.1}, r"amplitude must be in \[0, 1\)"),
        ({"amplitude": float("nan")}, r"amplitude must be in \[0, 1\)"),
        ({"seed": -1}, "seed must be an integer that is not negative, got -1"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"modes": 0}, "modes must be a positive integer"),
        ({"modes": 4}, "modes = 4 needs more than 8 points.*lower modes or refine"),
    ],
)
def test_bad_arguments(change, words):
    arguments = {"amplitude": 0.1, "seed": 0, **change}
    with pytest.raises(InputError, match=words):
        perturbed_flat(TorusGrid((8, 8)), **arguments)


def test_in_a_box_the_faces_are_flat_and_finer_grids_refine():
    coarse, fine = (perturbed_flat(BoxGrid((N, N), (1.0, 2.0)), 0.2, seed=5) - np.eye(2) for N in (9, 17))
    for face in (coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]):
        np.testing.assert_allclose(face, 0, atol=1e-15)
    # Every other Chebyshev point of the fine grid is one of the coarse grid's; only the scale may differ.
    scale = fine[2, 2, 0, 0] / coarse[1, 1, 0, 0]
    np.testing.assert_allclose(fine[::2, ::2], scale * coarse, atol=1e-12)
    assert scale == pytest.approx(1, abs=0.05)
    assert np.max(np.abs(np.linalg.eigvalsh(fine))) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("amplitude", "words"),
    [
        (np.eye(3), "a symmetric 2×2 matrix"),
        ([[0.0, 0.1], [0.2, 0.0]], "a symmetric 2×2 matrix"),
        (np.eye(2), "norm below 1"),
        (np.full((2, 2), np.nan), "a symmetric 2×2 matrix"),
    ],
)
def test_bad_plane_waves(amplitude, words):
    with pytest.raises(InputError, match=words):
        plane_wave(TorusGrid((8, 8)), (1, 0), amplitude)
