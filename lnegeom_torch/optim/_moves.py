"""How a group of weights moves: from gradients to what torch's step sees, and what follows that step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom_torch.metrics import Metric, Room, metric_from_data

__all__ = ["Move", "count_writes"]

Tensors = list[Tensor]


class Move:
    """One step of one group, seen from its options: `directions`, `decay`, torch's own step, `finish`.

    Parameters
    ----------
    group : dict
        The parameter group.
    torch_decouples : bool
        Whether torch's step itself does a decoupled weight decay, as AdamW's.
    """

    def __init__(self, group: dict[str, Any], torch_decouples: bool):
        self.metric: Metric | None = metric_from_data(group["metric"])
        self.group = group
        self.on_update = group["metric_on"] == "update"
        # A decay inside torch's step would be taken for a part of the step, and be turned or bent with it.
        self.follows = self.on_update or group["retraction"] != "first"
        self.preconditions_decay = group["precondition_weight_decay"] and self.metric is not None
        decay = group.get("weight_decay", 0.0)
        decays = isinstance(decay, Tensor) or decay != 0
        decoupled = decays and group["decoupled_weight_decay"]
        self.coupled_decay = decay if decays and not decoupled else 0.0
        leave = torch_decouples and not self.follows and not self.preconditions_decay
        self.own_decay = decay if decoupled and not leave else 0.0
        self.torch_decay = decay if not decoupled or leave else 0.0

    @property
    def euclidean(self) -> bool:
        """Whether torch's step is all there is."""
        own_decay = isinstance(self.own_decay, Tensor) or self.own_decay != 0
        return self.metric is None and not (self.group["gate"] or self.group["clip"] or own_decay)

    def directions(
        self, params: Tensors, grads: Tensors, states: list[Any], room: Room | None = None
    ) -> Tensors:
        """What torch's step is to see for gradients; the gradients themselves are never written to."""
        if self.metric is None and not self.group["gate"]:
            return grads
        if any(gradient.is_sparse for gradient in grads):
            raise InputError(
                "a metric or a gate needs dense gradients, got sparse ones; use metric=None for them"
            )
        if self.on_update:
            return grads
        if self.group.get("differentiable", False):  # the step writes to what this graph would need
            params = [p.clone() for p in params]
        weights, found = as_real(params), as_real(grads)
        if self.metric is not None:
            found = self._natural(self.metric, weights, found, states, room)
        if self.group["gate"]:
            found = _gated(weights, found, room)
        return [torch.view_as_complex(d) if p.is_complex() else d for p, d in zip(params, found, strict=True)]

    def _natural(
        self, metric: Metric, weights: Tensors, grads: Tensors, states: list[Any], room: Room | None
    ) -> Tensors:
        if not self.preconditions_decay:
            return metric.natural_gradients(weights, grads, room, states)
        # torch adds λW to what it is given, or to its negative if it maximizes: what it gets here lacks λW,
        # so that the sum is g⁻¹(∂L + λW).
        decay = -self.coupled_decay if self.group.get("maximize", False) else self.coupled_decay
        sums = [g + decay * w for w, g in zip(weights, grads, strict=True)]
        found = metric.natural_gradients(weights, sums, room, states)
        return [d - decay * w for w, d in zip(weights, found, strict=True)]

    def decay(self, params: Tensors, states: list[Any], found_inf: Tensor | None = None) -> None:
        """Decoupled weight decay, ``W ← W − lr λ W`` or ``W − lr λ g⁻¹W``, where it is not torch's."""
        if not isinstance(self.own_decay, Tensor) and self.own_decay == 0:
            return
        rate = self.group["lr"] * self.own_decay
        if found_inf is not None:  # GradScaler: a step with infinite gradients is none
            rate = rate * (1 - found_inf)
        weights = as_real(params)
        if self.preconditions_decay and self.metric is not None:
            kept = [w.clone() for w in weights] if self.group.get("differentiable", False) else weights
            shrink = self.metric.natural_gradients(kept, kept, None, states)
            for weight, direction in zip(weights, shrink, strict=True):
                weight.sub_(rate * direction)
        else:
            for weight in weights:
                weight.mul_(1 - rate)

    def finish(self, params: Tensors, before: Tensors | None, states: list[Any]) -> None:
        """Turn the step by the metric, bend it along the geodesic, clip, as the options say."""
        weights = as_real(params)
        if before is not None and self.metric is not None:
            for weight, start, state in zip(weights, as_real(before), states, strict=True):
                weight.copy_(self._bent(self.metric, start, weight - start, state))
        if self.group["clip"]:
            for weight in weights:
                weight.clamp_(-1, 1)

    def _bent(self, metric: Metric, start: Tensor, step: Tensor, state: Any) -> Tensor:
        if self.on_update:
            (step,) = metric.natural_gradients([start], [step], None, [state])
            step = torch.where(start.abs() <= 1, step, 0) if self.group["gate"] else step
        if self.group["retraction"] == "exponential":
            return metric.exponential(start, step)
        if self.group["retraction"] == "second":
            return start + step + metric.acceleration(start, step) / 2
        return start + step


def _gated(weights: Tensors, directions: Tensors, room: Room | None) -> Tensors:
    """Directions of the weights inside |W| ≤ 1, and 0 for the others."""
    if room is None or any(d.dtype != room.flat.dtype for d in directions):
        return [torch.where(w.abs() <= 1, d, 0) for w, d in zip(weights, directions, strict=True)]
    # The derivative of clipping, in one pass: torch's drops |W| = bound too, so that the bound is the next
    # number above 1.
    bound = 1 + torch.finfo(room.flat.dtype).eps
    keep_inside = torch.ops.aten.hardtanh_backward.grad_input
    for weight, direction, out in zip(weights, directions, room.shaped, strict=True):
        keep_inside(direction, weight, -bound, bound, grad_input=out)
    return list(room.shaped)


def count_writes(group: dict[str, Any], params: Tensors) -> None:
    """Have torch know that a fused step has written to the weights, which it does not count by itself.

    What saved the old values for a backward pass is then refused, and what was made of them is made anew.
    """
    if group.get("fused") and not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(params)


def as_real(tensors: Tensors) -> Tensors:
    """Complex tensors as pairs of their real and imaginary parts, as torch's own optimizers see them."""
    return [torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in tensors]
