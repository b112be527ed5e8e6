"""Invariants against closed forms, the library's curvature at points, and a dense eigenvalue problem."""

import math

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom
from lnegeom import GeometryError, InputError
from lnegeom.flow import (
    TorusGrid,
    closeness,
    king_conformal,
    measure,
    perturbed_flat,
    rank_one_closeness,
    ricci,
    ricci_deturck,
    spectrum,
)
from lnegeom.flow.torus.invariants import INVARIANTS, Measurement
from lnegeom.flow.torus.rhs import Plain

HEXAGON = [[4.0, 0.0], [2.0, 4 * math.sqrt(0.75)]]


def test_of_a_conformal_metric():
    # g = w δ has R = −Δ log w / w, and in two dimensions |Rm| = |R|.
    grid = TorusGrid((32, 32), lattice=HEXAGON)
    g = king_conformal(grid, 0.0, wavevector=(1, 1), s0=2.5)
    found = measure(g, grid)
    w = g[..., 0, 0]
    k = grid.wavevector((1, 1))
    cosine = np.cos(grid.coordinates() @ k)
    # −Δ log w = Δ log(cosh s + cos k·x) = −|k|² (1 + cosh s cos)/(cosh s + cos)²
    R = -(k @ k) * (1 + math.cosh(2.5) * cosine) / (math.cosh(2.5) + cosine) ** 2 / w
    assert list(found) == list(INVARIANTS)
    assert found["volume"] == pytest.approx(grid.volume, rel=1e-12)
    assert found["min_scalar_curvature"] == pytest.approx(R.min(), rel=1e-5)
    assert found["max_riemann"] == pytest.approx(np.abs(R).max(), rel=1e-5)
    assert found["total_scalar_curvature"] == pytest.approx(0, abs=1e-12)
    assert found["deturck_vector"] == pytest.approx(0, abs=1e-12)
    assert found["closeness"] == pytest.approx(max(w.max(), 1 / w.min()) - 1)


def test_curvature_in_three_dimensions_is_the_librarys():
    grid = TorusGrid((4, 4, 4))

    def metric(x):
        g = np.broadcast_to(np.eye(3), (*x.shape[:-1], 3, 3)).copy()
        g[..., 0, 0] += 0.1 * np.sin(x[..., 1])
        g[..., 1, 1] += 0.1 * np.cos(x[..., 2] + x[..., 0])
        g[..., 0, 2] = g[..., 2, 0] = 0.1 * np.sin(x[..., 1] - x[..., 2])
        return g

    # The derivatives of single waves are exact on any grid, and so is the curvature at its points.
    found = measure(metric(grid.coordinates()), grid, ["min_scalar_curvature", "max_riemann"])
    points = grid.coordinates().reshape(-1, 3)
    exact = lnegeom.FromCallable(metric, dim=3)
    rm, g = exact.riemann(points), exact.matrix(points)
    up = np.linalg.inv(g)
    squares = np.einsum("pabcd,pefgh,pae,pbf,pcg,pdh->p", rm, rm, g, up, up, up, optimize=True)
    # R = g^{jl} g^{ik} R_ijkl = g^{jl} R^i_jil
    scalar = np.einsum("pijil,pjl->p", rm, up)
    assert found["min_scalar_curvature"] == pytest.approx(scalar.min(), rel=1e-6)
    assert found["max_riemann"] == pytest.approx(math.sqrt(squares.max()), rel=1e-6)


def test_the_deturck_vector_in_one_dimension():
    # V = g'/(2g²), of length √g |V|; against the metric itself it vanishes.
    grid = TorusGrid((32,))
    x = grid.coordinates()[:, 0]
    g = 1 + 0.2 * np.cos(x)
    found = measure(g[:, None, None], grid, ["deturck_vector"])
    assert found["deturck_vector"] == pytest.approx(np.max(0.1 * np.abs(np.sin(x)) / g**1.5), rel=1e-9)
    same = measure(g[:, None, None], grid, ["deturck_vector"], background=g[:, None, None])
    assert same["deturck_vector"] == 0


