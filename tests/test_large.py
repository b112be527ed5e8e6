"""LNE at a size where an n × n array could not exist."""

import tracemalloc

import numpy as np
import pytest

import lnegeom

N = 10**7  # an n × n array would take 800 TB


@pytest.fixture(scope="module")
def large():
    rng = np.random.default_rng(0)
    return rng.standard_normal(N) * (0.5 / N**0.5), rng.standard_normal(N)


def peak_of(function):
    """The result, and the most memory that was held on the way, in vectors of N doubles."""
    tracemalloc.start()
    result = function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, peak / (8 * N)


def test_sharp_takes_no_memory_but_its_result_and_solves_exactly(large):
    x, v = large
    result, peak = peak_of(lambda: lnegeom.LNE(1.0).sharp(x, v))
    assert peak < 1.01
    u = np.tanh(x)
    np.testing.assert_allclose(result - u * (u @ result), v, atol=1e-10)  # g · (g⁻¹ v) = v


def test_ricci_application_takes_no_memory_but_its_result(large):
    x, v = large
    result, peak = peak_of(lambda: lnegeom.LNE(1.0).ricci_apply(x, v))
    assert peak < 1.01
    # The direct sum for one row, in another order: Ric_0j v_j = −(1/w)(H h_0 − h_0²) v_0 + …
    u = np.tanh(x)
    w, h = 1 - u @ u, 1 - u**2
    row = -(h[0] / w) * np.where(np.arange(N) == 0, (h @ (1 + u**2 / w)) - h[0], 0.0)
    row += h[0] * u[0] * h * u / w**2
    np.testing.assert_allclose(result[0], row @ v, rtol=1e-9)


def test_scalar_curvature_and_christoffel_application_take_no_memory_but_their_results(large):
    x, v = large
    metric = lnegeom.LNE(1.0)
    scalar, peak = peak_of(lambda: metric.scalar_curvature(x))
    assert peak < 0.01
    assert scalar < 0
    bent, peak = peak_of(lambda: metric.christoffel_apply(x, v, v))
    assert peak < 1.01
    u = np.tanh(x)
    np.testing.assert_allclose(bent, -u * (np.sum((1 - u**2) * v * v) / (1 - u @ u)), rtol=1e-9)


LONG = {
    "sharp": lambda metric, x, a, b: metric.sharp(x, a),
    "ricci_apply": lambda metric, x, a, b: metric.ricci_apply(x, a),
    "christoffel_apply": lambda metric, x, a, b: metric.christoffel_apply(x, a, b),
    "scalar_curvature": lambda metric, x, a, b: metric.scalar_curvature(x),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LONG)
def test_long_vectors_agree_with_the_general_path(name, dtype):
    rng = np.random.default_rng(1)
    n = 100_001  # not a multiple of the pieces
    x = (rng.standard_normal(n) * 2e-3).astype(dtype)  # |u|² is about 0.9
    a, b = rng.standard_normal((2, n)).astype(dtype)
    metric, call = lnegeom.LNE(1.5), LONG[name]
    long = call(metric, x, a, b)
    general = call(metric, x[None].astype(float), a[None].astype(float), b[None].astype(float))[0]
    assert long.dtype == dtype
    tolerance = 2000 * np.finfo(dtype).eps  # 1 − |u|² loses one digit, and is squared
    np.testing.assert_allclose(long, general, rtol=tolerance, atol=tolerance * np.abs(general).max())


@pytest.mark.parametrize("name", LONG)
def test_long_vectors_that_are_not_valid_are_named(name):
    x, a = np.zeros(100_000), np.zeros(100_000)
    x[7] = np.nan
    with pytest.raises(lnegeom.GeometryError, match=r"x\[7\] is nan"):
        LONG[name](lnegeom.LNE(1.0), x, a, a)
    x[7] = 3.0
    with pytest.raises(lnegeom.GeometryError, match=r"x lies outside the domain"):
        LONG[name](lnegeom.LNE(0.5), x + 0.01, a, a)
    if name != "scalar_curvature":
        a[9] = np.inf
        with pytest.raises(lnegeom.GeometryError, match=r"\[9\] is inf"):
            LONG[name](lnegeom.LNE(1.0), np.zeros(100_000), a, a)
