"""Components of a tensor, as they are computed, kept and read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Self

import sympy as sp

from lnegeom._array import InputError
from lnegeom._progress import progress_bar
from lnegeom.symbolic._budget import TimeBudgetError
from lnegeom.symbolic._chart import Chart
from lnegeom.symbolic._element import Element

Index = tuple[int, ...]

_PLAIN = {r"\Gamma^*": "Γ*", r"\Gamma": "Γ", r"\mathrm{Ric}": "Ric", r"\mathcal{L}": "L", r"\nabla ": "∇"}


def plain(name: str) -> str:
    """Return a tensor's letter for text and messages, without LaTeX."""
    for code, letter in _PLAIN.items():
        name = name.replace(code, letter)
    return name


class Components:
    """Exact components with their indices' places and symmetry. See `Tensor`."""

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
        self._level = self.independent if independent is not None and len(set(self.variance)) <= 1 else None
        self._expressions: dict[Index, Any] = {}
        self._ready: dict[Index, Element] = {}

    @property
    def complete(self) -> bool:
        """Whether all independent components are known."""
        return len(self._ready) == len(self.independent)

    def compute(self, progress: bool = False) -> None:
        """Compute the independent components that are not known yet."""
        missing = [index for index in self.independent if index not in self._ready]
        for index in progress_bar(plain(self.name), missing, "component", show=progress):
            self._ready[index] = self._component(*index)

    def computed(self) -> Self:
        """Return the same with all components known, within the metric's budget."""
        try:
            with self.metric.field.budget.running("components were computed"):
                self.compute(self.metric.progress)
        except TimeBudgetError as error:
            ready, count = len(self._ready), len(self.independent)
            message = f"{error}: {ready} of {count} components of {plain(self.name)} are ready"
            raise TimeBudgetError(f"{message}; ask again to go on, or raise the budget", self) from None
        return self

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

    def __repr__(self) -> str:
        state = "" if self.complete else ", incomplete"
        nonzero = sum(map(bool, self._ready.values()))
        count = f"{len(self.independent)} {self.counted}"
        return f"<{plain(self.name)}: {nonzero} of {count} are not zero{state}>"
