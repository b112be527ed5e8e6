"""The compiled right-hand side is the plain one, whatever the dimension, gauge, dtype and threads."""

import numpy as np
import pytest

from lnegeom.flow import TorusGrid, perturbed_flat
from lnegeom.flow.small import pack, upper_pairs
from lnegeom.flow.torus import fft
from lnegeom.flow.torus.rhs import Equation, Fused, LeftCone, Plain, right_hand_side
from lnegeom.flow.torus.spectral import Modes

CASES = [
    ((12,), "ricci", True, np.float64),
    ((16, 15), "flat", False, np.float64),
    ((16, 15), "flat", True, np.float32),
    ((11, 12), "ricci", True, np.float64),
    ((12, 9), "background", False, np.float64),
    ((9, 8, 10), "flat", True, np.float64),
    ((6, 7, 5, 8), "flat", False, np.float64),
]


def problem(shape, gauge, dealias, dtype):
    """Modes, an equation with all of its constants in use, and a state."""
    n = len(shape)
    grid = TorusGrid(shape, tuple(2.0 + axis for axis in range(n)))
    rng = np.random.default_rng(0)
    metric = perturbed_flat(grid, 0.3, seed=1, modes=(min(shape) - 1) // 3)
    modes = Modes(grid, np, metric.astype(dtype), dealias=dealias)
    c = np.eye(n) + 0.05
    symbols = 0.1 * rng.normal(size=(n, len(upper_pairs(n)), *shape)) if gauge == "background" else None
    equation = Equation(n, gauge, pack(np, c), pack(np, np.linalg.inv(c)), symbols)
    return modes, equation, modes.forward(pack(np, metric - c).astype(dtype))


@pytest.mark.parametrize(("shape", "gauge", "dealias", "dtype"), CASES)
def test_compiled_and_plain_agree(monkeypatch, shape, gauge, dealias, dtype):
    pytest.importorskip("numba")
    monkeypatch.setattr("lnegeom.flow.torus.rhs.THREAD_BYTES", 0)  # threads even for these
    modes, equation, u = problem(shape, gauge, dealias, dtype)
    plain = Plain(np, modes, equation)(u)
    tolerance = 20 * np.finfo(dtype).eps
    for workers in (1, 2):
        compiled = Fused(modes, equation, workers)(u)
        assert compiled.dtype == u.dtype
        np.testing.assert_allclose(compiled, plain, rtol=0, atol=tolerance * np.max(np.abs(plain)))
    assert np.max(np.abs(plain)) > 0.01


@pytest.mark.parametrize("slab_bytes", [1, 1 << 30])
def test_slabs_of_any_thickness(monkeypatch, slab_bytes):
    pytest.importorskip("numba")
    modes, equation, u = problem((9, 8, 10), "flat", True, np.float64)
    expected = Fused(modes, equation, 1)(u)
    monkeypatch.setattr("lnegeom.flow.torus.rhs.SLAB_BYTES", slab_bytes)
    other = Fused(modes, equation, 1)
    assert other.thickness == (1 if slab_bytes == 1 else 9)
    np.testing.assert_array_equal(other(u), expected)


def test_without_ducc0(monkeypatch):
    pytest.importorskip("numba")
    modes, equation, u = problem((9, 8, 10), "flat", True, np.float64)
    expected = Plain(np, modes, equation)(u)
    monkeypatch.setattr(fft, "ducc", lambda: None)
    np.testing.assert_allclose(Fused(modes, equation, 1)(u), expected, atol=1e-16)


@pytest.mark.parametrize("kind", ["plain", "fused"])
@pytest.mark.parametrize("bad", [-2.0, np.nan])
def test_metrics_that_are_none_are_noticed(kind, bad):
    modes, equation, u = problem((16, 15), "flat", False, np.float64)
    if kind == "fused":
        pytest.importorskip("numba")
    side = Plain(np, modes, equation) if kind == "plain" else Fused(modes, equation, 1)
    field = modes.backward(u)
    field[0, 3, 4] = bad
    broken = modes.forward(field)
    with np.errstate(all="ignore"), pytest.raises(LeftCone) as caught:
        side(broken)
    assert caught.value.coefficients is broken
    side(u)  # and what is left behind does no harm


def test_numpy_is_compiled_where_numba_is_installed(monkeypatch):
    modes, equation, _ = problem((16, 15), "flat", False, np.float64)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(right_hand_side(np, modes, equation), Plain)
    pytest.importorskip("numba")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert isinstance(right_hand_side(np, modes, equation), Fused)


def test_compiles_where_nothing_can_be_kept_on_disk():
    pytest.importorskip("numba")
    from lnegeom.flow.torus.fused import compiled

    scope = {}
    exec("def double(x):\n    return 2 * x", scope)  # has no file beside which to keep the machine code
    assert compiled(scope["double"])(21) == 42
