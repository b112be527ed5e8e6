"""A step of the LNE metric's own Ricci flow, in O(n)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive, real
from lnegeom_torch.metrics._base import Metric, register_metric, wide
from lnegeom_torch.metrics._workers import reduced

__all__ = ["RicciStep"]


@register_metric
@dataclass(frozen=True)
class RicciStep(Metric):
    """``g − 2 t Ric(g)``: the LNE metric ``g = I − u uᵀ``, ``u = tanh(τ vec W)``, after a step of Ricci flow.

    Ric is the exact Ricci tensor of g at W, a diagonal and a rank one, negative definite for n ≥ 2: the sum
    is positive definite for every t ≥ 0, and a diagonal and a rank two, so that its inverse is O(n) too
    (Woodbury). For each layer τ is ``√χ / |W|``, which keeps ``|u|² ≤ χ``, and t is such that the flow adds
    `step` to the diagonal's mean. Most of that is one number for the whole layer, which a tuned learning rate
    undoes; what is left favours the weights of large ``|u_i|``.

    Parameters
    ----------
    chi : float
        χ in (0, 1).
    step : float
        Mean of the diagonal of ``−2 t Ric``, from its leading part ``(2t/w)(H h − h²)``; 0 gives g itself.

    Raises
    ------
    InputError
        If a number is out of its range.

    References
    ----------
    The metric: RF-DNN Eq. 16. Its Ricci tensor, from that of a graph in Minkowski space:
    ``−(1/w)[diag(H h − h²) − (h∘u)(h∘u)ᵀ/w]``, ``h = τ(1 − u²)``, ``w = 1 − |u|²``, ``H = Σ h(1 + u²/w)``.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.ricci_step import RicciStep
    >>> RicciStep(chi=0.5, step=1.0).natural_gradient(torch.tensor([0.3, -0.1]), torch.ones(2))
    tensor([0.6612, 0.4246])
    """

    chi: float = 0.5
    step: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "chi", positive("chi", self.chi))
        object.__setattr__(self, "step", real("step", self.step))
        if self.chi >= 1:
            raise InputError(f"chi must be in (0, 1), got {self.chi}: g is singular at |u|² = 1")
        if not 0 <= self.step < math.inf:
            raise InputError(f"step must be a finite number >= 0, got {self.step}")

    def natural_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """``(g − 2 t Ric)⁻¹ ∂L/∂W``, of the shape and dtype of the gradient, as a new tensor."""
        diagonal, first, second = self.parts(weight)
        covector = wide(gradient)
        # (D − U Uᵀ)⁻¹ = D⁻¹ + D⁻¹ U (I − Uᵀ D⁻¹ U)⁻¹ Uᵀ D⁻¹, the middle a 2 × 2 matrix.
        base, a, b = covector / diagonal, first / diagonal, second / diagonal
        aa, ab, bb = 1 - _sum(first * a), -_sum(first * b), 1 - _sum(second * b)
        x, y = _sum(a * covector), _sum(b * covector)
        determinant = aa * bb - ab * ab
        result = base + a * ((bb * x - ab * y) / determinant) + b * ((aa * y - ab * x) / determinant)
        return result.to(gradient.dtype)

    def parts(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``D``, ``u`` and ``v`` of ``g − 2 t Ric = diag(D) − u uᵀ − v vᵀ``, each of the weight's shape."""
        flat = wide(weight)
        tiny = torch.finfo(flat.dtype).tiny
        tau = math.sqrt(self.chi) / torch.linalg.vector_norm(flat).clamp(min=tiny**0.25)
        u = torch.tanh(tau * flat)
        # τ drops out of everything but t, which is normalised: take h without it.
        h, w = 1 - u * u, 1 - _sum(u * u)
        spread = _sum(h * (1 + u * u / w)) * h - h * h
        # One weight alone has no curvature.
        double_t = self.step * w / (_sum(spread) / max(spread.numel(), 1)).clamp(min=tiny**0.5)
        return 1 + double_t / w * spread, u, (double_t.sqrt() / w) * (h * u)


def _sum(products: Tensor) -> Tensor:
    return reduced(torch.sum(products))
