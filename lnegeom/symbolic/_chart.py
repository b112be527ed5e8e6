"""What a metric's tensors rest on: symbols, the differential field, and the geometry in it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._budget import Budget
from lnegeom.symbolic._curvature import Curvature
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._embedding import Embedding
from lnegeom.symbolic._field import DifferentialField
from lnegeom.symbolic._inputs import read_expression, read_matrix, with_assumptions
from lnegeom.symbolic._needs import UNRELATED
from lnegeom.symbolic._recognise import recognise
from lnegeom.symbolic._screen import looks_singular, screen
from lnegeom.symbolic._writing import LEVELS, written


def _symbolic_power(expression: Any) -> bool:
    return any(not power.exp.is_Rational for power in expression.atoms(sp.Pow))


class Chart:
    """A metric's matrix in one chart, carried into a differential field. See `Metric`."""

    def __init__(
        self,
        matrix: Any,
        coordinates: Sequence[Any],
        *,
        parameters: Sequence[Any] | None = None,
        assumptions: Mapping[Any, str] | None = None,
        budget: float | Budget | None = None,
        progress: bool = False,
        simplify: str = "factor",
    ):
        if simplify not in LEVELS:
            raise InputError(f"simplify must be one of {', '.join(LEVELS)}, got {simplify!r}")
        self.simplify, self.progress = simplify, progress
        clock = Budget.of(budget)
        self.field = DifferentialField(clock)
        self._late: dict[Any, Any] = {}  # what ran out of time, by what it is
        with clock.running("the matrix was carried into its field; build it with a larger budget"):
            with clock.watched():
                matrix, symbols = read_matrix(matrix, coordinates, parameters)
                matrix, symbols, self._renamed = with_assumptions(matrix, symbols, assumptions or {})
                self.coordinates: tuple[Any, ...] = symbols
                self.matrix: Any = sp.ImmutableDenseMatrix(matrix)
                g = self._embed()
            self._invert(g)

    def _embed(self) -> list[list[Element]]:
        self.embedding = Embedding(list(self.matrix), self.coordinates, self.field)
        n = self.dim
        g = [[self.field.zero] * n for _ in range(n)]
        for i, j in itertools.combinations_with_replacement(range(n), 2):
            g[i][j] = g[j][i] = self.embedding.element(self.matrix[i, j])
            if not self._equal(i, j, g[i][j]):
                raise InputError(
                    f"the matrix is not symmetric: entry ({i}, {j}) is {self.matrix[i, j]}, "
                    f"entry ({j}, {i}) is {self.matrix[j, i]}; make them equal"
                )
        return g

    def _invert(self, g: list[list[Element]]) -> None:
        singular = InputError("the matrix is singular: its determinant is zero; no metric has such a matrix")
        try:
            self.geometry, self.structure = self._recognised(g)
        except ZeroDivisionError:
            raise singular from None
        with self.field.budget.watched():
            hidden = self._may_hide_zeros() and looks_singular(self.matrix)
        if hidden:
            raise singular

    def _equal(self, i: int, j: int, upper: Element) -> bool:
        """Whether entries (i, j) and (j, i) are equal, in normal form or at random points."""
        a, b = self.matrix[i, j], self.matrix[j, i]
        return a == b or self.embedding.element(b) == upper or screen(a - b).vanishes

    def _may_hide_zeros(self) -> bool:
        """Whether there are functions or constants that were taken for independent and may not be."""
        return any(
            generator.square is None and (not e.free_symbols or e.has(*UNRELATED) or _symbolic_power(e))
            for generator in self.field.generators
            for e in (generator.expression,)
        )

    def _recognised(self, g: list[list[Element]]) -> tuple[Curvature, tuple[str, ...]]:
        geometry, names = recognise(self.field, g)
        geometry.inverse(0, 0)  # a singular matrix is found here
        return geometry, names

    def __repr__(self) -> str:
        kind = f", {' and '.join(self.structure)}" if self.structure else ""
        return f"<{type(self).__name__} in {', '.join(map(str, self.coordinates))}{kind}>"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {sp.latex(self.matrix)}$"

    @property
    def dim(self) -> int:
        """The dimension n."""
        return len(self.coordinates)

    @property
    def parameters(self) -> tuple[Any, ...]:
        """Symbols that are not coordinates, by name."""
        return tuple(sorted(self.matrix.free_symbols - set(self.coordinates), key=str))

    @property
    def field_description(self) -> str:
        """The differential field in words: its generators, roots in brackets."""
        free = [str(g.expression) for g in self.field.generators if g.square is None]
        roots = [str(g.expression) for g in self.field.generators if g.square is not None]
        return f"Q({', '.join(free)})" + (f"[{', '.join(roots)}]" if roots else "")

    def element(self, expression: Any) -> Element:
        """Return an expression (sympy's, or text) in the coordinates as an element of the field."""
        names = {str(s): s for s in (*self.coordinates, *self.parameters)}
        return self.embedding.admit(read_expression(expression, names, self._renamed))

    def expression(self, element: Element) -> Any:
        """Return an element as an expression, written as `simplify` says."""
        with self.field.budget.running("a component was written; ask again to go on", watched=True):
            return written(element, self.simplify)
