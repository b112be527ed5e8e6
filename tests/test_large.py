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


def test_sharp_takes_linear_memory_and_solves_exactly(large):
    x, v = large
    metric = lnegeom.LNE(1.0)
    tracemalloc.start()
    result = metric.sharp(x, v)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * x.nbytes  # the result, and nothing else of its size
    u = np.tanh(x)
    np.testing.assert_allclose(result - u * (u @ result), v, atol=1e-10)  # g · (g⁻¹ v) = v


def test_ricci_application_takes_linear_memory(large):
    x, v = large
    metric = lnegeom.LNE(1.0)
    tracemalloc.start()
    result = metric.ricci_apply(x, v)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * x.nbytes
    # The direct sum for one row, in another order: Ric_0j v_j = −(1/w)(H h_0 − h_0²) v_0 + …
    u = np.tanh(x)
    w, h = 1 - u @ u, 1 - u**2
    row = -(h[0] / w) * np.where(np.arange(N) == 0, (h @ (1 + u**2 / w)) - h[0], 0.0)
    row += h[0] * u[0] * h * u / w**2
    np.testing.assert_allclose(result[0], row @ v, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_long_vectors_agree_with_the_general_path(dtype):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal(100_001) * 1e-3).astype(dtype)
    v = rng.standard_normal(100_001).astype(dtype)
    metric = lnegeom.LNE(1.5)
    long, general = metric.sharp(x, v), metric.sharp(x[None], v[None])[0]
    assert long.dtype == dtype
    np.testing.assert_allclose(long, general, rtol=20 * np.finfo(dtype).eps, atol=20 * np.finfo(dtype).eps)
