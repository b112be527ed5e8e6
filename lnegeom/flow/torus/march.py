"""From one time to the next: steps of a fixed length, or of one that an error estimate chooses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lnegeom._array import Array
from lnegeom.flow.torus.integrators import Method
from lnegeom.flow.torus.rhs import LeftCone
from lnegeom.flow.torus.spectral import Modes

SAFETY, LEAST, MOST = 0.9, 0.2, 4.0
SMALLEST = 1e-9
"""Steps below this part of the whole time are given up: the solution is singular, or the tolerance absurd."""
ROUNDING, TINY = 20.0, 1e-300
"""Errors below this many units of rounding of the state are not worth a smaller step."""


class Halted(Exception):
    """The march cannot go on; its ``time`` and ``u`` are the last good ones."""

    def __init__(self, coefficients: Array | None):
        super().__init__()
        self.coefficients = coefficients
        """The state that is not positive definite, or None where only the step became too small."""


class March:
    """A solution on its way: time, state, and the length of the next step.

    Parameters
    ----------
    method : Method
    modes : Modes
    u : array
        Initial state.
    dt : float
        Longest step, or the first where `tolerance` is given.
    tolerance : float or None
        Greatest error of a step relative to the fluctuation (the mean-free part) of the state; None keeps dt.
    duration : float
        The whole time.
    """

    def __init__(
        self,
        method: Method,
        modes: Modes,
        u: Array,
        dt: float,
        tolerance: float | None,
        duration: float,
    ):
        self.method = method
        self.modes = modes
        self.time = 0.0
        self.u = u
        self.first = method.nonlinear(u)
        self.dt = dt
        self.used = dt
        self.tolerance = tolerance
        self.smallest = SMALLEST * duration
        # The mean does not decay and is no measure of what does.
        self.fluctuation = 1 - _delta(modes)

    def restore(self, u: Array, time: float, dt: float, used: float) -> None:
        """Go on from a checkpoint."""
        self.u, self.time, self.dt, self.used = u, time, dt, used
        self.first = self.method.nonlinear(u)

    def to(self, end: float, on_step: Callable[[], None]) -> None:
        """March to a time, in steps of equal length as far as errors allow; `on_step` sees each that is kept.

        Raises
        ------
        Halted
            If it cannot: time and state are then the last good ones.
        """
        while self.time < end:
            start = self.time
            count = max(1, math.ceil((end - start) / self.dt * (1 - 1e-12)))
            # A fixed step divides the interval already; dividing anew would change its last digit.
            dt = self.dt if self.tolerance is None else (end - start) / count
            for number in range(1, count + 1):
                if not self._step(dt):
                    break
                self.time = end if number == count else start + number * dt
                on_step()
                if self.dt < dt * (1 - 1e-9) or self.dt > 1.5 * dt:
                    break  # divide what is left anew

    def _step(self, dt: float) -> bool:
        """Take a step, or shorten it and say no; either way ``dt`` becomes what the error asks for."""
        try:
            new = self.method.step(self.u, self.first, dt)
            first = self.method.nonlinear(new)
        except LeftCone as reason:
            if self.tolerance is None:
                raise Halted(reason.coefficients) from None
            return self._reject(dt * LEAST, reason.coefficients)
        if self.tolerance is not None:
            fluctuation, size, error = self.modes.rms(
                (self.u, self.fluctuation), (self.u, 1.0), (self.method.error(new, first), 1.0)
            )
            ratio = error / (self.tolerance * fluctuation + TINY + ROUNDING * self.modes.eps * size)
            factor = MOST if ratio == 0 else min(MOST, max(LEAST, SAFETY * ratio**-0.25))
            if not ratio <= 1:
                return self._reject(dt * min(SAFETY, factor), None)
            self.dt = dt * factor
        self.u, self.first, self.used = new, first, dt
        return True

    def _reject(self, dt: float, coefficients: Array | None) -> bool:
        self.dt = dt
        if dt < self.smallest:
            raise Halted(coefficients)
        return False


def _delta(modes: Modes) -> Array:
    """1 at the mean, 0 elsewhere."""
    values = np.zeros(modes.kept)
    values[(0,) * modes.dim] = 1.0
    return modes.real(values)
