"""Exponential and logarithm of symmetric matrices, with derivatives of any order at any eigenvalues.

Eigenvectors have no derivatives where eigenvalues are equal, a function of the matrix has them all the same
(Daleckii and Krein). Where torch or JAX may ask for some, the exponential is theirs, without eigenvectors;
the logarithm has a rule of its own::

    log S = ∫ (1 + s)^{-1} − R ds,   R = (S + s)^{-1},   0 < s < ∞
    D^m log S [E_1, …, E_m] = Σ over orders of the E of  ∫ (−1)^{m+1} R E_1 R E_2 … E_m R ds

so that the derivative of such a *word* by S puts one more matrix at each of its places in turn.

References
----------
Higham, *Functions of Matrices* (2008), Theorem 3.11 and Eq. 11.1.
"""

from __future__ import annotations

import functools
import importlib
import operator
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, from_numpy

_STEP, _NODES = 0.5, np.arange(-130, 131)
"""Of the trapezoidal rule in log s, which holds to rounding for condition numbers up to 1e20."""


def exp_symmetric(xp: Any, matrix: Array) -> Array:
    """Exponential of symmetric matrices ``(..., k, k)``."""
    if array_api_compat.is_torch_array(matrix):
        return importlib.import_module("torch").linalg.matrix_exp(matrix)
    if array_api_compat.is_jax_array(matrix):
        return importlib.import_module("jax").scipy.linalg.expm(matrix)
    values, vectors = xp.linalg.eigh(matrix)
    return _rebuilt(xp, xp.exp(values), vectors)


def log_symmetric(xp: Any, gap: Array, matrix: Array) -> Array:
    """Logarithm of positive definite matrices ``(..., k, k)``, given their difference to the identity too.

    Digits of small eigenvalues come from `matrix`, of those near 1 from `gap`; derivatives are by `gap`.
    """
    if array_api_compat.is_torch_array(gap):
        return _torch_word()(gap, matrix)
    if array_api_compat.is_jax_array(gap):
        return _jax_word()(gap, matrix)
    return _word(xp, gap, matrix)


def _word(xp: Any, gap: Array, matrix: Array, *letters: Array) -> Array:
    """``log S``, or for m letters E the integral ``∫ (−1)^{m+1} R E_1 R … E_m R ds``."""
    gaps, vectors = xp.linalg.eigh(gap)
    near = xp.abs(gaps) < 0.5
    values = xp.where(near, 1 + gaps, xp.linalg.eigvalsh(matrix))
    logs = xp.where(near, xp.log1p(xp.where(near, gaps, xp.zeros_like(gaps))), xp.log(values))
    if not letters:
        return _rebuilt(xp, logs, vectors)
    turn = xp.matrix_transpose(vectors)
    turned = [turn @ letter @ vectors for letter in letters]
    if len(letters) == 1:
        return vectors @ (_divided(xp, values) * turned[0]) @ turn
    centre = xp.sum(logs, axis=-1) / logs.shape[-1]
    s = xp.exp(centre[..., None] + _STEP * from_numpy(_NODES, logs))  # (..., q)
    resolvents = 1 / (values[..., None, :] + s[..., None])  # (..., q, k)
    product = resolvents[..., :, None] * turned[0][..., None, :, :] * resolvents[..., None, :]
    for letter in turned[1:]:
        product = (product @ letter[..., None, :, :]) * resolvents[..., None, :]
    sign = 1 if len(letters) % 2 else -1
    total = xp.sum(sign * _STEP * s[..., None, None] * product, axis=-3)
    return vectors @ total @ turn


def _divided(xp: Any, values: Array) -> Array:
    """``(log a − log b) / (a − b)`` of all pairs, ``2/(a + b) artanh(z)/z`` with ``z = (a − b)/(a + b)``."""
    a, b = values[..., :, None], values[..., None, :]
    z = (a - b) / (a + b)
    near = xp.abs(z) < 1e-2
    square = xp.where(near, z, xp.zeros_like(z)) ** 2
    series = 1 + square / 3 * (1 + 3 * square / 5 * (1 + 5 * square / 7 * (1 + 7 * square / 9)))
    safe = xp.where(near, xp.ones_like(z), z)
    other = xp.where(near, xp.ones_like(z), xp.log(a) - xp.log(b)) / (2 * safe)
    return xp.where(near, series, other) * 2 / (a + b)


