"""A clock that long computations look at."""

from __future__ import annotations

import inspect
import math
import numbers
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Seconds of work allowed, counted while it is `running`; None is no limit.

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
        self._doing: list[str] = []

    @classmethod
    def of(cls, given: float | Budget | None) -> Budget:
        """Return a budget as it is, so that steps share one clock, or one of so many seconds."""
        return given if isinstance(given, Budget) else cls(given)

    @contextmanager
    def running(self, doing: str, *, watched: bool = False) -> Iterator[None]:
        """Count the time of a block; one inside another has the outer one's clock.

        Parameters
        ----------
        doing : str
            What the error says was going on.
        watched : bool
            Whether the block is watched from outside, see `watched`.
        """
        outermost = not self._doing
        self._doing.append(doing)
        if outermost and self.seconds is not None:
            self._end = time.monotonic() + self.seconds
        try:
            if watched:
                with self.watched():
                    yield
            else:
                yield
        finally:
            self._doing.pop()
            if outermost:
                self._end = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look at the clock at every call that the block makes, as for sympy, which looks at none.

        That slows the block down, and may end it anywhere: it must leave nothing of ours half done.
        """
        if self._end is None or sys.getprofile() is not None:
            yield
            return

        def look(frame: Any, _event: str, _argument: Any) -> None:
            # What Python calls on its own, such as callbacks of its collector, or a generator that is thrown
            # away, must not be ended: it would not be heard, and Python would stop to look.
            own = frame.f_globals.get("__name__", "").startswith(("sympy", "lnegeom"))
            if own and frame.f_code.co_name != "__del__" and not frame.f_code.co_flags & inspect.CO_GENERATOR:
                self.check()

        self.check()
        sys.setprofile(look)
        try:
            yield
        finally:
            sys.setprofile(None)
        self.check()  # sympy may have caught the error

    def check(self) -> None:
        """Raise TimeBudgetError if the time is over."""
        if self._end is not None and time.monotonic() >= self._end:
            raise TimeBudgetError(f"the time budget of {self.seconds:g} s is spent while {self._doing[-1]}")
