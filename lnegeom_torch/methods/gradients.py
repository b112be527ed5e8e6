"""Whether gradients can bear a step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

__all__ = ["DivergedError", "check_gradients", "overflowed", "unscale"]


class DivergedError(RuntimeError):
    """The loss or its gradient is infinite or NaN. No step was taken: the weights are the last good ones."""


def check_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Raise if a gradient is not finite, or so large that its norm, as products in a metric, overflows."""
    norm = get_total_norm([g.coalesce().values() if g.is_sparse else g for g in _gradients(optimizer)])
    if not torch.isfinite(norm):
        raise DivergedError(
            f"the norm of the gradient is {norm.item()}: expected a finite one, so no step was taken; "
            "lower the learning rate, or begin from other weights"
        )


def overflowed(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a GradScaler found infinite gradients, so that the optimizer's fused step will be none.

    Without ``fused=True`` the scaler leaves the step out itself.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


@torch.no_grad()
def unscale(optimizer: torch.optim.Optimizer) -> bool:
    """Do what a GradScaler leaves to an optimizer's fused step; False if they overflowed."""
    if overflowed(optimizer):
        return False
    scale = getattr(optimizer, "grad_scale", None)
    if scale is not None:
        for gradient in _gradients(optimizer):
            gradient.div_(scale.to(gradient.device))
        setattr(optimizer, "grad_scale", None)  # noqa: B010 (torch's stubs do not know it)
    return True


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
