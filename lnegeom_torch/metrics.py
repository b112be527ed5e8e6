"""Light metric objects for weights: plain numbers, applied to one tensor at a time in O(n)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lnegeom import InputError

__all__ = ["NormalizedLNE", "metric_from_data", "metric_to_data"]


@dataclass(frozen=True)
class NormalizedLNE:
    """The layer-normalised LNE metric ``g = I − χ p pᵀ / |p|²``, with ``p = tanh(vec W)``.

    Its exact inverse is ``I + χ/(1−χ) p pᵀ/|p|²``; the papers use the weak one, ``I + χ p pᵀ/|p|²``, to
    which the exact one reduces for small χ. Where ``p = 0`` both are the identity.

    Parameters
    ----------
    chi : float, optional
        χ in [0, 1) for the exact inverse, χ ≥ 0 for the weak. By default the reciprocal of the number of
        output channels (``W.shape[0]``), at most ½, as in ManiQuant §4.1.
    inverse : {"exact", "weak"}
        Which inverse turns a gradient into a natural gradient.

    Raises
    ------
    InputError
        If χ is outside its range or the inverse is unknown.

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

    def __post_init__(self) -> None:
        if self.inverse not in ("exact", "weak"):
            raise InputError(f"inverse must be 'exact' or 'weak', got {self.inverse!r}")
        if self.chi is None:
            return
        try:
            chi = float(self.chi)
        except (TypeError, ValueError):
            raise InputError(f"chi must be a number, got {self.chi!r}") from None
        if self.inverse == "exact" and not 0 <= chi < 1:
            raise InputError(
                f"chi must be in [0, 1) for the exact inverse, got {chi}; g is singular at chi = 1"
            )
        if self.inverse == "weak" and not 0 <= chi < float("inf"):
            raise InputError(f"chi must be a finite number >= 0 for the weak inverse, got {chi}")

    def natural_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """``g⁻¹ ∂L/∂W`` of the shape of the weight, as a new tensor."""
        # Half precision holds neither the squares of small weights nor the sum over a large layer.
        p = torch.tanh(weight.to(torch.promote_types(weight.dtype, torch.float32)))
        chi = self._chi(weight)
        scale = chi / (1 - chi) if self.inverse == "exact" else chi
        squared, product = torch.sum(p * p), torch.sum(p * gradient)
        coefficient = scale * product / torch.where(squared > 0, squared, torch.ones_like(squared))
        step: Tensor = (p * coefficient).to(gradient.dtype)
        return gradient + step

    def factor(self, weight: Tensor) -> Tensor:
        """The ρ of ``g = I − ρρᵀ``, of the shape of the weight: ``√χ p/|p|``, or 0 where p = 0."""
        p = torch.tanh(weight.to(torch.promote_types(weight.dtype, torch.float32)))
        squared = torch.sum(p * p)
        length = torch.sqrt(torch.where(squared > 0, squared, torch.ones_like(squared)))
        rho: Tensor = (p * (self._chi(weight) ** 0.5 / length)).to(weight.dtype)
        return rho

    def _chi(self, weight: Tensor) -> float:
        return min(1 / weight.shape[0], 0.5) if self.chi is None else float(self.chi)


_KINDS = {"NormalizedLNE": NormalizedLNE}


def metric_to_data(metric: Any) -> dict[str, Any] | None:
    """The metric as plain data (its name and numbers), which `torch.load(weights_only=True)` accepts."""
    if metric is None:
        return None
    if isinstance(metric, dict):
        return metric_to_data(metric_from_data(metric))
    if not isinstance(metric, NormalizedLNE):
        raise InputError(f"metric must be None or one of {', '.join(_KINDS)}, got {metric!r}")
    return {"name": type(metric).__name__, **dataclasses.asdict(metric)}


def metric_from_data(data: dict[str, Any] | None) -> NormalizedLNE | None:
    """The metric that plain data names; the inverse of `metric_to_data`."""
    if data is None:
        return None
    numbers = dict(data)
    name = numbers.pop("name", None)
    if name not in _KINDS:
        raise InputError(f"metric data must name one of {', '.join(_KINDS)}, got {name!r}")
    try:
        return _KINDS[name](**numbers)
    except TypeError:
        raise InputError(f"metric data for {name} has unknown entries: {sorted(numbers)}") from None
