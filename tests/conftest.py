"""Fixtures shared by every test: one array library at a time."""

import importlib
import os
import re
import sys

from xla_flags import xla_flags

# Small networks train faster on one thread, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without it JAX quietly makes every float64 a float32.
os.environ["JAX_ENABLE_X64"] = "1"
os.environ.setdefault("XLA_FLAGS", xla_flags())

import array_api_compat
import hypothesis
import numpy as np
import pytest

# Deterministic, so that a failure on one machine fails on every machine.
hypothesis.settings.register_profile("lnegeom", deadline=None, derandomize=True, max_examples=10)
hypothesis.settings.load_profile("lnegeom")

# The optional packages of the tests: all else that cannot be imported is a mistake.
_NOT_INSTALLED = re.compile(r"No module named '(torch|geoopt|safetensors)'|needs (geoopt): pip install")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A test module that cannot be imported is an error, unless for want of an optional package.

    ``--doctest-ignore-import-errors``, which is for the adapter's modules where there is no torch, skips it
    as a module of doctests, and leaves the half of it that was made: without an error, its tests are missed.
    """
    report = yield
    path = str(collector.path)
    if not report.passed:
        for name in [n for n, module in sys.modules.items() if getattr(module, "__file__", None) == path]:
            del sys.modules[name]
    if report.failed and (found := _NOT_INSTALLED.search(str(report.longrepr))):
        report.outcome = "skipped"
        report.longrepr = (path, 0, f"Skipped: {found[1] or found[2]} is not installed")
    return report


class Backend:
    """An array library under test: makes arrays of its kind, and turns them back into numpy's."""

    def __init__(self, name):
        self.name = name
        self.module = importlib.import_module("jax.numpy" if name == "jax" else name)
        self.device = self._device()

    def _device(self):
        """Not the default device, where the library has another."""
        if self.name == "array_api_strict":
            return self.module.Device("device1")
        if self.name == "torch":
            return self.module.device("cuda" if self.module.cuda.is_available() else "cpu")
        return importlib.import_module("jax").devices()[-1] if self.name == "jax" else "cpu"

    def array(self, value, dtype="float64"):
        listed = np.asarray(value).tolist()
        return self.module.asarray(listed, dtype=getattr(self.module, dtype), device=self.device)

    def owns(self, value):
        """Whether an array is of this library, and on the device where `array` makes its arrays."""
        kind = type(value).__module__.split(".")[0] in (self.name, "jaxlib" if self.name == "jax" else "")
        return kind and array_api_compat.device(value) == self.device

    def run(self, function, *arrays):
        """A function's results, a dictionary of arrays; on JAX it is compiled as a whole.

        One compilation takes a fraction of the time that JAX needs to compile operation by operation, and
        holds the function to what users do: it must not look at values while it is traced.
        """
        if self.name != "jax":
            return function(*arrays)
        # An argument that no result depends on still says on which device results are wanted.
        return importlib.import_module("jax").jit(function, keep_unused=True)(*arrays)

    def kinds(self, function, *arrays):
        """As `run`, where dtypes and shapes are all that matters: JAX only traces the function."""
        if self.name == "jax":
            return importlib.import_module("jax").eval_shape(function, *arrays)
        return function(*arrays)

    def __repr__(self):
        return self.name


def to_numpy(value):
    """Any library's array as numpy's."""
    return np.from_dlpack(value) if not isinstance(value, np.ndarray | np.generic) else np.asarray(value)


def in_single_precision(jax):
    """A context in which JAX has no float64; before jax 0.8 it was experimental."""
    owner = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    return owner.enable_x64(False)


@pytest.fixture(params=["numpy", "array_api_strict", "torch", "jax"], scope="session")
def backend(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return Backend(request.param)


def assert_agree(backend, function, arrays, dtype, tolerance, batch, traced=True, expected=None):
    """A function's results on a backend: of its kind, dtype and batch shape, and equal to numpy's in float64.

    `function` maps arrays to a dictionary of arrays. In single precision JAX only traces it, which shows
    dtypes and shapes; values come from the same code compiled in double precision. What is not
    `traced` it runs as it stands. `expected` spares to compute numpy's results again.
    """
    given = [backend.array(a, dtype) for a in arrays]
    expected = expected or function(*arrays)
    only_traced = backend.name == "jax" and dtype == "float32" and traced
    if only_traced:
        results = backend.kinds(function, *given)
    else:
        results = backend.run(function, *given) if traced else function(*given)
        assert all(backend.owns(result) for result in results.values())
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        assert str(results[name].dtype).endswith(dtype), name
        assert tuple(results[name].shape) == value.shape, name
        assert value.shape[: len(batch)] == batch, name
        if only_traced:
            continue
        allowed = {"rtol": tolerance, "atol": tolerance * max(1.0, np.max(np.abs(value)))}
        np.testing.assert_allclose(to_numpy(results[name]), value, err_msg=name, **allowed)


@pytest.fixture(scope="session")
def torchvision():
    """torchvision itself, for its networks; a test that asks for it is skipped where it is not installed.

    One that was built for another device cannot load its compiled operators, and refuses to be imported for
    want of two declarations, which its networks do not need.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed")
    try:
        return importlib.import_module("torchvision")
    except ImportError as error:
        pytest.skip(f"torchvision is not installed: {error}")
    except RuntimeError:
        for name in ("nms", "qnms"):
            signature = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            torch.library.define(f"torchvision::{name}", signature)
        return importlib.import_module("torchvision")
