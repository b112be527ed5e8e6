"""Whether gradients can bear a step, and whether an optimizer will take it in the method's metric."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.optim import Precondition

__all__ = ["DivergedError", "check_gradients", "overflowed", "unscale", "warn_without_metric"]


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


def warn_without_metric(
    optimizer: torch.optim.Optimizer, config: QuantConfig, latents: Collection[Tensor]
) -> None:
    """Warn of an optimizer that moves latent weights, but not in the metric that makes the method."""
    if config.chosen_metric is None:
        return
    name, mine = type(optimizer).__name__, {id(weight) for weight in latents}
    groups = [group for group in optimizer.param_groups if any(id(p) in mine for p in group["params"])]
    if not isinstance(optimizer, Precondition) and "metric" not in optimizer.defaults:
        why = f"{name} knows no metrics"
    elif any(group.get("metric") is None for group in groups):
        why = f"{name} was given these weights without it"
    else:
        return
    warnings.warn(
        f"what makes method {config.method!r} is its metric, {config.chosen_metric}, but {why}: it trains as "
        "it would with none; build the optimizer as ManifoldSGD(method.param_groups(), ...), or wrap it in "
        "Precondition",
        UserWarning,
        stacklevel=5,
    )


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