def test_perelmans_lambda_is_the_least_eigenvalue():
    # f ↦ −4/√g ∂_a(√g g^{ab} ∂_b f) + R f as a dense matrix, from derivative matrices.
    grid = TorusGrid((11, 9))
    g = perturbed_flat(grid, 0.4, seed=5, modes=1)
    derivatives = []
    for axis, size in enumerate(grid.shape):
        waves = 1j * grid.wavenumbers[axis][:, None] * np.fft.fft(np.eye(size), axis=0)
        one = np.real(np.fft.ifft(waves, axis=0))
        derivatives.append(np.kron(one, np.eye(9)) if axis == 0 else np.kron(np.eye(11), one))
    root, inverse = np.sqrt(np.linalg.det(g)).ravel(), np.linalg.inv(g).reshape(-1, 2, 2)
    stiffness = sum(
        derivatives[a].T @ np.diag(4 * root * inverse[:, a, b]) @ derivatives[b]
        for a in (0, 1)
        for b in (0, 1)
    )

    R = Measurement(np, grid, g, None).curvature()[0].ravel()
    values = scipy.linalg.eigh(stiffness + np.diag(root * R), np.diag(root), eigvals_only=True)
    found = measure(g, grid, "perelman_lambda")["perelman_lambda"]
    assert found == pytest.approx(values[0], rel=1e-7)
    assert found < -1e-3


FLOWS = {
    "flat background": ricci_deturck,
    "its own background": lambda g, *rest, **options: ricci_deturck(g, *rest, background=g, **options),
    "ricci": ricci,
}
GRIDS = [TorusGrid((24, 20), (4.0, 5.0)), TorusGrid((24, 24), lattice=HEXAGON), TorusGrid((12, 12, 12))]


@pytest.mark.parametrize("flow", FLOWS)
@settings(max_examples=5)
@given(grid=st.sampled_from(GRIDS), seed=st.integers(0, 2**32 - 1), amplitude=st.floats(0.05, 0.25))
def test_what_the_flows_keep_and_never_lower(flow, grid, seed, amplitude):
    start = perturbed_flat(grid, amplitude, seed=seed, modes=1)
    names = ["volume", "total_scalar_curvature", "min_scalar_curvature", "perelman_lambda", "max_riemann"]
    t_end = 1 / grid.smallest_eigenvalue()
    with pytest.MonkeyPatch.context() as patch:  # numba takes longer to compile these than they take
        patch.setattr("lnegeom.flow.torus.run.right_hand_side", lambda *arguments: Plain(*arguments[:3]))
        found = FLOWS[flow](start, grid, t_end, samples=4, tolerance=1e-8, invariants=names).invariants
    assert np.all(np.diff(found["min_scalar_curvature"]) > 0)
    assert np.all(np.diff(found["perelman_lambda"]) > 0)
    # The constant function shows λ ≤ ∫R/∫1; and the least R is a lower bound.
    assert np.all(found["perelman_lambda"] <= found["total_scalar_curvature"] / found["volume"] + 1e-12)
    assert np.all(found["perelman_lambda"] >= found["min_scalar_curvature"])
    if grid.dim == 2:  # Gauss–Bonnet, and so a constant area
        small = 1e-6 * found["max_riemann"][0] * found["volume"][0]
        np.testing.assert_allclose(found["total_scalar_curvature"], 0, atol=small)
        np.testing.assert_allclose(found["volume"], found["volume"][0], rtol=1e-6)
    else:  # d/dt volume = −∫R, which falls until λ has risen to 0
        rate = np.diff(found["volume"])
        assert np.all(rate * found["total_scalar_curvature"][1:] <= 1e-12)


@pytest.mark.parametrize("amplitude", [0.1, 0.3])
@pytest.mark.parametrize("shape", [(20, 20), (9, 9, 9)])
def test_closeness_falls(shape, amplitude):
    grid = TorusGrid(shape)
    start = perturbed_flat(grid, amplitude, seed=2, modes=2)
    solution = ricci_deturck(start, grid, 0.5, samples=4)
    assert np.all(np.diff(solution.invariants["closeness"]) < 0)


def test_any_library(backend):
    grid = TorusGrid((10, 9), lattice=HEXAGON)
    g = perturbed_flat(grid, 0.3, seed=0, modes=2)
    expected = measure(g, grid)
    for name, value in measure(backend.array(g), grid).items():
        assert value == pytest.approx(expected[name], rel=1e-9, abs=1e-12)


