"""Fixtures shared by every test: one array library at a time."""

import importlib
import os

# Small networks train faster on one thread, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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
        self.module = importlib.import_module("numpy" if name == "numpy" else name)

    def array(self, value, dtype="float64"):
        return self.module.asarray(np.asarray(value).tolist(), dtype=getattr(self.module, dtype))

    def owns(self, value):
        return type(value).__module__.split(".")[0] == self.name

    def __repr__(self):
        return self.name


def to_numpy(value):
    """Any library's array as numpy's."""
    return np.from_dlpack(value) if not isinstance(value, np.ndarray | np.generic) else np.asarray(value)


@pytest.fixture(params=["numpy", "array_api_strict", "torch"])
def backend(request):
    pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return Backend(request.param)
