"""Elements of differential fields, and what they ask of their field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from lnegeom.symbolic._denominator import Denominator
from lnegeom.symbolic._polynomial import Poly


@dataclass
class Generator:
    """One generator: how it is written, and its derivative along each coordinate.

    Attributes
    ----------
    expression : sympy expression
        What it stands for.
    derivative : callable
        From a coordinate's number to an Element; called once for each.
    square : Poly or None
        For a square root, its square, a polynomial in earlier generators.
    """

    expression: Any
    derivative: Callable[[int], Element]
    square: Poly | None = None
    known: dict[int, Element] = field(default_factory=dict)


class Field(Protocol):
    """The arithmetic that elements share, and what they are written over."""

    generators: list[Generator]
    denominators: list[Denominator]
    one: Element

    def integer(self, value: int) -> Element: ...

    def combine(self, terms: Iterable[tuple[int, Element, Element]]) -> Element: ...

    def inverse(self, a: Element) -> Element: ...


class Element:
    """An element of a differential field: ``num / (den · Π f_i^exps_i)``. Immutable."""

    __slots__ = ("den", "exps", "home", "num")

    def __init__(self, home: Field, num: Poly, exps: tuple[int, ...] = (), den: int = 1):
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
