"""Special functions for arrays of any library: log-gamma and its derivatives, Bessel functions.

numpy arrays go to scipy, imported on first use. Elsewhere log-gamma and polygamma are Stirling's series after
ten steps of the recurrence (absolute error near 1e-15 for x > 0): unlike the libraries' own (torch's trigamma
is right to 5e-10 only), they can be differentiated as often as one likes, to the same accuracy.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any, TypeVar

import array_api_compat
import numpy as np

from lnegeom._array import Array

_SHIFT = 10
# Where series of negative powers take over: eight terms are exact to rounding, cancellation is still small.
_FAR = 16.0
# B_2j / (2j (2j − 1)): coefficients of y^{1 − 2j} in log Γ(y) − (y − ½) log y + y − ½ log 2π (DLMF 5.11.1).
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)
_STIRLING = tuple(b / ((2 * j) * (2 * j - 1)) for j, b in enumerate(_BERNOULLI, start=1))

Function = TypeVar("Function", bound=Callable[..., Any])


def one_operation(function: Function) -> Function:
    """Have JAX compile a function of one array, its last argument, and see it as one operation.

    Series are hundreds of small operations: so JAX traces and differentiates them once for each shape and
    each value of the other arguments, not at every call.
    """

    @functools.cache
    def compiled(count: int) -> Any:
        return importlib.import_module("jax").jit(function, static_argnums=tuple(range(count - 1)))

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        if array_api_compat.is_jax_array(arguments[-1]):
            return compiled(len(arguments))(*arguments)
        return function(*arguments)

    return call  # type: ignore[return-value]  # the same arguments and result


@one_operation
def gammaln(xp: Any, x: Array) -> Array:
    """``log Γ(x)`` for x > 0, of the shape of x."""
    if array_api_compat.is_numpy_namespace(xp):
        return _scipy().gammaln(x)
    y = x + _SHIFT
    series = sum((c / y ** (2 * j + 1) for j, c in enumerate(_STIRLING)), xp.zeros_like(x))
    steps = sum((xp.log(x + j) for j in range(_SHIFT)), xp.zeros_like(x))
    return (y - 0.5) * xp.log(y) - y + math.log(2 * math.pi) / 2 + series - steps


@one_operation
def polygamma(xp: Any, order: int, x: Array) -> Array:
    """Derivative of that order of the digamma function (order 0 is digamma itself), x > 0."""
    if array_api_compat.is_numpy_namespace(xp):
        return np.asarray(_scipy().polygamma(order, x), dtype=x.dtype)[()]
    y = x + _SHIFT
    sign = (-1) ** (order + 1)
    # Term by term derivatives of Stirling's series, each of order + 1 of y^{1 − 2j}.
    total = xp.log(y) if order == 0 else sign * math.factorial(order - 1) / y**order
    total = total + sign * math.factorial(order) / (2 * y ** (order + 1))
    for j, c in enumerate(_STIRLING):
        rising = math.prod(range(2 * j + 1, 2 * j + 2 + order))
        total = total + sign * c * rising / y ** (2 * j + 2 + order)
    for j in range(_SHIFT):
        total = total + sign * math.factorial(order) / (x + j) ** (order + 1)
    return total


@one_operation
def trigamma_excess(xp: Any, x: Array) -> tuple[Array, Array, Array]:
    """``D = x ψ₁(x) − 1`` and ``D' = ψ₁ + x ψ₂`` and ``D + x D'``, to relative rounding, x > 0.

    ψ₁ is the trigamma function. D falls off as 1/(2x), so that where x is large its own series is summed.
    """
    far = x > _FAR
    near, y = xp.where(far, xp.ones_like(x), x), xp.where(far, x, _FAR * xp.ones_like(x))
    first, second = polygamma(xp, 1, near), polygamma(xp, 2, near)
    value, slope = near * first - 1, first + near * second
    # D ~ 1/(2y) + Σ B_2j y^{−2j} (DLMF 5.15.8)
    terms = [(2 * j, b * (1 / y) ** (2 * j)) for j, b in enumerate(_BERNOULLI, start=1)]
    series = sum((term for _, term in terms), 1 / (2 * y))
    series_slope = sum((-power * term / y for power, term in terms), -((1 / y) ** 2) / 2)
    rest = sum(((1 - power) * term for power, term in terms), xp.zeros_like(y))
    return (
        xp.where(far, series, value),
        xp.where(far, series_slope, slope),
        xp.where(far, rest, value + near * slope),
    )


def scaled_bessel(xp: Any, order: int, x: Array) -> Array:
    """``exp(−x) I_order(x)`` for order 0 or 1 and x > 0: scipy's, torch's or JAX's."""
    name = f"i{order}e"
    if array_api_compat.is_torch_namespace(xp):
        return getattr(xp.special, name)(x)
    if array_api_compat.is_jax_namespace(xp):
        return getattr(importlib.import_module("jax.scipy.special"), name)(x)
    return through_scipy(xp, name, x)


def through_scipy(xp: Any, name: str, x: Array, *before: float) -> Array:
    """A function of ``scipy.special`` of an array whose memory numpy can read, given back in its library."""
    values = x if isinstance(x, np.ndarray | np.generic) else np.from_dlpack(x)
    result = getattr(_scipy(), name)(*before, values)
    return xp.asarray(result, dtype=x.dtype, device=array_api_compat.device(x))


def _scipy() -> Any:
    return importlib.import_module("scipy.special")
