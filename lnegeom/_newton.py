"""Damped Newton iteration for the one minimization that duality asks for, batched."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnegeom._array import Array, GeometryError, InputError, check_where, dot, matvec
from lnegeom.potentials import Potential

_STEPS = 60
_HALVINGS = 40


def minimize(
    xp: Any, potential: Potential, start: Array, slope: Array, directions: Array | None, name: str
) -> Array:
    """Minimize ``ψ(x) − ⟨slope, x⟩`` over ``x = start + directions s``, in the dtype of `start`.

    `start` and `slope` are ``(..., n)`` of one shape, `directions` is ``(n, m)`` or ``(..., n, m)`` of full
    column rank, or None for all of R^n; then the minimizer inverts the gradient. The last step is a plain
    Newton step from a point known to square root of the rounding error: it doubles the digits, and makes the
    result differentiable in `slope`.

    Raises
    ------
    GeometryError
        At the first point (called `name`) that did not converge.
    InputError
        Inside ``torch.func.vmap`` or ``jax.jit``, where values are not known. (Derivatives are fine.)
    """
    eps = float(xp.finfo(start.dtype).eps)
    x, step, decrement, settled = start, start, start, start[..., 0] > 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for _ in range(_STEPS):
            residual = slope - potential._gradient(xp, x)
            step = _newton_step(xp, potential, x, residual, directions)
            decrement = dot(xp, residual, step)
            # What rounding of the slope alone leaves of the decrement.
            noise = 16 * eps**2 * dot(xp, slope, _newton_step(xp, potential, x, slope, directions))
            settled = decrement <= eps + noise
            if _decide(xp.all(settled)):
                return x + step
            x = _advance(xp, potential, x, slope, step, decrement)
    message = (
        f"{{point}}: Newton's iteration on {potential!r} did not converge in {_STEPS} steps (decrement "
        "{value}): expected a point away from the boundary of the dual domain"
    )
    check_where(xp, settled, decrement, name, message)
    return x + step


def _decide(condition: Any) -> bool:
    """The value of a condition; inside a trace there is none, and the number of steps is not known."""
    try:
        return bool(condition)
    except (RuntimeError, TypeError):
        raise InputError(
            "Newton's iteration expected values to look at, got traced ones (torch.func.vmap, jax.jit); "
            "leave it out of the trace: it takes batches"
        ) from None


def _newton_step(xp: Any, potential: Potential, x: Array, residual: Array, directions: Array | None) -> Array:
    if directions is None:
        return potential._hessian_solve(xp, x, residual)
    transposed = xp.matrix_transpose(directions)
    reduced = transposed @ (potential._hessian(xp, x) @ directions)
    return matvec(directions, matvec(xp.linalg.inv(reduced), matvec(transposed, residual)))


def _advance(xp: Any, potential: Potential, x: Array, slope: Array, step: Array, decrement: Array) -> Array:
    """Halve the step until the point lies in the domain and the objective falls (Armijo's rule)."""
    size = xp.ones_like(decrement)
    for _ in range(_HALVINGS):  # one fraction for the whole batch: the domain check names one offender only
        try:
            if _decide(xp.all(xp.isfinite(x + size[..., None] * step))):
                potential._check_domain(xp, x + size[..., None] * step)
                break
        except GeometryError:
            pass
        size = size / 2
    before, scale = _objective(xp, potential, x, slope)
    for _ in range(_HALVINGS):
        candidate = x + size[..., None] * step
        after = _objective(xp, potential, candidate, slope)[0]
        # Where rounding of the values hides the fall, its derivative along the step says the same thing
        # (Hager and Zhang 2005, Eq. 27).
        rise = -dot(xp, slope - potential._gradient(xp, candidate), step)
        falls = after <= before - 1e-4 * size * decrement
        falls = falls | ((after <= before + 1e-6 * scale) & (rise <= decrement / 2))
        if _decide(xp.all(falls)):
            break
        size = xp.where(falls, size, size / 2)
    return x + size[..., None] * step


def _objective(xp: Any, potential: Potential, x: Array, slope: Array) -> tuple[Array, Array]:
    """``ψ(x) − ⟨slope, x⟩``, and the size of what is subtracted there."""
    value, product = potential._value(xp, x), dot(xp, slope, x)
    return value - product, 1 + xp.abs(value) + xp.abs(product)
