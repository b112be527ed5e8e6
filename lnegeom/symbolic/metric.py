"""Metrics with exact components."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._budget import Budget
from lnegeom.symbolic._chart import Chart
from lnegeom.symbolic._components import Index
from lnegeom.symbolic._derived import Derived
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._equations import geodesic_equations, lie_derivative, pulled_back
from lnegeom.symbolic.tensor import Tensor, resumed


class Metric(Chart):
    """A metric given by expressions, with its connection and curvature in normal form.

    Components are elements of a differential field, rational functions of generators with known derivatives
    and relations, so they come simplified, and what is zero is 0. Conventions are those of `lnegeom`::

        Γ^k_ij = ½ g^kl (∂_i g_lj + ∂_j g_li − ∂_l g_ij)                               [k, i, j]
        R^r_smv = ∂_m Γ^r_vs − ∂_v Γ^r_ms + Γ^r_ml Γ^l_vs − Γ^r_vl Γ^l_ms              [r, s, m, v]
        Ric_sv = R^r_srv,    R = g^sv Ric_sv

    Tensors are computed when first asked for, and kept.

    Parameters
    ----------
    matrix : sympy matrix or sequence of sequences, of shape ``(n, n)``
        Symmetric; entries are sympy expressions, numbers, or text, which is parsed without evaluation.
    coordinates : sequence of n symbols or names
        The chart.
    parameters : sequence of symbols or names, optional
        All other symbols. Left out, any symbol may occur in expressions, and none in text.
    assumptions : mapping from symbols or names to text, optional
        Such as ``{"r": "positive"}``; they decide how roots are written.
    budget : float, optional
        Seconds for building the metric, and for each tensor that is computed, written, tested or compiled.
    progress : bool
        Show a bar for each tensor.
    simplify : {"factor", "normal", "short"}
        How components are written: numerators factored (default), expanded, or the shorter of both, also
        with squares of roots exchanged. Denominators are always factored.

    Raises
    ------
    InputError
        If the matrix is not square, symmetric or invertible, does not fit the coordinates, holds an
        undeclared symbol or a function that is not supported.
    TimeBudgetError
        If the budget is spent. Of a tensor, what was ready is in `partial`, and asking again goes on from
        there; a metric must be built anew.

    References
    ----------
    Misner, Thorne and Wheeler, *Gravitation*, chapter 8 (signs); Bronstein, *Symbolic Integration I*,
    chapter 3 (differential fields).

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> g = symbolic.Metric([["1", "0"], ["0", "sin(theta)**2"]], ["theta", "phi"])
    >>> g.scalar.expression
    2
    >>> g.christoffel[0, 1, 1]
    -sin(theta)*cos(theta)
    >>> (g.ricci - g.tensor).is_zero().method
    'normal form'
    """

    def _make(
        self,
        name: str,
        places: str,
        component: Callable[..., Element],
        independent: Iterable[Index] | None,
        **kind: Any,
    ) -> Tensor:
        """A tensor, computed; `places` has "^" for an upper index and "_" for a lower one."""
        variance = ["up" if place == "^" else "down" for place in places]
        return Tensor(self, name, variance, component, independent, **kind).computed()

    def _symmetric(self) -> Iterator[Index]:
        return itertools.combinations_with_replacement(range(self.dim), 2)

    def _connection(self) -> Iterator[Index]:
        return ((k, i, j) for k in range(self.dim) for i, j in self._symmetric())

    @cached_property
    def tensor(self) -> Tensor:
        """The metric itself, g_ij."""
        return self._make("g", "__", lambda i, j: self.geometry.g[i][j], self._symmetric())

    @cached_property
    def inverse(self) -> Tensor:
        """Inverse metric g^ij."""
        return self._make("g", "^^", self.geometry.inverse, self._symmetric())

    @cached_property
    def christoffel(self) -> Tensor:
        """Christoffel symbols Γ^k_ij, ``[k, i, j]``."""
        return self._make(r"\Gamma", "^__", self.geometry.christoffel, self._connection(), tensorial=False)

    @cached_property
    def christoffel_lowered(self) -> Tensor:
        """Christoffel symbols of the first kind Γ_ij,k, ``[k, i, j]``."""
        return self._make(r"\Gamma", "___", self.geometry.lowered, self._connection(), tensorial=False)

    @cached_property
    def riemann(self) -> Tensor:
        """Riemann tensor R^r_smv, ``[r, s, m, v]``."""
        index = range(self.dim)
        pairs = list(itertools.combinations(index, 2))
        independent = ((r, s, m, v) for r in index for s in index for m, v in pairs)
        return self._make("R", "^___", self.geometry.mixed, independent, counted="components with m < v")

    @cached_property
    def riemann_lowered(self) -> Tensor:
        """Riemann tensor R_ijkl with all indices down; n²(n² − 1)/12 components are independent."""
        return self._make("R", "____", self.geometry.riemann, self.geometry.independent())

    @cached_property
    def ricci(self) -> Tensor:
        """Ricci tensor Ric_ij."""
        return self._make(r"\mathrm{Ric}", "__", self.geometry.ricci, self._symmetric())

    @cached_property
    def scalar(self) -> Tensor:
        """Scalar curvature R; its value is `scalar.expression`."""
        return self._make("R", "", self.geometry.scalar, None)

    @cached_property
    def _derived(self) -> Derived:
        return Derived(self.geometry)

    @cached_property
    def einstein(self) -> Tensor:
        """Einstein tensor ``Ric_ij − ½ R g_ij``."""
        return self._make("G", "__", self._derived.einstein, self._symmetric())

    @cached_property
    def weyl(self) -> Tensor:
        """Weyl tensor W_ijkl with all indices down, for n ≥ 3."""
        if self.dim < 3:
            raise InputError(f"the Weyl tensor needs n >= 3, got n = {self.dim}")
        return self._make("W", "____", self._derived.weyl, self.geometry.independent())

    @cached_property
    def kretschmann(self) -> Tensor:
        """Kretschmann scalar ``R_ijkl R^ijkl``; its value is `kretschmann.expression`."""
        return self._make("K", "", self._derived.kretschmann, None)

    # --- equations ----------------------------------------------------------------------------------------

    def vector(self, components: Sequence[Any], name: str = "X") -> Tensor:
        """Return a vector field from its n components X^i, expressions in the coordinates."""
        return self._one_index(components, name, "^")

    def covector(self, components: Sequence[Any], name: str = "a") -> Tensor:
        """Return a covector field from its n components a_i, expressions in the coordinates."""
        return self._one_index(components, name, "_")

    def _one_index(self, components: Sequence[Any], name: str, place: str) -> Tensor:
        if len(components) != self.dim:
            raise InputError(f"{name} has {len(components)} components: expected {self.dim}")
        elements = [self.element(component) for component in components]
        return self._make(name, place, lambda i: elements[i], None)

    def killing_equation(self, vector: Sequence[Any] | None = None) -> Tensor:
        """Lie derivative ``X^k ∂_k g_ij + g_kj ∂_i X^k + g_ik ∂_j X^k``: zero for a Killing field.

        Parameters
        ----------
        vector : sequence of n expressions, optional
            The components X^i; left out, undefined functions of all coordinates.

        Examples
        --------
        >>> from lnegeom import symbolic
        >>> bool(symbolic.kerr().killing_equation([1, 0, 0, 0]).is_zero())
        True
        """
        if vector is None:
            vector = [sp.Function(f"X{i}")(*self.coordinates) for i in range(self.dim)]
        key = ("killing", *map(str, vector))
        return resumed(self, key, lambda: lie_derivative(self.vector(vector)))

    def geodesic_equations(self, parameter: str = "s") -> tuple[Any, ...]:
        """Left sides of ``ẍ^k + Γ^k_ij ẋ^i ẋ^j = 0``, the coordinates functions of a parameter.

        Examples
        --------
        >>> from lnegeom import symbolic
        >>> symbolic.sphere(2).geodesic_equations()[0]
        -sin(theta(s))*cos(theta(s))*Derivative(phi(s), s)**2 + Derivative(theta(s), (s, 2))
        """
        with self.field.budget.running("the equations were written; ask again to go on"):
            return geodesic_equations(self.christoffel, parameter)

    def pullback(self, substitution: Mapping[Any, Any], coordinates: Sequence[Any]) -> Metric:
        """Return the metric in other coordinates, or on a submanifold: ``Jᵀ g(x(y)) J``.

        Parameters
        ----------
        substitution : mapping from symbols or names to expressions
            Each old coordinate as an expression in the new ones.
        coordinates : sequence of symbols or names
            The new coordinates; fewer than the old ones for a submanifold.

        Examples
        --------
        >>> from lnegeom import symbolic
        >>> plane = symbolic.euclidean(2)
        >>> polar = plane.pullback({"x0": "r*cos(phi)", "x1": "r*sin(phi)"}, ["r", "phi"])
        >>> polar.tensor.nonzero()
        {(0, 0): 1, (1, 1): r**2}
        """
        clock = Budget(self.field.budget.seconds)
        with clock.running("the metric was pulled back; build it with a larger budget"):
            with clock.watched():
                matrix, symbols = pulled_back(self, substitution, coordinates)
            return Metric(matrix, symbols, budget=clock, progress=self.progress, simplify=self.simplify)