def _rebuilt(xp: Any, values: Array, vectors: Array) -> Array:
    """The symmetric matrix of eigenvalues and eigenvectors."""
    return (vectors * values[..., None, :]) @ xp.matrix_transpose(vectors)


def _change(word: Callable[..., Array], arrays: Any, changes: Any) -> Array:
    """The derivative of a word along changes of its matrix and of its letters."""
    gap, matrix, *letters = arrays
    change, _, *others = changes
    places = range(len(letters))
    terms = [word(gap, matrix, *letters[:i], change, *letters[i:]) for i in (*places, len(letters))]
    terms += [word(gap, matrix, *letters[:i], others[i], *letters[i + 1 :]) for i in places]
    return functools.reduce(operator.add, terms)


def _adjoint(word: Callable[..., Array], arrays: Any, slope: Array, before: int, after: int) -> Array:
    """What multiplies a matrix X between the first letters A and the last B: ⟨G, A X B⟩ = ⟨(B Gᵀ A)ᵀ, X⟩."""
    gap, matrix, *letters = arrays
    turned = word(gap, matrix, *letters[after:], _transposed(slope), *letters[:before])
    return _transposed(turned)


def _transposed(matrix: Array) -> Array:
    return array_api_compat.array_namespace(matrix).matrix_transpose(matrix)


@functools.cache
def _jax_word() -> Callable[..., Array]:
    """A primitive: a function with `jax.custom_jvp` would lose its rule between two transformations."""
    jax = importlib.import_module("jax")
    core, (ad, batching, mlir) = (
        importlib.import_module("jax.extend.core"),
        (importlib.import_module(f"jax.interpreters.{name}") for name in ("ad", "batching", "mlir")),
    )
    primitive = core.Primitive("logarithm_of_symmetric")
    word = primitive.bind

    def evaluate(*arrays: Array) -> Array:
        return _word(jax.numpy, *arrays)

    def changed(arrays: Any, changes: Any) -> tuple[Array, Array]:
        return word(*arrays), _change(word, arrays, [ad.instantiate_zeros(change) for change in changes])

    def transposed(slope: Array, *arrays: Any) -> list[Any]:
        (place,) = (i for i, array in enumerate(arrays) if ad.is_undefined_primal(array))
        found: list[Any] = [None] * len(arrays)
        found[place] = _adjoint(word, arrays, ad.instantiate_zeros(slope), place - 2, place - 1)
        return found

    def mapped(arrays: Any, axes: Any) -> tuple[Array, int]:
        (size, *_) = (a.shape[axis] for a, axis in zip(arrays, axes, strict=True) if axis is not None)
        return word(*(batching.bdim_at_front(a, axis, size) for a, axis in zip(arrays, axes, strict=True))), 0

    primitive.def_impl(jax.jit(evaluate))
    primitive.def_abstract_eval(lambda gap, *_: gap)
    mlir.register_lowering(primitive, mlir.lower_fun(evaluate, multiple_results=False))
    ad.primitive_jvps[primitive] = changed
    ad.primitive_transposes[primitive] = transposed
    batching.primitive_batchers[primitive] = mapped
    return word  # type: ignore[no-any-return]


@functools.cache
def _torch_word() -> Callable[..., Array]:
    torch = importlib.import_module("torch")

    class Word(torch.autograd.Function):  # type: ignore[name-defined, misc]
        generate_vmap_rule = True

        @staticmethod
        def forward(*arrays: Array) -> Array:
            return _word(array_api_compat.array_namespace(arrays[0]), *arrays)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Array) -> None:
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def jvp(ctx: Any, *changes: Any) -> Array:
            arrays = ctx.saved_tensors
            filled = [torch.zeros_like(a) if c is None else c for a, c in zip(arrays, changes, strict=True)]
            return _change(Word.apply, arrays, filled)

        @staticmethod
        def backward(ctx: Any, slope: Array) -> tuple[Any, ...]:
            arrays = ctx.saved_tensors
            places = range(len(arrays) - 2)
            own = [_adjoint(Word.apply, arrays, slope, i, i) for i in (*places, len(places))]
            others = [_adjoint(Word.apply, arrays, slope, i, i + 1) for i in places]
            return functools.reduce(operator.add, own), None, *others

    return Word.apply  # type: ignore[no-any-return]
