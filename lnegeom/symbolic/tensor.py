"""Tensors with exact components."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._compile import CompiledTensor, compile_components
from lnegeom.symbolic._element import Element
from lnegeom.symbolic._zero import ZeroTest, components_are_zero

if TYPE_CHECKING:
    from lnegeom.symbolic._chart import Chart

Index = tuple[int, ...]


class Tensor:
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

    Examples
    --------
    >>> from lnegeom import symbolic
    >>> ricci = symbolic.sphere(2).ricci
    >>> ricci[0, 0], ricci.nonzero()
    (1, {(0, 0): 1, (1, 1): sin(theta)**2})
    """

    def __init__(
        self,
        metric: Chart,
        name: str,
        variance: Sequence[str],
        component: Callable[..., Element],
        independent: Iterator[Index] | None = None,
    ):
        self.metric, self.name, self.variance = metric, name, tuple(variance)
        self.shape = (metric.dim,) * len(self.variance)
        self._component = component
        indices = itertools.product(range(metric.dim), repeat=len(self.variance))
        self.independent: tuple[Index, ...] = tuple(indices if independent is None else independent)
        self._expressions: dict[Index, Any] = {}
        self._ready: dict[Index, Element] = {}

    @property
    def complete(self) -> bool:
        """Whether all independent components are known."""
        return len(self._ready) == len(self.independent)

    def compute(self, progress: bool = False) -> None:
        """Compute the independent components that are not known yet."""
        from tqdm import tqdm

        missing = [index for index in self.independent if index not in self._ready]
        for index in tqdm(missing, desc=self.name, disable=not progress):
            self._ready[index] = self._component(*index)

    def element(self, index: Index) -> Element | None:
        """Return a component as an element of the metric's field; None if it is not known."""
        if self.complete:
            return self._component(*index)
        return self._ready.get(index)

    def __getitem__(self, index: Any) -> Any:
        key = tuple(index) if isinstance(index, tuple | list) else (index,)
        if len(key) != len(self.shape) or not all(
            isinstance(i, int) and -self.metric.dim <= i < self.metric.dim for i in key
        ):
            raise InputError(
                f"{self.name} has {len(self.shape)} indices in 0 to {self.metric.dim - 1}: got {key}"
            )
        key = tuple(i % self.metric.dim for i in key)
        if key not in self._expressions:
            element = self.element(key)
            self._expressions[key] = None if element is None else self.metric.expression(element)
        return self._expressions[key]

    def nonzero(self) -> dict[Index, Any]:
        """Independent components that are not zero, by index."""
        return {index: self[index] for index in self.nonzero_elements()}

    def nonzero_elements(self) -> dict[Index, Element]:
        """Independent components that are not zero, as elements of the metric's field."""
        return {index: value for index in self.independent if (value := self._ready.get(index))}

    @property
    def expression(self) -> Any:
        """The value of a scalar, a sympy expression."""
        if self.shape:
            raise InputError(f"{self.name} has {len(self.shape)} indices: expected a scalar; index it")
        return self[()]

    def array(self) -> Any:
        """All components, as a sympy array of shape ``(n, …, n)``; None where a component is not known."""
        values = [self[index] for index in itertools.product(range(self.metric.dim), repeat=len(self.shape))]
        return sp.ImmutableDenseNDimArray(values, self.shape) if self.shape else values[0]

    @property
    def operations(self) -> int:
        """Number of operations that sympy counts in the independent components."""
        return sum(int(sp.count_ops(self[index])) for index in self.independent if self[index] is not None)

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
            raise InputError(f"{self.name} is not complete: expected all components; raise the time budget")
        return components_are_zero(self)

    def __sub__(self, other: Tensor) -> Tensor:
        return self._with(other, -1, f"{self.name} - {other.name}")

    def __add__(self, other: Tensor) -> Tensor:
        return self._with(other, 1, f"{self.name} + {other.name}")

    def _with(self, other: Tensor, sign: int, name: str) -> Tensor:
        if other.metric is not self.metric or other.variance != self.variance:
            raise InputError(f"{name}: expected tensors of one metric with indices in the same places")
        field = self.metric.field

        def component(*index: int) -> Element:
            a, b = self._component(*index), other._component(*index)
            return field.combine([(1, a, field.one), (sign, b, field.one)])

        independent = self.independent if self.independent == other.independent else None
        return self.metric._computed(
            Tensor(self.metric, name, self.variance, component, _iterate(independent))
        )

    def __mul__(self, factor: Any) -> Tensor:
        """Product with a number, an expression of the metric's coordinates, or a scalar."""
        if isinstance(factor, Tensor):
            if factor.metric is not self.metric or factor.shape:
                raise InputError(
                    f"{self.name} times {factor.name}: expected a number, an expression or a scalar of the "
                    "same metric; compute components of a product of tensors from theirs"
                )
            value = factor._component()
        else:
            value = self.metric.element(factor)

        def component(*index: int) -> Element:
            return self._component(*index) * value

        return self.metric._computed(
            Tensor(self.metric, self.name, self.variance, component, iter(self.independent))
        )

    __rmul__ = __mul__

    def raised(self, slot: int) -> Tensor:
        """The tensor with one index raised: ``g^ia T_…a…`` in its place."""
        return self._moved(slot, "down", "up", self.metric.geometry.inverse)

    def lowered(self, slot: int) -> Tensor:
        """The tensor with one index lowered: ``g_ia T^…a…`` in its place."""
        g = self.metric.geometry.g
        return self._moved(slot, "up", "down", lambda i, j: g[i][j])

    def _moved(self, slot: int, start: str, end: str, matrix: Callable[[int, int], Element]) -> Tensor:
        if not -len(self.shape) <= slot < len(self.shape) or self.variance[slot] != start:
            raise InputError(f"index {slot} of {self.name} is not {start}: its indices are {self.variance}")
        slot %= len(self.shape)

        def component(*index: int) -> Element:
            return self.metric.field.combine(
                (1, matrix(index[slot], a), self._component(*index[:slot], a, *index[slot + 1 :]))
                for a in range(self.metric.dim)
                if matrix(index[slot], a)
            )

        variance = (*self.variance[:slot], end, *self.variance[slot + 1 :])
        return self.metric._computed(Tensor(self.metric, self.name, variance, component))

    def covariant_derivative(self) -> Tensor:
        """The tensor ∇T, its derivative's index last: ``T_ij;a`` is ``[i, j, a]``."""
        gamma, field, n = self.metric.geometry.christoffel, self.metric.field, self.metric.dim

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

        name = rf"\nabla {self.name}"
        return self.metric._computed(Tensor(self.metric, name, (*self.variance, "down"), component))

    def compile(self, backend: str = "numpy") -> CompiledTensor:
        """Return a function of points ``(..., n)`` that gives the components ``(..., n, …, n)``.

        Parameters
        ----------
        backend : {"numpy", "torch", "jax"}
            The library of the arrays.

        Raises
        ------
        InputError
            If the backend is another, or the tensor holds undefined functions or is not complete.

        Examples
        --------
        >>> from lnegeom import symbolic
        >>> ricci = symbolic.sphere(2).ricci.compile()
        >>> ricci([[0.5, 0.0], [1.0, 0.3]]).shape
        (2, 2, 2)
        """
        return compile_components(self, backend)

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        nonzero = sum(map(bool, self._ready.values()))
        return (
            f"<{self.name}: {nonzero} of {len(self.independent)} independent components are not zero{state}>"
        )

    def __str__(self) -> str:
        from lnegeom.symbolic._display import text

        return text(self)

    def latex(self) -> str:
        """Independent components that are not zero, as LaTeX equations in an ``aligned`` block."""
        from lnegeom.symbolic._display import latex

        return latex(self)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def table(self) -> str:
        """Independent components that are not zero, as a table for the terminal."""
        from lnegeom.symbolic._display import table

        return table(self)


def _iterate(independent: tuple[Index, ...] | None) -> Iterator[Index] | None:
    return None if independent is None else iter(independent)
