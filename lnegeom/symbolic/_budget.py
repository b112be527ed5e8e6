"""A clock that long computations look at."""

from __future__ import annotations

import time


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
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = seconds
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
