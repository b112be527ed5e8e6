"""A claim of a paper, and the evidence for what is said of it."""

from __future__ import annotations

import importlib.util
import inspect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from lnegeom._array import InputError

Status = Literal["holds", "holds with a correction", "does not hold", "not decided here"]
Need = Literal["torch", "docs"]

DOCS = Path(__file__).parents[2] / "docs"
"""The pages and recorded runs of a source checkout."""


@dataclass(frozen=True)
class Figure:
    """A measured number and the bounds that it must meet for the claim's status to be right.

    Parameters
    ----------
    name : str
        What was measured.
    value : float
        The number.
    low, high : float
        Bounds, both included; infinite where there is none.

    Examples
    --------
    >>> from lnegeom.claims import Figure
    >>> Figure("largest entry of Riemann", 3e-16, high=1e-12).met
    True
    >>> Figure("power of t", 0.26, 0.24, 0.27).bound
    '0.24 … 0.27'
    """

    name: str
    value: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def met(self) -> bool:
        """Whether the value is inside its bounds."""
        return self.low <= self.value <= self.high

    @property
    def bound(self) -> str:
        """The bounds as text."""
        if self.low == self.high:
            return f"= {self.low:g}"
        if self.low == -math.inf:
            return f"≤ {self.high:g}"
        if self.high == math.inf:
            return f"≥ {self.low:g}"
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        if half < 0.02 * abs(middle):
            return f"{middle:g} ± {half:.1g}"
        return f"{self.low:g} … {self.high:g}"


Evidence = Callable[[], Sequence[Figure]]


class Finding(NamedTuple):
    """What measuring a claim gave.

    Attributes
    ----------
    claim : Claim
        The claim.
    figures : tuple of Figure
        Empty where something is missing.
    seconds : float
        How long it took.
    missing : str
        What has to be there first, or empty.
    """

    claim: Claim
    figures: tuple[Figure, ...]
    seconds: float
    missing: str = ""

    @property
    def met(self) -> bool:
        """Whether all figures are inside their bounds."""
        return all(figure.met for figure in self.figures)


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, in our words, with its status and a function that measures the evidence.

    Attributes
    ----------
    name : str
        Identifier, as on the command line.
    source : str
        Paper, and number of the equation, theorem or table.
    statement : str
        What is claimed.
    status : {"holds", "holds with a correction", "does not hold", "not decided here"}
        What is so.
    instead : str
        What we say.
    where : tuple of str
        Tests, benchmarks and pages, as paths in the repository, that hold more.
    evidence : callable
        Measures figures now, in seconds, deterministically. Its docstring says how.
    needs : tuple of {"torch", "docs"}
        What the evidence cannot do without: torch, or the recorded runs in a source checkout's docs.
    """

    name: str
    source: str
    statement: str
    status: Status
    instead: str
    where: tuple[str, ...]
    evidence: Evidence
    needs: tuple[Need, ...] = ()

    @property
    def how(self) -> str:
        """How the evidence is measured."""
        return " ".join((inspect.getdoc(self.evidence) or "").split())

    @property
    def missing(self) -> str:
        """What the evidence needs and is not there, or an empty string."""
        if "torch" in self.needs and importlib.util.find_spec("torch") is None:
            return 'needs torch: pip install "lnegeom[torch]"'
        if "docs" in self.needs and not (DOCS / "results").is_dir():
            return "needs the recorded runs in docs/results: run it in a checkout of the repository"
        return ""

    def measure(self) -> Finding:
        """Run the evidence, unless something is missing.

        Raises
        ------
        RuntimeError
            If a figure is not finite.

        Examples
        --------
        >>> from lnegeom.claims import find
        >>> (claim,) = find(["hyperbolic-flat"])
        >>> claim.status, claim.measure().met
        ('does not hold', True)
        """
        if self.missing:
            return Finding(self, (), 0.0, self.missing)
        start = time.perf_counter()
        figures = tuple(
            Figure(figure.name, float(figure.value), figure.low, figure.high) for figure in self.evidence()
        )
        for figure in figures:
            if not math.isfinite(figure.value):
                raise RuntimeError(f"{self.name}: expected a finite {figure.name}, measured {figure.value}")
        return Finding(self, figures, time.perf_counter() - start)


class Group(NamedTuple):
    """Claims about one subject."""

    title: str
    claims: tuple[Claim, ...]


def largest(array: Any) -> float:
    """The size of the largest entry."""
    return float(np.max(np.abs(array)))


def claim(
    source: str,
    statement: str,
    status: Status,
    *,
    instead: str,
    where: Sequence[str],
    needs: Sequence[Need] = (),
) -> Callable[[Evidence], Claim]:
    """Make an evidence function a claim, named as it is; for use as a decorator.

    Raises
    ------
    InputError
        If the status or a need is unknown, or `where` is no list.

    Examples
    --------
    >>> from lnegeom.claims import Figure, claim
    >>> @claim("here", "Two and two are four.", "holds", instead="They are.", where=())
    ... def two_and_two():
    ...     '''By adding.'''
    ...     return [Figure("their sum", 2 + 2, 4, 4)]
    >>> two_and_two.name, two_and_two.measure().met
    ('two-and-two', True)
    """
    if status not in get_args(Status):
        raise InputError(f"status must be one of {', '.join(get_args(Status))}, got {status!r}")
    if isinstance(where, str):
        raise InputError(f"where must be a list of paths, got the text {where!r}: write [{where!r}]")
    if isinstance(needs, str) or not set(needs) <= set(get_args(Need)):
        raise InputError(f"needs must be a list of some of {', '.join(get_args(Need))}, got {needs!r}")

    def decorate(evidence: Evidence) -> Claim:
        name = evidence.__name__.replace("_", "-")
        return Claim(name, source, statement, status, instead, tuple(where), evidence, tuple(needs))

    return decorate