def test_closeness_of_metrics():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3, 3))
    g, h = a @ np.swapaxes(a, -1, -2) + np.eye(3), b @ np.swapaxes(b, -1, -2) + np.eye(3)
    epsilon = closeness(g, h)
    assert epsilon.shape == (5,)
    np.testing.assert_allclose(closeness(h, g), epsilon)  # symmetric
    for e, one, other in zip(epsilon, g, h, strict=True):
        # The definition: both bounds hold at ε, and one of them fails just below.
        for factor, holds in ((1 + e * (1 + 1e-9), True), (1 + e * (1 - 1e-6), False)):
            upper = np.linalg.eigvalsh(factor * other - one).min()
            lower = np.linalg.eigvalsh(one - other / factor).min()
            assert (min(upper, lower) > 0) == holds
    with pytest.raises(GeometryError, match=r"metric\[1\] has eigenvalue -1"):
        closeness(np.stack([np.eye(2), np.diag([1.0, -1.0])]))


def test_closeness_of_rank_one_metrics(backend):
    rho = np.random.default_rng(1).normal(size=(4, 6)) * 0.2
    got = rank_one_closeness(backend.array(rho))
    assert backend.owns(got)
    expected = closeness(np.eye(6) - rho[:, :, None] * rho[:, None, :])
    np.testing.assert_allclose(np.from_dlpack(got), expected)
    with pytest.raises(GeometryError, match=r"rho\[1\] has \|ρ\|² = 1\.44: expected below 1"):
        rank_one_closeness(np.array([[0.1, 0.0], [1.2, 0.0]]))


@pytest.mark.parametrize("lattice", [np.diag([3.0, 5.0]), HEXAGON])
def test_spectrum_of_a_constant_metric(lattice):
    # The flat torus of (lattice, g) is that of (lattice · A, δ) for g = A Aᵀ.
    A = np.array([[1.2, 0.0], [0.4, 0.9]])
    grid, other = TorusGrid((8, 8), lattice=lattice), TorusGrid((8, 8), lattice=np.array(lattice) @ A)
    found = spectrum(A @ A.T, grid, 30)
    np.testing.assert_allclose(found, spectrum(np.eye(2), other, 30))
    assert np.count_nonzero(found == 0) == 3
    squares = [
        np.sum(other.wavevector((a, b)) ** 2) for a in range(-4, 5) for b in range(-4, 5) if (a, b) != (0, 0)
    ]
    np.testing.assert_allclose(found, np.sort(np.repeat([0.0, *squares], 3))[:30], atol=1e-12)


def test_spectrum_of_a_flat_metric_in_odd_coordinates():
    # φ*δ, φ = (x + 0.1 sin y, y + 0.15 sin x), has the spectrum of the square torus.
    grid = TorusGrid((16, 16))
    x = grid.coordinates()
    J = np.broadcast_to(np.eye(2), (16, 16, 2, 2)).copy()
    J[..., 0, 1], J[..., 1, 0] = 0.1 * np.cos(x[..., 1]), 0.15 * np.cos(x[..., 0])
    found = spectrum(np.swapaxes(J, -1, -2) @ J, grid, 16)
    np.testing.assert_allclose(found, [0] * 3 + [1] * 12 + [2], atol=1e-6)


def test_spectrum_of_other_metrics():
    grid = TorusGrid((12, 12))
    with pytest.raises(GeometryError, match=r"\|2 Ric\| up to .*expected a Ricci-flat one"):
        spectrum(king_conformal(grid, 0.0), grid)
    with pytest.raises(InputError, match="count must be at most 108 on this grid"):
        spectrum(perturbed_flat(grid, 0.1, seed=0), grid, 200)


def test_perelmans_lambda_on_coarse_grids_of_an_even_number_of_points():
    # Where waves of the Nyquist wavenumber cost nothing, λ on 12² points is 16 % too low.
    fine = TorusGrid((48, 48))
    metric = perturbed_flat(fine, 0.3, seed=0)
    expected = measure(metric, fine, "perelman_lambda")["perelman_lambda"]
    for step, tolerance in ((3, 1e-6), (4, 1e-3), (6, 0.05)):
        grid = TorusGrid((48 // step,) * 2)
        coarse = np.ascontiguousarray(metric[::step, ::step])
        assert measure(coarse, grid, "perelman_lambda")["perelman_lambda"] == pytest.approx(
            expected, rel=tolerance
        )
