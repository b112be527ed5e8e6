"""The compiled right-hand side is the plain one, whatever the dimension, gauge, dtype and threads."""

import importlib.util
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import array_api_compat
import numpy as np
import pytest
from conftest import to_numpy

from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
from lnegeom.flow.small import pack, upper_pairs
from lnegeom.flow.torus import fft
from lnegeom.flow.torus.rhs import Borrowed, Compiled, Equation, Fused, LeftCone, Plain, right_hand_side
from lnegeom.flow.torus.rhs.plain import TorchCompiled
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
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_compiled_and_plain_agree(shape, gauge, dealias, dtype, workers):
    pytest.importorskip("numba")
    if workers > 1:
        pytest.importorskip("rocket_fft")
    modes, equation, u = problem(shape, gauge, dealias, dtype)
    plain = Plain(np, modes, equation)(u)
    side = Fused(modes, equation, workers)
    assert side.workers == (workers if len(shape) > 1 else 1)
    tolerance = 20 * np.finfo(dtype).eps * np.max(np.abs(plain))
    for state in (u, np.asfortranarray(u)):
        compiled = side(state)
        assert compiled.dtype == u.dtype
        np.testing.assert_allclose(compiled, plain, rtol=0, atol=tolerance)
    assert np.max(np.abs(plain)) > 0.01


@pytest.mark.parametrize("slab_bytes", [1, 2 * 8 * 24 * 80, 1 << 30])
def test_slabs_of_any_thickness(monkeypatch, slab_bytes):
    pytest.importorskip("numba")
    modes, equation, u = problem((9, 8, 10), "flat", True, np.float64)
    expected = Fused(modes, equation, 1)(u)
    monkeypatch.setattr("lnegeom.flow.torus.rhs.fused.SLAB_BYTES", slab_bytes)
    other = Fused(modes, equation, 1)
    planes = {1: 1, 1 << 30: 9}.get(slab_bytes, 2)  # 2 does not divide 9: the last slab is thinner
    assert other.points.size == planes * 24 * 80
    np.testing.assert_array_equal(other(u), expected)


def test_without_ducc0(monkeypatch):
    pytest.importorskip("numba")
    modes, equation, u = problem((9, 8, 10), "flat", True, np.float64)
    expected = Plain(np, modes, equation)(u)
    monkeypatch.setattr(fft, "ducc", lambda: None)
    np.testing.assert_allclose(Fused(modes, equation, 1)(u), expected, atol=1e-16)


def test_without_rocket_fft_one_thread_runs(monkeypatch):
    pytest.importorskip("numba")
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "rocket_fft" else find(name))
    modes, equation, u = problem((16, 15), "flat", False, np.float64)
    side = Fused(modes, equation, 2)
    assert side.workers == 1
    np.testing.assert_allclose(side(u), Plain(np, modes, equation)(u), atol=1e-15)


THREADED = """
import os, sys, threading
import numba, numpy as np
sys.path.insert(0, {folder!r})
from test_rhs import Fused, Plain, problem
modes, equation, u = problem((16, 15), "flat", False, np.float64)
expected = Plain(np, modes, equation)(u)
numba.set_num_threads(1)
sides = [Fused(modes, equation, 2) for _ in range(4)]
bad = []

def use(side):
    for _ in range(50):
        if np.max(np.abs(side(u) - expected)) > 1e-15:
            bad.append(side)

threads = [threading.Thread(target=use, args=(side,)) for side in sides]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not bad, "threads of Python's own"
use(sides[0])
assert numba.get_num_threads() == 1, "the user's own choice"
child = os.fork()
if not child:
    use(sides[0])
    os._exit(bool(bad))
assert os.waitpid(child, 0)[1] == 0, "a forked process"
print("agreed")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("layer", ["default", "workqueue"])  # the second must not be entered twice
def test_threads_of_threads_and_in_forked_processes(layer):
    pytest.importorskip("rocket_fft")
    script = THREADED.format(folder=str(Path(__file__).parent))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "NUMBA_NUM_THREADS": "2"}
    environment["NUMBA_THREADING_LAYER"] = layer
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "agreed\n", done.stderr


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


def moved(library, shape, gauge, dtype, device=None, dealias=True):
    """The problem on another library's arrays: its modes, equation and state, and N by numpy."""
    xp = array_namespace(library)
    modes, equation, u = problem(shape, gauge, dealias, dtype)
    expected = Plain(np, modes, equation)(u)
    symbols = None if equation.symbols is None else xp.asarray(equation.symbols, device=device)
    there = Modes(modes._grid, xp, xp.asarray(np.zeros(1, dtype), device=device), dealias=dealias)
    return xp, there, replace(equation, symbols=symbols), xp.asarray(u, device=device), expected


def array_namespace(library):
    module = pytest.importorskip("jax.numpy" if library == "jax" else library)
    return array_api_compat.array_namespace(module.asarray(np.zeros(1)))


@pytest.mark.parametrize("library", ["torch", "jax"])
@pytest.mark.parametrize(
    ("shape", "gauge", "dtype"),
    [((12, 9), "background", np.float64), ((16, 15), "flat", np.float32), ((6, 5, 7), "flat", np.float64)],
)
def test_borrowed_memory_gives_numpys_numbers(library, shape, gauge, dtype):
    pytest.importorskip("numba")
    xp, modes, equation, u, expected = moved(library, shape, gauge, dtype)
    side = right_hand_side(xp, modes, equation)
    assert isinstance(side, Borrowed)
    got = side(u)
    assert type(got) is type(u)
    assert got.dtype == u.dtype
    tolerance = 20 * np.finfo(dtype).eps * np.max(np.abs(expected))
    np.testing.assert_allclose(to_numpy(got), expected, rtol=0, atol=tolerance)
    with np.errstate(all="ignore"), pytest.raises(LeftCone) as caught:
        side(1e3 * u)
    assert type(caught.value.coefficients) is type(u)


