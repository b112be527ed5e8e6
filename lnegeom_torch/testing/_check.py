"""What the checks of metrics, manifolds and optimizers share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from torch import Tensor

from lnegeom import GeometryError, InputError
from lnegeom._array import check_finite, to_numpy
from lnegeom.testing._law import Numbers, Pair
from lnegeom.testing._tensor_laws import smaller

__all__ = ["derivative", "matrices", "numbers", "same", "slope", "stacked", "total"]


def stacked(value: Any, name: str, least: int = 1) -> Tensor:
    """Tensors of one shape, stacked ``(B, *shape)``, at least so many, or an error."""
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=torch.float64)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{name} must be float32 or float64, got {tensor.dtype}; write {name}.double()")
    if tensor.ndim == 0 or tensor.numel() == 0 or len(tensor) < least:
        raise GeometryError(
            f"{name} has shape {tuple(tensor.shape)}: expected at least {least}, stacked as (B, *shape); of "
            f"one tensor, write {name}[None]"
        )
    check_finite(xp, tensor, name)
    return tensor.detach()


def numbers(value: Any) -> Numbers:
    """Numbers of a tensor of any dtype, or of a list of such tensors, as numpy's."""
    if isinstance(value, list):
        return np.stack([numbers(each) for each in value])
    return to_numpy(value.double())


def same(found: Any, expected: Any) -> Pair:
    """The pair of a tensor and what it should be, small being what is small next to the latter."""
    sizes = numbers(expected)
    return numbers(found), sizes, smaller(sizes)


def matrices(function: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """The matrix ``(n, n)`` of a linear function of tensors with n entries, column by column."""
    columns = torch.eye(like.numel(), dtype=like.dtype, device=like.device)
    return torch.stack([function(column.view_as(like)).reshape(-1) for column in columns], dim=1)


def slope(function: Callable[[Tensor], Tensor], like: Tensor, at: float = 0.0) -> Tensor:
    """The derivative of a function of one number, by differences of fourth order."""
    step: float = torch.finfo(like.dtype).eps ** 0.3  # short: a kink between them spoils differences
    times = [at + step * k for k in (-2, -1, 1, 2)]
    first, second, third, fourth = (function(like.new_tensor(t)).detach() for t in times)
    return (8 * (third - second) - (fourth - first)) / (12 * step)


def total(terms: Tensor) -> Tensor:
    """Sums ``(B,)`` of terms ``(B, *shape)``."""
    sums: Tensor = terms.reshape(len(terms), -1).sum(dim=1)
    return sums


def derivative(function: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """The derivative at 0 of numbers ``(B,)`` that depend on one number, by automatic differentiation."""
    with torch.enable_grad():
        at = torch.zeros((), dtype=like.dtype, device=like.device, requires_grad=True)
        found = function(at)
        if not found.requires_grad:
            raise AssertionError("the result is cut off from what it was computed from: it has no derivative")
        return torch.stack([torch.autograd.grad(each, at, retain_graph=True)[0] for each in found])
