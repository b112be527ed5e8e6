"""Tensors with exact components."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lnegeom._array import InputError
from lnegeom.symbolic import _display
from lnegeom.symbolic._chart import Chart
from lnegeom.symbolic._compile import CompiledTensor
from lnegeom.symbolic._components import Components, plain
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._zero import ZeroTest, components_are_zero


class Tensor(Components):
    """A tensor field (or the Christoffel symbols) in one chart, its components in normal form.

    Indexing gives components as sympy expressions; ``tensor[0, 1]`` for two indices, ``tensor[()]`` or
    `expression` for a scalar. Made by the properties of `Metric`.

    Attributes
    ----------
    name : str
        Its letter, in LaTeX.
    variance : tuple of {"up", "down"}
        The place of each index.
    shape : tuple of int
        ``(n, …, n)``.
    complete : bool
        False for the partial result of a computation that ran out of time.
    tensorial : bool
        False for Christoffel symbols, which have no covariant derivative.
    counted : str
        What the components that `independent` lists are called.

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> ricci = symbolic.sphere(2).ricci
    >>> ricci[0, 0], ricci.nonzero()
    (1, {(0, 0): 1, (1, 1): sin(theta)**2})
    """

    def is_zero(self) -> ZeroTest:
        """Whether every component is zero, with a statement of how that was found.

        Zero is proved by the normal form: then `method` is "normal form". A component whose normal form is
        not zero is looked at in random points too, with 60 digits; should it vanish there, as where log(x y)
        and log(x) + log(y) were taken for independent, `method` is "random points".

        Raises
        ------
        InputError
            If the tensor is not complete, or a component whose normal form is not zero has no real value at
            any point tried.
        """
        if not self.complete:
            raise InputError(
                f"{plain(self.name)} is not complete: expected all components; raise the time budget"
            )
        budget = self.metric.field.budget
        with budget.running(f"{plain(self.name)} was tested for zero; raise the budget", watched=True):
            return components_are_zero(self)

    def __sub__(self, other: Tensor) -> Tensor:
        return self._with(other, -1)

    def __add__(self, other: Tensor) -> Tensor:
        return self._with(other, 1)

    def _with(self, other: Tensor, sign: int) -> Tensor:
        if not isinstance(other, Tensor):
            raise InputError(f"expected a tensor to add or subtract, got {other!r:.80}")
        name = f"{self.name} {'+' if sign > 0 else '-'} {other.name}"
        if other.metric is not self.metric or other.variance != self.variance:
            raise InputError(f"{plain(name)}: expected tensors of one metric with indices in the same places")
        field = self.metric.field

        def component(*index: int) -> Element:
            a, b = self._component(*index), other._component(*index)
            return field.combine([(1, a, field.one), (sign, b, field.one)])

        same = self.independent == other.independent
        # The difference of two connections is a tensor.
        tensorial = self.tensorial == other.tensorial and (self.tensorial or sign < 0)
        counted = self.counted if same else "components"
        independent = self.independent if same else None

        def make() -> Tensor:
            where = self.metric, name, self.variance, component, independent
            return Tensor(*where, tensorial=tensorial, counted=counted)

        return resumed(self.metric, ("sum", self, other, sign), make)

    def __mul__(self, factor: Any) -> Tensor:
        """Product with a number, an expression of the metric's coordinates, or a scalar."""
        return self._scaled(factor)

    __rmul__ = __mul__

    def __truediv__(self, factor: Any) -> Tensor:
        """Quotient by a number, an expression of the metric's coordinates, or a scalar."""
        return self._scaled(factor, below=True)

    def _scaled(self, factor: Any, *, below: bool = False) -> Tensor:
        """The product with a number, an expression or a scalar, or the quotient by it."""
        with self.metric.field.budget.running("the factor was read; raise the budget"):
            value = self._factor(factor)
            try:
                value = self.metric.field.inverse(value) if below else value
            except ZeroDivisionError:
                raise InputError(f"{plain(self.name)} is divided by zero: expected another divisor") from None

        def component(*index: int) -> Element:
            return self._component(*index) * value

        def make() -> Tensor:
            return Tensor(
                self.metric,
                self.name,
                self.variance,
                component,
                self.independent,
                tensorial=self.tensorial,
                counted=self.counted,
            )

        return resumed(self.metric, ("product", self, factor, below), make)

    def _factor(self, factor: Any) -> Element:
        if not isinstance(factor, Tensor):
            return self.metric.element(factor)
        if factor.metric is not self.metric or factor.shape:
            raise InputError(
                f"{plain(self.name)} times {plain(factor.name)}: expected a number, an expression or a "
                "scalar of the same metric; compute components of a product of tensors from theirs"
            )
        return factor._component()

    def __neg__(self) -> Tensor:
        return self * -1

    def raised(self, slot: int) -> Tensor:
        """The tensor with one index raised: ``g^ia T_…a…`` in its place."""
        return self._moved(slot, "down", "up", self.metric.geometry.inverse)

    def lowered(self, slot: int) -> Tensor:
        """The tensor with one index lowered: ``g_ia T^…a…`` in its place."""
        g = self.metric.geometry.g
        return self._moved(slot, "up", "down", lambda i, j: g[i][j])

    def _moved(self, slot: int, start: str, end: str, matrix: Callable[[int, int], Element]) -> Tensor:
        """Return a tensor with one index moved from `start` to `end` by the metric or its inverse."""
        if not -len(self.shape) <= slot < len(self.shape) or self.variance[slot] != start:
            raise InputError(
                f"index {slot} of {plain(self.name)} is not {start}: its indices are {self.variance}"
            )
        slot %= len(self.shape)

        def component(*index: int) -> Element:
            return self.metric.field.combine(
                (1, matrix(index[slot], a), self._component(*index[:slot], a, *index[slot + 1 :]))
                for a in range(self.metric.dim)
                if matrix(index[slot], a)
            )

        variance = (*self.variance[:slot], end, *self.variance[slot + 1 :])
        level = self._level if len(set(variance)) == 1 else None

        def make() -> Tensor:
            result = Tensor(
                self.metric,
                self.name,
                variance,
                component,
                level,
                tensorial=self.tensorial,
                counted="components" if level is None else "independent components",
            )
            result._level = self._level
            return result

        return resumed(self.metric, ("moved", self, slot, end), make)

    def covariant_derivative(self) -> Tensor:
        """The tensor ∇T, its derivative's index last: ``T_ij;a`` is ``[i, j, a]``.

        Raises
        ------
        InputError
            For Christoffel symbols, which are no tensor.
        """
        if not self.tensorial:
            raise InputError(
                f"{plain(self.name)} is no tensor and has no covariant derivative: expected a tensor"
            )
        metric = self.metric
        gamma, field, n = metric.geometry.christoffel, metric.field, metric.dim

        def component(*index: int) -> Element:
            *inner, a = index
            terms = [(1, field.derivative(self._component(*inner), a), field.one)]
            for slot, place in enumerate(self.variance):
                for b in range(n):
                    other = self._component(*inner[:slot], b, *inner[slot + 1 :])
                    if place == "up":
                        terms.append((1, gamma(inner[slot], b, a), other))
                    else:
                        terms.append((-1, gamma(b, inner[slot], a), other))
            return field.combine(terms)

        independent = [(*index, a) for index in self.independent for a in range(n)]

        def make() -> Tensor:
            name, variance = rf"\nabla {self.name}", (*self.variance, "down")
            return Tensor(metric, name, variance, component, independent, counted=self.counted)

        return resumed(metric, ("covariant derivative", self), make)

    def compile(self, backend: str = "numpy") -> CompiledTensor:
        """Return a function of points ``(..., n)`` that gives the components ``(..., n, …, n)``.

        Parameters
        ----------
        backend : {"numpy", "torch", "jax"}
            The library of the arrays.

        Raises
        ------
        InputError
            If the backend is another or not installed, or the tensor holds undefined functions or is not
            complete.

        Examples
        --------
        >>> from lnegeom import symbolic
        >>> ricci = symbolic.sphere(2).ricci.compile()
        >>> ricci([[0.5, 0.0], [1.0, 0.3]]).shape
        (2, 2, 2)
        """
        budget = self.metric.field.budget
        with budget.running(f"{plain(self.name)} was compiled; ask again to go on", watched=True):
            return CompiledTensor(self, backend)

    def __str__(self) -> str:
        with self._writing():
            return _display.text(self)

    def latex(self) -> str:
        """Independent components that are not zero, as LaTeX equations in an ``aligned`` block."""
        with self._writing():
            return _display.latex(self)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def table(self) -> str:
        """Independent components that are not zero, as a table for the terminal."""
        with self._writing():
            return _display.table(self)


def resumed(chart: Chart, key: tuple[Any, ...], make: Callable[[], Tensor]) -> Tensor:
    """Compute a tensor; one that ran out of time is kept by its key, for the next time."""
    tensor: Tensor = chart._late.setdefault(key, make()).computed()
    del chart._late[key]
    return tensor
