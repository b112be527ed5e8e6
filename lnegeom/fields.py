"""Scalar fields: what a metric needs of a function, from closed forms or from a user's callable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from lnegeom._array import Array, GeometryError, InputError
from lnegeom.derivatives import Derivatives, Jet, check_source, evaluate, gradient, jet
from lnegeom.derivatives._jet import hessian_apply
from lnegeom.derivatives._recorded import with_record

__all__ = ["ScalarField", "as_field", "field_jet"]


class ScalarField(Protocol):
    """A smooth function with its gradient and Hessian; every `Potential` is one.

    The arguments are an array namespace and points ``(..., n)`` that are finite.
    """

    def _check_domain(self, xp: Any, x: Array) -> None: ...

    def _value(self, xp: Any, x: Array) -> Array: ...

    def _gradient(self, xp: Any, x: Array) -> Array: ...

    def _hessian(self, xp: Any, x: Array) -> Array: ...


class _CallableField:
    """A scalar field from a function of one point, differentiated as `lnegeom.derivatives` can."""

    def __init__(self, function: Callable[[Array], Array], derivatives: Derivatives, vectorized: bool):
        self.function = function
        self.derivatives = derivatives
        self.vectorized = vectorized

    def __repr__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))

    def _check_domain(self, xp: Any, x: Array) -> None:
        pass

    def _value(self, xp: Any, x: Array) -> Array:
        value = evaluate(self.function, x, derivatives=self.derivatives, vectorized=self.vectorized)
        return self._checked(value, x)

    def _gradient(self, xp: Any, x: Array) -> Array:
        return gradient(self.function, x, derivatives=self.derivatives, vectorized=self.vectorized)

    def _hessian(self, xp: Any, x: Array) -> Array:
        return self._jet(x).second

    def _hessian_apply(self, xp: Any, x: Array, vector: Array) -> Array:
        options: dict[str, Any] = {"derivatives": self.derivatives, "vectorized": self.vectorized}
        return hessian_apply(self.function, x, vector, **options)

    def _jet(self, x: Array) -> Jet:
        found = jet(self.function, x, derivatives=self.derivatives, vectorized=self.vectorized)
        self._checked(found.value, x)
        return found

    def _checked(self, value: Array, x: Array) -> Array:
        if tuple(value.shape) != tuple(x.shape[:-1]):
            raise GeometryError(
                f"the function returned shape {tuple(value.shape)} for points {tuple(x.shape)}: expected one "
                f"number at each point, {tuple(x.shape[:-1])}"
            )
        return value


def field_jet(xp: Any, field: ScalarField, x: Array) -> Jet:
    """A field with its derivatives at points of its domain, what computed them, and their error."""
    field._check_domain(xp, x)
    if isinstance(field, _CallableField):
        return field._jet(x)
    return Jet(field._value(xp, x), field._gradient(xp, x), field._hessian(xp, x), "closed form", 0.0)


def as_field(
    function: Any, derivatives: Derivatives = "auto", vectorized: bool = False, trace: bool = False
) -> ScalarField:
    """A scalar field from a potential or another field, or from a function of one point ``(n,) → ()``.

    With `vectorized`, the function maps points ``(..., n)`` to ``(...)`` at once; with `trace`, its
    derivatives are recorded.

    Raises
    ------
    InputError
        If it is neither.
    """
    if all(hasattr(function, name) for name in ("_value", "_gradient", "_hessian", "_check_domain")):
        return function  # type: ignore[no-any-return]
    if not callable(function):
        raise InputError(f"expected a Potential or a function of one point, got {function!r}")
    derivatives = check_source(derivatives)
    return _CallableField(with_record(function, trace, derivatives), derivatives, vectorized)
