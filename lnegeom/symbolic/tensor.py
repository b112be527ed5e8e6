"""Tensors with exact components."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import sympy as sp

from lnegeom._array import InputError
from lnegeom.symbolic._algebra import covariant_derivative, moved, scaled
from lnegeom.symbolic._compile import CompiledTensor, compile_components
from lnegeom.symbolic._display import plain
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

    def __init__(
        self,
        metric: Chart,
        name: str,
        variance: Sequence[str],
        component: Callable[..., Element],
        independent: Iterable[Index] | None = None,
        *,
        tensorial: bool = True,
        counted: str = "independent components",
    ):
        self.metric, self.name, self.variance = metric, name, tuple(variance)
        self.shape = (metric.dim,) * len(self.variance)
        self._component, self.tensorial, self.counted = component, tensorial, counted
        indices = itertools.product(range(metric.dim), repeat=len(self.variance))
        self.independent: tuple[Index, ...] = tuple(indices if independent is None else independent)
        # What the indices' symmetry leaves, when all are up or all down: raising all or none keeps it.
        self._level = self.independent if independent is not None and self._is_level else None
        self._expressions: dict[Index, Any] = {}
        self._ready: dict[Index, Element] = {}

    @property
    def _is_level(self) -> bool:
        return len(set(self.variance)) <= 1

    @property
    def complete(self) -> bool:
        """Whether all independent components are known."""
        return len(self._ready) == len(self.independent)

    def compute(self, progress: bool = False) -> None:
        """Compute the independent components that are not known yet."""
        from tqdm import tqdm

        missing = [index for index in self.independent if index not in self._ready]
        for index in tqdm(missing, desc=plain(self.name), disable=not progress):
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
                f"{plain(self.name)} has {len(self.shape)} indices in 0 to {self.metric.dim - 1}: got {key}"
            )
        key = tuple(i % self.metric.dim for i in key)
        if key not in self._expressions:
            with self.metric.field.budget.running("a component was computed; ask again, or raise the budget"):
                element = self.element(key)
                if element is None:
                    return None
                self._expressions[key] = self.metric.expression(element)
        return self._expressions[key]

    def nonzero(self) -> dict[Index, Any]:
        """Independent components that are not zero, by index."""
        with self._writing():
            return {index: self[index] for index in self.nonzero_elements()}

    def _writing(self) -> AbstractContextManager[None]:
        """One clock for all that is written."""
        doing = f"{plain(self.name)} was written; ask again to go on, or raise the budget"
        return self.metric.field.budget.running(doing, watched=True)

    def nonzero_elements(self) -> dict[Index, Element]:
        """Independent components that are not zero, as elements of the metric's field."""
        return {index: value for index in self.independent if (value := self._ready.get(index))}

    @property
    def expression(self) -> Any:
        """The value of a scalar, a sympy expression."""
        if self.shape:
            raise InputError(f"{plain(self.name)} has {len(self.shape)} indices: expected a scalar; index it")
        return self[()]

    def array(self) -> Any:
        """All components, as a sympy array of shape ``(n, …, n)``; None where a component is not known."""
        with self.metric.field.budget.running(
            f"{plain(self.name)} was written; ask again, or raise the budget"
        ):
            indices = itertools.product(range(self.metric.dim), repeat=len(self.shape))
            values = [self[index] for index in indices]
        return sp.ImmutableDenseNDimArray(values, self.shape) if self.shape else values[0]

    @property
    def operations(self) -> int:
        """Number of operations that sympy counts in the independent components."""
        with self._writing():
            written = (self[index] for index in self.independent)
            return sum(int(sp.count_ops(value)) for value in written if value is not None)

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
        return self.metric._resumed(
            ("sum", self, other, sign),
            lambda: Tensor(
                self.metric,
                name,
                self.variance,
                component,
                self.independent if same else None,
                tensorial=tensorial,
                counted=self.counted if same else "components",
            ),
        )

    def __mul__(self, factor: Any) -> Tensor:
        """Product with a number, an expression of the metric's coordinates, or a scalar."""
        return scaled(self, factor)

    __rmul__ = __mul__

    def __truediv__(self, factor: Any) -> Tensor:
        """Quotient by a number, an expression of the metric's coordinates, or a scalar."""
        return scaled(self, factor, below=True)

    def __neg__(self) -> Tensor:
        return self * -1

    def raised(self, slot: int) -> Tensor:
        """The tensor with one index raised: ``g^ia T_…a…`` in its place."""
        return moved(self, slot, "down", "up", self.metric.geometry.inverse)

    def lowered(self, slot: int) -> Tensor:
        """The tensor with one index lowered: ``g_ia T^…a…`` in its place."""
        g = self.metric.geometry.g
        return moved(self, slot, "up", "down", lambda i, j: g[i][j])

    def covariant_derivative(self) -> Tensor:
        """The tensor ∇T, its derivative's index last: ``T_ij;a`` is ``[i, j, a]``.

        Raises
        ------
        InputError
            For Christoffel symbols, which are no tensor.
        """
        return covariant_derivative(self)

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
        budget = self.metric.field.budget
        with budget.running(f"{plain(self.name)} was compiled; ask again to go on", watched=True):
            return compile_components(self, backend)

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        nonzero = sum(map(bool, self._ready.values()))
        count = f"{len(self.independent)} {self.counted}"
        return f"<{plain(self.name)}: {nonzero} of {count} are not zero{state}>"

    def __str__(self) -> str:
        from lnegeom.symbolic._display import text

        with self._writing():
            return text(self)

    def latex(self) -> str:
        """Independent components that are not zero, as LaTeX equations in an ``aligned`` block."""
        from lnegeom.symbolic._display import latex

        with self._writing():
            return latex(self)

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def table(self) -> str:
        """Independent components that are not zero, as a table for the terminal."""
        from lnegeom.symbolic._display import table

        with self._writing():
            return table(self)
