"""Elements of differential fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lnegeom.symbolic._polynomial import Poly

if TYPE_CHECKING:
    from lnegeom.symbolic._field import DifferentialField


class Element:
    """An element of a differential field: ``num / (den · Π f_i^exps_i)``. Immutable."""

    __slots__ = ("den", "exps", "home", "num")

    def __init__(self, home: DifferentialField, num: Poly, exps: tuple[int, ...] = (), den: int = 1):
        self.home, self.num, self.exps, self.den = home, num, exps, den

    def __bool__(self) -> bool:
        return bool(self.num)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            other = self.home.integer(other)
        return isinstance(other, Element) and not self - other

    __hash__ = None  # type: ignore[assignment]  # equal elements may be written over different exps

    def __add__(self, other: Element) -> Element:
        one = self.home.one
        return self.home.combine([(1, self, one), (1, other, one)])

    def __sub__(self, other: Element) -> Element:
        one = self.home.one
        return self.home.combine([(1, self, one), (-1, other, one)])

    def __neg__(self) -> Element:
        return Element(self.home, {m: -c for m, c in self.num.items()}, self.exps, self.den)

    def __mul__(self, other: Element) -> Element:
        return self.home.combine([(1, self, other)])

    def __truediv__(self, other: Element) -> Element:
        return self * self.home.inverse(other)

    def __pow__(self, exponent: int) -> Element:
        factor = self if exponent >= 0 else self.home.inverse(self)
        result = self.home.one
        for _ in range(abs(exponent)):
            result = result * factor
        return result
