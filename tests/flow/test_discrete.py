"""The factored norms, against dense float64 matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lnegeom import GeometryError, InputError
from lnegeom.flow import discrete_flow_residual, relative_flow_residual, squared_norm_of_differences


def dense(pairs, coefficients):
    total = sum(c * (np.outer(a, a) - np.outer(b, b)) for (a, b), c in zip(pairs, coefficients, strict=True))
    return np.sum(total**2)


def dense_residual(new_k1, k1, k2, j1, j2, row_step, column_step):
    g_new, g_k1, g_k2, g_j1, g_j2 = (np.eye(v.size) - np.outer(v, v) for v in (new_k1, k1, k2, j1, j2))
    return np.sum((g_new - g_k1 - (g_k1 - g_k2) / row_step + (g_j1 - g_j2) / column_step) ** 2)


@given(n=st.integers(1, 12), count=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_equals_the_dense_norm(n, count, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 2, n))
    coefficients = rng.normal(size=count)
    got = squared_norm_of_differences(list(vectors), list(coefficients))
    assert got == pytest.approx(dense(vectors, coefficients), rel=1e-9, abs=1e-10)
    assert got >= 0


@given(seed=st.integers(0, 2**32 - 1), row=st.sampled_from([-3, -1, 2]), column=st.sampled_from([-2, 1, 3]))
def test_residual_equals_the_dense_one(seed, row, column):
    vectors = np.random.default_rng(seed).normal(size=(5, 7))
    got = discrete_flow_residual(*vectors, row, column)
    assert got == pytest.approx(dense_residual(*vectors, row, column), rel=1e-10)


def test_a_flow_that_is_met_has_no_residual():
    # new − k1 = (k1 − k2)/1 with j1 = j2, in one dimension, where squares can be chosen freely.
    k2, k1 = 0.3, 0.5
    new = np.sqrt(2 * k1**2 - k2**2)
    values = [np.array([v]) for v in (new, k1, k2, 0.9, 0.9)]
    assert discrete_flow_residual(*values, 1, 1) == pytest.approx(0, abs=1e-16)
    assert discrete_flow_residual(*values, -1, 1) > 1e-3


def test_float32_survives_tiny_differences_of_large_vectors():
    rng = np.random.default_rng(0)
    base = rng.normal(size=200)
    vectors = [np.float32(base + 1e-4 * rng.normal(size=200)) for _ in range(5)]
    exact = dense_residual(*(v.astype(np.float64) for v in vectors), 2, -3)
    got = discrete_flow_residual(*vectors, 2, -3)
    assert got.dtype == np.float32
    assert got == pytest.approx(exact, rel=1e-4)
    # The expanded form Σ c_a c_b (ρ_a·ρ_b)² loses every digit here.
    c = np.float32([1, -1 - 1 / 2, 1 / 2, -1 / 3, 1 / 3])
    gram = np.stack(vectors) @ np.stack(vectors).T
    assert abs(c @ gram**2 @ c - exact) > 0.5 * exact


@given(seed=st.integers(0, 2**32 - 1))
def test_never_negative_though_terms_cancel(seed):
    rng = np.random.default_rng(seed)
    a, b, middle = (np.float32(rng.normal(size=30)) for _ in range(3))
    # (a − m) + (m − b) − (a − b) = 0 in exact arithmetic.
    got = squared_norm_of_differences([(a, middle), (middle, b), (a, b)], [1.0, 1.0, -1.0])
    scale = dense([(a, b)], [1.0])
    assert 0 <= got < 1e-4 * scale


def test_any_library_and_shape(backend):
    vectors = np.random.default_rng(1).normal(size=(5, 2, 3, 4))
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-4)):
        got = discrete_flow_residual(*(backend.array(v, dtype) for v in vectors), 1, 2.0)
        assert backend.owns(got)
        assert got.ndim == 0
        assert str(got.dtype).endswith(dtype)
        expected = dense_residual(*(v.ravel() for v in vectors), 1, 2.0)
        assert float(got) == pytest.approx(expected, rel=tolerance)


def test_torch_gradients():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    vectors = [torch.tensor(v, requires_grad=True) for v in rng.normal(size=(5, 3, 4))]
    steps = [torch.tensor(2.0, dtype=torch.float64, requires_grad=True), -1.5]

    def factored(*v):
        return discrete_flow_residual(*v, steps[0], steps[1])

    assert torch.autograd.gradcheck(factored, vectors)
    got = torch.autograd.grad(factored(*vectors), [*vectors, steps[0]])

    new, k1, k2, j1, j2 = (torch.outer(v.ravel(), v.ravel()) for v in vectors)
    matrix = new - k1 - (k1 - k2) / steps[0] + (j1 - j2) / steps[1]
    expected = torch.autograd.grad((matrix**2).sum(), [*vectors, steps[0]])
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_forms_no_matrix():
    # 10⁶ weights: a dense metric would take 8 terabytes.
    rho = np.random.default_rng(3).normal(size=(5, 10**6)).astype(np.float32)
    assert np.isfinite(discrete_flow_residual(*rho, 1, 1))


def test_bad_arguments():
    a, b = np.ones(3), np.ones(4)
    with pytest.raises(InputError, match="row_step must be finite and not zero"):
        discrete_flow_residual(a, a, a, a, a, 0, 1)
    with pytest.raises(InputError, match="column_step must be finite and not zero"):
        discrete_flow_residual(a, a, a, a, a, 1, 0.0)
    with pytest.raises(InputError, match=r"one size, got pairs\[0\]\[0\] 3, pairs\[0\]\[1\] 4"):
        squared_norm_of_differences([(a, b)], [1.0])
    with pytest.raises(InputError, match="one size, got new_k1 3, k1 3, k2 3, j1 4, j2 3"):
        discrete_flow_residual(a, a, a, b, a, 1, 1)
    with pytest.raises(InputError, match="got 1 pairs and 2 coefficients"):
        squared_norm_of_differences([(a, a)], [1.0, 2.0])
    with pytest.raises(InputError, match="got 0 pairs"):
        squared_norm_of_differences([], [])


@pytest.mark.parametrize("residual", [discrete_flow_residual, relative_flow_residual])
def test_nothing_that_is_not_finite_passes(residual, backend):
    numbers = np.random.default_rng(0).normal(size=(5, 2, 3))
    for value in (np.nan, np.inf):
        numbers[3, 1, 2] = value
        with pytest.raises(GeometryError, match=rf"j1\[5\] is {value}: expected finite") as caught:
            residual(*(backend.array(v, "float64") for v in numbers), 1, 2)
        assert caught.value.index == (5,)
        with pytest.raises(InputError, match=f"row_step must be finite and not zero.* got {value}"):
            residual(*np.ones((5, 3)), value, 1)
    with pytest.raises(GeometryError, match="squared norm overflows float32: scale"):
        residual(*np.float32(1e15 * np.arange(15).reshape(5, 3)), 1, 1)
    with pytest.raises(GeometryError, match=r"coefficients\[1\] is nan"):
        squared_norm_of_differences([(numbers[0], numbers[1])] * 2, [1.0, np.nan])


@given(seed=st.integers(0, 2**32 - 1), row=st.sampled_from([-3, -1, 2]), column=st.sampled_from([-2, 1, 3]))
def test_relative_residual_equals_the_dense_one(seed, row, column):
    new, k1, k2, j1, j2 = vectors = np.random.default_rng(seed).normal(size=(5, 7))
    g_new, g_k1, g_k2, g_j1, g_j2 = (np.eye(7) - np.outer(v, v) for v in (new, k1, k2, j1, j2))
    asked = (g_k1 - g_k2) / row - (g_j1 - g_j2) / column
    sides = np.sum((g_new - g_k1) ** 2) + np.sum(asked**2)
    got = relative_flow_residual(*vectors, row, column)
    assert relative_flow_residual(*vectors, row, column, residual=3.0) == pytest.approx(3 / sides, rel=1e-9)
    assert got == pytest.approx(np.sum((g_new - g_k1 - asked) ** 2) / sides, rel=1e-9)


def test_relative_residual_is_zero_on_the_flow_one_off_it_and_two_against_it():
    k2, k1, rest = 0.3, 0.5, np.array([0.9])
    ahead, against = np.sqrt(2 * k1**2 - k2**2), k2
    for new, expected in ((ahead, 0.0), (k1, 1.0), (against, 2.0)):
        vectors = [np.array([v]) for v in (new, k1, k2)]
        assert relative_flow_residual(*vectors, rest, rest, 1, 1) == pytest.approx(expected, abs=1e-12)
    assert relative_flow_residual(rest, rest, rest, rest, rest, 1, 1) == 0
    with pytest.raises(InputError, match="row_step must be finite and not zero"):
        relative_flow_residual(rest, rest, rest, rest, rest, 0, 1)
