"""Tensors made from a tensor: multiples, moved indices, the covariant derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lnegeom._array import InputError
from lnegeom.symbolic._display import plain
from lnegeom.symbolic._element import Element

if TYPE_CHECKING:
    from lnegeom.symbolic.tensor import Tensor


def scaled(tensor: Tensor, factor: Any, *, below: bool = False) -> Tensor:
    """Return the product with a number, an expression or a scalar, or the quotient by it."""
    with tensor.metric.field.budget.running("the factor was read; raise the budget"):
        value = _factor(tensor, factor)
        try:
            value = tensor.metric.field.inverse(value) if below else value
        except ZeroDivisionError:
            raise InputError(f"{plain(tensor.name)} is divided by zero: expected another divisor") from None

    def component(*index: int) -> Element:
        return tensor._component(*index) * value

    def make() -> Tensor:
        return type(tensor)(
            tensor.metric,
            tensor.name,
            tensor.variance,
            component,
            tensor.independent,
            tensorial=tensor.tensorial,
            counted=tensor.counted,
        )

    return tensor.metric._resumed(("product", tensor, factor, below), make)


def _factor(tensor: Tensor, factor: Any) -> Element:
    if not isinstance(factor, type(tensor)):
        return tensor.metric.element(factor)
    if factor.metric is not tensor.metric or factor.shape:
        raise InputError(
            f"{plain(tensor.name)} times {plain(factor.name)}: expected a number, an expression or a "
            "scalar of the same metric; compute components of a product of tensors from theirs"
        )
    return factor._component()


def moved(tensor: Tensor, slot: int, start: str, end: str, matrix: Callable[[int, int], Element]) -> Tensor:
    """Return a tensor with one index moved from `start` to `end` by the metric or its inverse."""
    if not -len(tensor.shape) <= slot < len(tensor.shape) or tensor.variance[slot] != start:
        raise InputError(
            f"index {slot} of {plain(tensor.name)} is not {start}: its indices are {tensor.variance}"
        )
    slot %= len(tensor.shape)

    def component(*index: int) -> Element:
        return tensor.metric.field.combine(
            (1, matrix(index[slot], a), tensor._component(*index[:slot], a, *index[slot + 1 :]))
            for a in range(tensor.metric.dim)
            if matrix(index[slot], a)
        )

    variance = (*tensor.variance[:slot], end, *tensor.variance[slot + 1 :])
    level = tensor._level if len(set(variance)) == 1 else None

    def make() -> Tensor:
        result = type(tensor)(
            tensor.metric,
            tensor.name,
            variance,
            component,
            level,
            tensorial=tensor.tensorial,
            counted="components" if level is None else "independent components",
        )
        result._level = tensor._level
        return result

    return tensor.metric._resumed(("moved", tensor, slot, end), make)


def covariant_derivative(tensor: Tensor) -> Tensor:
    """Return ∇T; see `Tensor.covariant_derivative`."""
    if not tensor.tensorial:
        raise InputError(
            f"{plain(tensor.name)} is no tensor and has no covariant derivative: expected a tensor"
        )
    metric = tensor.metric
    gamma, field, n = metric.geometry.christoffel, metric.field, metric.dim

    def component(*index: int) -> Element:
        *inner, a = index
        terms = [(1, field.derivative(tensor._component(*inner), a), field.one)]
        for slot, place in enumerate(tensor.variance):
            for b in range(n):
                other = tensor._component(*inner[:slot], b, *inner[slot + 1 :])
                if place == "up":
                    terms.append((1, gamma(inner[slot], b, a), other))
                else:
                    terms.append((-1, gamma(b, inner[slot], a), other))
        return field.combine(terms)

    independent = [(*index, a) for index in tensor.independent for a in range(n)]

    def make() -> Tensor:
        name, variance = rf"\nabla {tensor.name}", (*tensor.variance, "down")
        return type(tensor)(metric, name, variance, component, independent, counted=tensor.counted)

    return metric._resumed(("covariant derivative", tensor), make)
