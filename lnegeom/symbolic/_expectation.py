"""Means under a probability density: exact, and in numbers to check them."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy as sp

from lnegeom._array import InputError

_DRAWS, _AGREEING, _CLOSE = 40, 2, 1e-5
_LAST = 2000  # where an infinite sum is cut in numbers


@dataclass(frozen=True)
class Interval:
    """An interval of the real line; its ends may be ±oo."""

    low: Any
    high: Any


@dataclass(frozen=True)
class Integers:
    """Integers from `low` to `high`, which may be oo."""

    low: Any
    high: Any


Support = dict[Any, Interval | Integers]


class Expectation:
    """Means under a density that depends on parameters.

    Parameters
    ----------
    density : sympy expression
        p.
    support : dict from symbol to Interval or Integers
        The variables.
    """

    def __init__(self, density: Any, support: Support):
        self.density, self.support = density, support
        self.variables = tuple(support)
        self.parameters: list[Any] = sorted(density.free_symbols - set(support), key=str)
        self._points: list[dict[Any, float]] = []

    def check_total(self) -> None:
        """Find two points of the parameters at which the density integrates to 1, in numbers.

        Raises
        ------
        InputError
            If it integrates to something else, or has no integral at any point tried.
        """
        wrong: list[tuple[float, dict[Any, float]]] = []
        for at in itertools.islice(self._draws(), _DRAWS):
            total = self._number(sp.S.One, at)
            if total is None:
                continue
            if abs(total - 1) < _CLOSE:
                self._points.append(at)
            else:
                wrong.append((total, at))
            if len(self._points) == (_AGREEING if self.parameters else 1):
                return
            if len(wrong) > _AGREEING and not self._points:
                break
        if wrong:
            total, at = wrong[0]
            where = ", ".join(f"{p} = {v:.4g}" for p, v in at.items())
            raise InputError(f"the density integrates to {total:.6g} at {where}: expected 1; normalise it")
        if not self._points:
            raise InputError(
                "the density has no finite integral at any parameters tried: expected one of integral 1 over "
                "the support; declare assumptions such as {'sigma': 'positive'}"
            )

    def _draws(self) -> Iterator[dict[Any, float]]:
        rng = random.Random(0)
        while True:
            yield {p: _drawn(p, rng) for p in self.parameters}

    def of(self, statistic: Any) -> Any:
        """Return ``E[t]`` in closed form.

        Raises
        ------
        InputError
            If sympy finds none, or it is not what the numbers say.
        """
        value = statistic * self.density
        for variable, domain in self.support.items():
            limits = (variable, domain.low, domain.high)
            value = (
                sp.integrate(value, limits) if isinstance(domain, Interval) else sp.summation(value, limits)
            )
        if value.has(sp.Integral, sp.Sum, sp.Piecewise, sp.nan, sp.oo, sp.zoo, sp.I):
            raise InputError(
                f"no closed form was found for the mean of {statistic}; declare assumptions such as "
                "{'sigma': 'positive'}, or give the log-partition"
            )
        for at in self._points:
            expected, found = self._number(statistic, at), complex(value.subs(at).evalf())
            if expected is not None and not abs(found - expected) <= 1e-3 * (1 + abs(expected)):
                raise InputError(
                    f"the mean of {statistic} came out as {value}, which is not what the numbers say"
                )
        return value

    # --- in numbers ---------------------------------------------------------------------------------------

    def _number(self, statistic: Any, at: dict[Any, float]) -> float | None:
        """Return the mean of a statistic at given parameters, or None where there is no finite one."""
        from scipy.integrate import nquad

        intervals = [v for v, d in self.support.items() if isinstance(d, Interval)]
        integers = [v for v in self.variables if v not in intervals]
        integrand = _numeric([*intervals, *integers], (statistic * self.density).subs(at))
        limits = [[float(self.support[v].low), float(self.support[v].high)] for v in intervals]
        total = 0.0
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            try:
                for point in itertools.product(*(_numbers(self.support[v]) for v in integers)):
                    term = nquad(integrand, limits, args=point)[0] if limits else integrand(*point)
                    total += float(term)
                    if len(integers) == 1 and point[0] > 20 and abs(term) < 1e-17 * abs(total):
                        break
            except (Warning, TypeError, ValueError, ArithmeticError):
                return None
        return total if np.isfinite(total) else None


def _numeric(variables: Sequence[Any], expression: Any) -> Callable[..., Any]:
    """A function of numbers; where floats overflow on the way, it is evaluated in mpmath's wider range."""
    quick, wide = (sp.lambdify(variables, expression, m) for m in (["scipy", "numpy"], "mpmath"))

    def value(*point: float) -> float:
        try:
            found = float(quick(*point))
        except (OverflowError, ZeroDivisionError):
            found = np.nan
        return found if np.isfinite(found) else float(wide(*map(mpmath.mpf, point)))

    return value


def _numbers(domain: Interval | Integers) -> Sequence[int]:
    last = _LAST if domain.high == sp.oo else int(domain.high)
    return range(int(domain.low), last + 1)


def _drawn(symbol: Any, rng: random.Random) -> float:
    if symbol.is_positive or symbol.is_nonnegative:
        return rng.uniform(0.2, 2)
    return rng.uniform(-2, -0.2) if symbol.is_negative else rng.uniform(-1, 1)
