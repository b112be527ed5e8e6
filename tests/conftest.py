"""Fixtures shared by every test: one array library at a time."""

import importlib
import os

# Small networks train faster on one thread, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without it JAX quietly makes every float64 a float32.
os.environ["JAX_ENABLE_X64"] = "1"

import hypothesis
import numpy as np
import pytest

# Deterministic, so that a failure on one machine fails on every machine.
hypothesis.settings.register_profile("lnegeom", deadline=None, derandomize=True, max_examples=10)
hypothesis.settings.load_profile("lnegeom")


class Backend:
    """An array library under test: makes arrays of its kind, and turns them back into numpy's."""

    def __init__(self, name):
        self.name = name
        self.module = importlib.import_module("jax.numpy" if name == "jax" else name)

    def array(self, value, dtype="float64"):
        return self.module.asarray(np.asarray(value).tolist(), dtype=getattr(self.module, dtype))

    def owns(self, value):
        return type(value).__module__.split(".")[0] in (self.name, "jaxlib" if self.name == "jax" else "")

    def run(self, function, *arrays):
        """A function's results, a dictionary of arrays; on JAX it is compiled as a whole.

        One compilation takes a fraction of the time that JAX needs to compile operation by operation, and
        holds the function to what users do: it must not look at values while it is traced.
        """
        return (
            importlib.import_module("jax").jit(function)(*arrays) if self.name == "jax" else function(*arrays)
        )

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


@pytest.fixture(params=["numpy", "array_api_strict", "torch", "jax"])
def backend(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return Backend(request.param)


def assert_agree(backend, function, arrays, dtype, tolerance, batch):
    """A function's results on a backend: of its kind, dtype and batch shape, and equal to numpy's in float64.

    `function` maps arrays to a dictionary of arrays. In single precision JAX only traces it, which shows
    dtypes and shapes; values come from the same code compiled in double precision.
    """
    given = [backend.array(a, dtype) for a in arrays]
    expected = function(*arrays)
    if backend.name == "jax" and dtype == "float32":
        results = backend.kinds(function, *given)
    else:
        results = backend.run(function, *given)
        assert all(backend.owns(result) for result in results.values())
    assert results.keys() == expected.keys()
    for name, value in expected.items():
        assert str(results[name].dtype).endswith(dtype), name
        assert tuple(results[name].shape) == value.shape, name
        assert value.shape[: len(batch)] == batch, name
        if backend.name == "jax" and dtype == "float32":
            continue
        allowed = {"rtol": tolerance, "atol": tolerance * max(1.0, np.max(np.abs(value)))}
        np.testing.assert_allclose(to_numpy(results[name]), value, err_msg=name, **allowed)
