"""A clock that long computations look at."""

from __future__ import annotations

import math
import numbers
import time
from typing import Any

from lnegeom._array import InputError


class TimeBudgetError(RuntimeError):
    """The time budget is spent.

    Attributes
    ----------
    partial : Tensor or None
        The components that were ready, where a tensor was being computed; the others are None.
    """

    def __init__(self, message: str, partial: object = None):
        super().__init__(message)
        self.partial = partial


class Budget:
    """Seconds of work allowed, counted from `start`; None is no limit.

    Parameters
    ----------
    seconds : float or None
        The limit.

    Raises
    ------
    InputError
        If the limit is not a finite number of seconds, 0 or more.
    """

    def __init__(self, seconds: Any = None) -> None:
        if seconds is not None:
            number = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
            if not number or not 0 <= seconds < math.inf:
                raise InputError(f"budget: expected seconds, 0 or more, or None, got {seconds!r:.80}")
        self.seconds: float | None = None if seconds is None else float(seconds)
        self._end: float | None = None

    def start(self) -> None:
        """Begin to count."""
        self._end = None if self.seconds is None else time.monotonic() + self.seconds

    def stop(self) -> None:
        """Count no more: what comes is not limited."""
        self._end = None

    def check(self) -> None:
        """Raise TimeBudgetError if the time is over."""
        if self._end is not None and time.monotonic() > self._end:
            raise TimeBudgetError(f"the time budget of {self.seconds:g} s is spent")
