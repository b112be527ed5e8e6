"""The layer-normalised LNE metric of ManiQuant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import real
from lnegeom_torch.metrics._base import register_metric, wide
from lnegeom_torch.metrics._room import Room, tanh_
from lnegeom_torch.metrics._workers import reduced
from lnegeom_torch.metrics.rank_one import RankOne, at_least

__all__ = ["NormalizedLNE"]

_TINY_32, _TINY_64 = torch.finfo(torch.float32).tiny, torch.finfo(torch.float64).tiny


@register_metric
@dataclass(frozen=True)
class NormalizedLNE(RankOne):
    """The layer-normalised LNE metric ``g = I − χ p pᵀ / |p|²``, with ``p = tanh(vec W)``.

    Its exact inverse is ``I + χ/(1−χ) p pᵀ/|p|²``; the papers use the weak one, ``I + χ p pᵀ/|p|²``, to
    which the exact one reduces for small χ. Where ``p = 0`` both are the identity.

    Parameters
    ----------
    chi : float, optional
        χ in [0, 1) for the exact inverse, χ ≥ 0 for the weak. By default the reciprocal of the number of
        output channels (``W.shape[0]``), at most ½, as in ManiQuant §4.1. The first axis of a
        transposed convolution counts input channels, that of an embedding words: set χ there.
    inverse : {"exact", "weak"}
        Which inverse turns a gradient into a natural gradient.
    per : {"layer", "channel"}
        Whether p is the whole weight, or each output channel has a metric of its own.

    Raises
    ------
    InputError
        If χ is outside its range, or the inverse or `per` is unknown.

    References
    ----------
    ManiQuant Eq. 16.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import NormalizedLNE
    >>> weight, gradient = torch.tensor([[3.0, 3.0]]), torch.tensor([[1.0, 0.0]])
    >>> NormalizedLNE(chi=0.5).natural_gradient(weight, gradient)
    tensor([[1.5000, 0.5000]])
    """

    chi: float | None = None
    inverse: Literal["exact", "weak"] = "exact"
    per: Literal["layer", "channel"] = "layer"

    def __post_init__(self) -> None:
        if self.inverse not in ("exact", "weak"):
            raise InputError(f"inverse must be 'exact' or 'weak', got {self.inverse!r}")
        if self.per not in ("layer", "channel"):
            raise InputError(f"per must be 'layer' or 'channel', got {self.per!r}")
        if self.chi is None:
            return
        chi = real("chi", self.chi)
        object.__setattr__(self, "chi", chi)
        if self.inverse == "exact" and not 0 <= chi < 1:
            raise InputError(
                f"chi must be in [0, 1) for the exact inverse, got {chi}; g is singular at chi = 1"
            )
        if self.inverse == "weak" and not 0 <= chi < math.inf:
            raise InputError(f"chi must be a finite number >= 0 for the weak inverse, got {chi}")

    def natural_gradients(
        self, weights: Any, gradients: Any, room: Any = None, states: Any = None
    ) -> list[Tensor]:
        """`natural_gradient` of each tensor of a list; see `Metric`."""
        return super().natural_gradients(weights, gradients, room if self.per == "layer" else None)

    def check(self, weight: Tensor) -> None:
        """Raise an InputError for a 0-d weight if each output channel is to have its own metric."""
        if self.per == "channel" and weight.ndim == 0:
            raise InputError(
                "per='channel' needs weights with an axis of output channels, got a 0-d tensor; "
                "use per='layer' for it"
            )

    def factor(self, weight: Tensor) -> Tensor:
        """The ρ of ``g = I − ρρᵀ``, of the shape of the weight: ``√χ p/|p|``, or 0 where p = 0."""
        if self.per == "channel":
            raise InputError("a metric per channel is no I − ρρᵀ of the layer; use per='layer'")
        p = self._covector(wide(weight))
        length = torch.sqrt(at_least(self._sum(p * p), _tiny(p.dtype)))
        rho: Tensor = (p * (self._chi(weight) ** 0.5 / length)).to(weight.dtype)
        return rho

    def acceleration(self, weight: Tensor, velocity: Tensor, origin: Tensor | None = None) -> Tensor:
        """``−Γ(v, v)`` in O(n), by the Euler–Lagrange equations of ``½ (|v|² − χ (q·v)²)``, ``q = p/|p|``.

        With ``J = ∂q = (I − q qᵀ) diag(1 − p²)/|p|`` they are ``g a = χ [(q·v)(J v − Jᵀ v) + q (v·J v)]``. It
        is 0 where p = 0, where the field has no connection. The exact inverse is used, whatever `inverse` is
        if χ < 1; the metric whose exact inverse the weak one is has ``χ/(1 + χ)`` for its χ.
        """
        p, v = self._covector(wide(weight)), wide(velocity)
        length = torch.sqrt(at_least(self._sum(p * p), _tiny(p.dtype)))
        q, slope = p / length, (1 - p * p) / length
        along = self._sum(q * v)
        turned = slope * v - q * self._sum(q * slope * v)
        force = along * (turned - slope * (v - q * along)) + q * self._sum(v * turned)
        chi = self._chi(weight) if self.inverse == "exact" else self._chi(weight) / (1 + self._chi(weight))
        return (chi * (force + chi / (1 - chi) * q * self._sum(q * force))).to(velocity.dtype)

    def _covector(self, weight: Tensor) -> Tensor:
        return torch.tanh(weight)

    def _to_covectors_(self, room: Room) -> None:
        tanh_(room.flat)

    def _strength(self, squared: Any, weight: Tensor) -> Any:
        chi = self._chi(weight)
        scale = chi / (1 - chi) if self.inverse == "exact" else chi
        # p·∂L vanishes with p, so that any finite quotient makes the preconditioner the identity there.
        return scale / at_least(squared, max(1.0, scale) * _tiny(weight.dtype))

    def _sum(self, products: Tensor) -> Tensor:
        if self.per == "layer":
            return super()._sum(products)
        if products.ndim == 1:
            return products
        return reduced(products.sum(dim=tuple(range(1, products.ndim)), keepdim=True))

    def _chi(self, weight: Tensor) -> float:
        channels = max(weight.shape[0], 1) if weight.ndim else 1  # a tensor may be empty
        return min(1 / channels, 0.5) if self.chi is None else self.chi


def _tiny(dtype: torch.dtype) -> float:
    """The least normal number of a sum over a weight of this dtype."""
    return _TINY_64 if dtype is torch.float64 else _TINY_32
