"""Every public function of the numeric engine on every backend: kind, dtype, device, batch, gradients."""

import functools

import numpy as np
import pytest
import torch
from conftest import assert_agree
from public_functions import EXCEPTIONS, GROUPS, public_functions

each_group = pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
DIFFERENTIABLE = {name: group for name, group in GROUPS.items() if group.differentiable}


@functools.cache
def numpys(group):
    return group.call(*group.arrays)


def test_no_public_function_is_left_out():
    called = set()
    for group in GROUPS.values():
        called |= {name.split("/")[0] for name in numpys(group)}
    assert not called & EXCEPTIONS.keys()
    assert called | EXCEPTIONS.keys() == public_functions()


@each_group
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kind_dtype_device_batch_and_value(group, backend, dtype):
    if dtype == "float32" and not group.traced and backend.name in ("jax", "array_api_strict"):
        pytest.skip("operation by operation these take minutes: there one dtype is enough")
    tolerance = group.single if dtype == "float32" else group.tolerance
    wanted = numpys(group)
    assert_agree(backend, group.call, group.arrays, dtype, tolerance, group.batch, group.traced, wanted)


def weighted(group, xp):
    """Sums of each result with random weights, as one function of arrays: what gradients are taken of."""

    def sums(*arrays):
        found = group.call(*arrays)
        return {name: xp.sum(value * xp.asarray(weights(name, value))) for name, value in found.items()}

    return sums


def weights(name, value):
    return np.random.default_rng(len(name)).uniform(0.5, 1.5, tuple(value.shape))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_flow_through_torch_and_jax(name):
    group = DIFFERENTIABLE[name]
    directions = [np.random.default_rng(i).uniform(-1, 1, a.shape) for i, a in enumerate(group.arrays)]
    expected = slopes_by_differences(weighted(group, np), group.arrays, directions)
    found = slopes_by_torch(group, directions)
    assert found.keys() == expected.keys()
    for result, slope in expected.items():
        np.testing.assert_allclose(found[result], slope, rtol=1e-5, atol=1e-6, err_msg=result)
    # of all results together, which takes JAX a fraction of the time
    np.testing.assert_allclose(slope_by_jax(group, directions), sum(expected.values()), rtol=1e-5)


def slopes_by_differences(sums, arrays, directions, step=1e-3):
    """Of fourth order, along the directions together."""
    at = {
        s: sums(*(a + s * step * d for a, d in zip(arrays, directions, strict=True))) for s in (-2, -1, 1, 2)
    }
    return {k: (8 * (at[1][k] - at[-1][k]) - (at[2][k] - at[-2][k])) / (12 * step) for k in at[1]}


def slopes_by_torch(group, directions):
    arrays = [torch.from_numpy(a).requires_grad_() for a in group.arrays]
    found = {}
    for name, total in weighted(group, torch)(*arrays).items():
        slopes = [None] * len(arrays)
        if total.requires_grad:  # else it does not depend on the arrays
            slopes = torch.autograd.grad(total, arrays, retain_graph=True, allow_unused=True)
        terms = zip(slopes, directions, strict=True)
        found[name] = sum(float((s.numpy() * d).sum()) for s, d in terms if s is not None)
    return found


def slope_by_jax(group, directions):
    jax = pytest.importorskip("jax", reason="jax is not installed")

    def total(*arrays):
        return sum(weighted(group, jax.numpy)(*arrays).values())

    slope = jax.grad(total, argnums=tuple(range(len(directions))))
    slopes = (jax.jit(slope) if group.traced else slope)(*map(jax.numpy.asarray, group.arrays))
    return sum(float((np.asarray(s) * d).sum()) for s, d in zip(slopes, directions, strict=True))
