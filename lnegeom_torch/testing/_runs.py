"""Runs of an optimizer under test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom.testing._check import Measures

__all__ = ["Built", "Run", "lacks"]


class Built:
    """An optimizer by the function that builds it.

    Attributes
    ----------
    build : callable
        ``build(params, **options)``.
    name : str
        What a report calls it.
    defaults : dict
        The options that it has.
    """

    def __init__(self, build: Callable[..., torch.optim.Optimizer], like: Tensor):
        self.build = build
        optimizer = build([nn.Parameter(like.clone())])
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(f"expected an optimizer from {build!r}, got {optimizer!r}")
        self.name = type(optimizer).__name__
        self.defaults = optimizer.defaults

    def __repr__(self) -> str:
        return self.name


class Run:
    """Parameters that start at given weights, and their optimizer."""

    def __init__(self, m: Measures, weights: Any = None, **options: Any):
        given = list(m.native("x") if weights is None else weights)
        self.params = [nn.Parameter(weight.detach().clone()) for weight in given]
        self.optimizer = m.thing.build(self.params, **options)
        self.gradients = m.native("gradients")

    def step(self, gradients: Iterable[Tensor | None]) -> None:
        """A step with these gradients."""
        for param, gradient in zip(self.params, gradients, strict=True):
            param.grad = None if gradient is None else gradient.to(param.dtype).clone()
        self.optimizer.step()

    def steps(self, count: int = 3, first: int = 0) -> Tensor:
        """Where so many steps with the gradients lead."""
        for gradients in self.gradients[first : first + count]:
            self.step(gradients)
        return self.weights

    def loss(self, gradients: Iterable[Tensor]) -> Tensor:
        """A loss that has these gradients."""
        return torch.stack([(p * g).sum() for p, g in zip(self.params, gradients, strict=True)]).sum()

    @property
    def weights(self) -> Tensor:
        """The parameters, ``(B, *shape)``."""
        return torch.stack([param.detach().clone() for param in self.params])


def lacks(option: str) -> Callable[[Built, int], str | None]:
    """Why a law about an option does not apply."""
    return lambda built, n: None if option in built.defaults else f"it has no option {option}"
