"""How numbers are held to laws, and the report of the laws that they break."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnegeom._array import label
from lnegeom.testing._law import Law, Numbers


@dataclass(frozen=True)
class Failure:
    """One law that does not hold, where it fails worst.

    Attributes
    ----------
    law : str
        Its name.
    statement : str
        What it says.
    cause : str
        What usually breaks it; empty where an exception says what did.
    index : int or None
        Index of the worst point among the points flattened; None where the failure is of no one point.
    entry : tuple of int
        The component there.
    found, expected, allowed : float
        What it is, what it should be, and how much they may differ; NaN where nothing was computed.
    reason : str
        What went wrong where nothing was computed; else empty.
    """

    law: str
    statement: str
    cause: str
    index: int | None = None
    entry: tuple[int, ...] = ()
    found: float = math.nan
    expected: float = math.nan
    allowed: float = math.nan
    reason: str = ""


class LawError(AssertionError):
    """Laws that an object breaks, each with its place, its numbers, and what usually causes it.

    Attributes
    ----------
    failures : tuple of Failure
        One for each law broken.
    """

    def __init__(self, message: str, failures: tuple[Failure, ...] = ()):
        super().__init__(message)
        self.failures = failures


def hold(
    subject: str,
    laws: Mapping[str, Law],
    measured: Any,
    tolerance: Callable[[Law], tuple[float, float]],
    points: Numbers,
) -> None:
    """Raise a LawError that names every law which numbers measured at points ``(B, n)`` break.

    `tolerance` gives the relative and the absolute difference that a law allows.
    """
    __tracebackhide__ = True  # pytest then shows the report and the user's line alone
    failures = []
    for name, law in laws.items():
        try:
            failure = broken(name, law, measured, *tolerance(law))
        except Exception as error:  # whatever a user's code raises is part of the report
            cause = law.cause if type(error) is AssertionError else ""
            failure = Failure(name, law.statement, cause, reason=described(error))
        failures += [failure] if failure else []
    if failures:
        head = f"{subject} breaks {len(failures)} of {len(laws)} laws"
        told = [lines(failure, points) for failure in failures]
        raise LawError("\n\n".join([head, *told]), tuple(failures))


def named(thing: Any) -> str:
    """How a thing prints, and its class where a subclass prints as its parent does."""
    name, printed = type(thing).__name__, repr(thing)
    return printed if printed.startswith(name) else f"{name} [{printed}]"


def described(error: Exception) -> str:
    """An exception in one line; that of a law which only asserts, in its own words."""
    return str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"


def broken(name: str, law: Law, measured: Any, relative: float, absolute: float) -> Failure | None:
    """The worst defect beyond what is allowed, else None.

    That is `relative` next to the larger of a point's terms and their unit, and `absolute` besides.
    """
    worst, share = None, 1.0
    for found, expected, *unit in law.defects(measured):
        found, expected = np.broadcast_arrays(np.asarray(found, float), np.asarray(expected, float))
        each = tuple(range(1, found.ndim))
        size = np.max(np.abs(expected), axis=each, keepdims=True, initial=0.0)
        least = np.reshape(unit[0] if unit else 1.0, (-1, *(1 for _ in each)))
        allowed = relative * (np.maximum(least, size) + np.abs(expected)) + absolute
        allowed = np.broadcast_to(allowed, found.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.where(found == expected, 0.0, np.abs(found - expected) / allowed)
        excess = np.where(np.isnan(excess), np.inf, excess)
        at = np.unravel_index(int(np.argmax(excess)), excess.shape)
        if excess[at] > share:
            share = float(excess[at])
            index, *entry = (int(i) for i in at)
            numbers = float(found[at]), float(expected[at]), float(allowed[at])
            worst = Failure(name, law.statement, law.cause, index, tuple(entry), *numbers)
    return worst


def lines(failure: Failure, points: Numbers) -> str:
    """What a report says of one law."""
    head = f"  {failure.law}: {failure.statement}"
    tail = f"\n    usual cause: {failure.cause}" if failure.cause else ""
    if failure.reason:
        return f"{head}\n    {failure.reason}{tail}"
    point = np.array2string(points[failure.index or 0], precision=6, separator=", ", threshold=12)
    place = " ".join(point.replace("[", "[ ").split()).replace("[ ", "[")
    entry = f", {label('entry ', failure.entry)}" if failure.entry else ""
    return (
        f"{head}\n    at x[{failure.index}] = {place}{entry}: found {failure.found:.9g}, expected "
        f"{failure.expected:.9g}, allowed difference {failure.allowed:.2g}{tail}"
    )