@pytest.mark.parametrize(("shape", "gauge", "dealias", "dtype"), CASES)
def test_one_padded_buffer_gives_numpys_numbers(shape, gauge, dealias, dtype):
    xp, modes, equation, u, expected = moved("torch", shape, gauge, dtype, dealias=dealias)
    side = Compiled(xp, modes, equation)
    side.algebra.function = side.algebra.plain  # what torch's compiler makes of it is for the next test
    tolerance = 20 * np.finfo(dtype).eps * np.max(np.abs(expected))
    for _ in range(2):  # and what is left in the buffer does no harm
        np.testing.assert_allclose(to_numpy(side(u)), expected, rtol=0, atol=tolerance)
    gradients = []
    for which in (side, Plain(xp, modes, equation)):
        leaf = u.clone().requires_grad_()
        (which(leaf).abs() ** 2).sum().backward()
        gradients.append(to_numpy(leaf.grad))
    largest = np.max(np.abs(gradients[1]))
    np.testing.assert_allclose(*gradients, rtol=0, atol=50 * np.finfo(dtype).eps * largest)
    assert largest > 0


@pytest.mark.filterwarnings("ignore:`torch:DeprecationWarning")  # torch's compiler, of torch itself
@pytest.mark.parametrize(
    ("library", "shape", "gauge"),
    [("torch", (12, 9), "background"), ("jax", (12, 9), "background"), ("jax", (6, 5, 7), "ricci")],
)
def test_compilers_of_other_libraries(monkeypatch, library, shape, gauge):
    xp, modes, equation, u, expected = moved(library, shape, gauge, np.float64)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "numba" else find(name))
    monkeypatch.setattr("lnegeom.flow.torus.rhs.choice.COMPILE_POINTS", 1)
    side = right_hand_side(xp, modes, equation)
    assert isinstance(side, Compiled)
    np.testing.assert_allclose(to_numpy(side(u)), expected, rtol=0, atol=1e-14)
    with pytest.raises(LeftCone):
        side(1e3 * u)
    if library == "torch":  # small grids are not worth its while
        monkeypatch.setattr("lnegeom.flow.torus.rhs.choice.COMPILE_POINTS", 10**3)
        assert type(right_hand_side(xp, modes, equation)) is Plain


@pytest.mark.gpu
@pytest.mark.filterwarnings(
    "ignore:TensorFloat32 tensor cores:UserWarning"
)  # of matrix products: here are none
@pytest.mark.parametrize("gauge", ["flat", "background"])
def test_torch_compiles_for_a_gpu(monkeypatch, gauge):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    xp, modes, equation, u, expected = moved("torch", (6, 5, 7), gauge, np.float64, "cuda")
    monkeypatch.setattr("lnegeom.flow.torus.rhs.choice.COMPILE_POINTS", 1)
    side = right_hand_side(xp, modes, equation)
    assert isinstance(side, Compiled)
    np.testing.assert_allclose(side(u).cpu(), expected, rtol=0, atol=1e-13)  # its transforms are others


def test_where_torch_cannot_compile_it_says_so(monkeypatch):
    torch = pytest.importorskip("torch")

    def broken(function, **options):
        def call(*arguments):
            raise RuntimeError("inductor raised:\nno C++ compiler\nand a long trace")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    double = TorchCompiled(lambda x: 2 * x)
    with pytest.warns(RuntimeWarning, match=r"torch\.compile failed \(inductor raised: no C\+\+ compiler\)"):
        assert double(21) == 42
    assert double(4) == 8  # and does not warn again


def test_the_benchmark_of_a_device_runs(monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    import bench_flow_gpu

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)  # it takes too long here
    bench_flow_gpu.device_table("cpu", [(12, 10)], 1)
    said, _, header, _, *rows = capsys.readouterr().out.splitlines()
    assert said.startswith(f"torch {torch.__version__}, this processor; the CPU's step: numba, ")
    assert [row.split(" | ")[1] for row in rows] == ["float32", "float64"]
    for row in rows:
        cells = row.removeprefix("| ").removesuffix(" |").split(" | ")
        assert len(cells) == header.count("|") - 1
        assert all(float(cell) > 0 for cell in cells[4:8])


def test_gradients_flow_through_a_flow_of_tensors():
    torch = pytest.importorskip("torch")
    grid = TorusGrid((8, 8))
    start, direction = (torch.asarray(perturbed_flat(grid, 0.2, seed=seed)) for seed in (0, 1))

    def energy(g):
        return (ricci_deturck(g, grid, 0.2, samples=2, dt=0.05).metrics[-1] ** 2).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, that the checks look at values
        g = start.clone().requires_grad_()
        energy(g).backward()
    step = 1e-4 * direction
    difference = (energy(start + step) - energy(start - step)) / 2e-4
    assert float((g.grad * direction).sum()) == pytest.approx(float(difference), rel=1e-6)


def test_numpy_is_compiled_where_numba_is_installed(monkeypatch):
    modes, equation, _ = problem((16, 15), "flat", False, np.float64)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert type(right_hand_side(np, modes, equation)) is Plain
    pytest.importorskip("numba")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert isinstance(right_hand_side(np, modes, equation), Fused)


def test_compiles_where_nothing_can_be_kept_on_disk():
    pytest.importorskip("numba")
    from lnegeom.flow.torus.rhs.algebra import compiled

    scope = {}
    exec("def double(x):\n    return 2 * x", scope)  # has no file beside which to keep the machine code
    assert compiled(scope["double"])(21) == 42
