"""Which right-hand side serves which arrays."""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import array_api_compat

from lnegeom.flow.torus.rhs.fused import Borrowed, Fused
from lnegeom.flow.torus.rhs.plain import Compiled, Equation, Plain
from lnegeom.flow.torus.spectral import Modes

COMPILE_POINTS = 1 << 18
"""From this size of grid on torch's compiler, which takes seconds to minutes, is worth its while."""


def right_hand_side(xp: Any, modes: Modes, equation: Equation, workers: int = 1) -> Any:
    """Return the map from coefficients of h to those of N(h), both ``(n(n+1)/2, *kept)``.

    It raises `LeftCone` where the metric is not positive definite. Where numba is installed it serves arrays
    of numpy, and those of torch and JAX that lie in the CPU's memory; else torch's compiler, on large grids,
    and JAX's.
    """
    torch, jax = array_api_compat.is_torch_namespace(xp), array_api_compat.is_jax_namespace(xp)
    if importlib.util.find_spec("numba") is not None:
        if array_api_compat.is_numpy_namespace(xp):
            return Fused(modes, equation, workers)
        if (torch or jax) and modes.on_host:
            return Borrowed(xp, modes, equation, workers)
    if jax or (torch and math.prod(modes.shape) >= COMPILE_POINTS):
        return Compiled(xp, modes, equation)
    return Plain(xp, modes, equation)
