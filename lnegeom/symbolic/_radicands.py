"""What roots were taken of: they must be independent, or the field would have divisors of zero."""

from __future__ import annotations

import math
from typing import Any

from lnegeom._array import InputError
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._factor import irreducible_factors


class Radicands:
    """Squares of the roots in a field, none a square in it, nor any product of them."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, Element]] = []

    def add(self, expression: Any, square: Element) -> None:
        """Add the square of a new root.

        Raises
        ------
        InputError
            If it, or its product with others, is a square: then the root is one of the field, but for its
            sign, which is for the user to say.
        """
        products: list[tuple[tuple[Any, ...], Element]] = [((), square)]
        for other, radicand in self._known:
            products += [((*others, other), value * radicand) for others, value in products]
        for others, value in products:
            if _is_square(value):
                roots = " times ".join(f"sqrt({o})" for o in (expression, *others))
                raise InputError(f"{roots} is rational but for its sign; write it without the root")
        self._known.append((expression, square))


def _is_square(value: Element) -> bool:
    factors = irreducible_factors(value.num, len(value.home.generators))
    number = math.prod((f[0] ** e for f, e in factors if set(f) == {0}), start=value.den)
    even = all(e % 2 == 0 for f, e in factors if set(f) != {0})
    return even and number > 0 and math.isqrt(number) ** 2 == number
