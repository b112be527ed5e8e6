"""Stochastic gradient descent on a Riemannian manifold of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import _use_grad_for_differentiable
from torch.optim.sgd import sgd

from lnegeom_torch.optim._step import ManifoldStep
from lnegeom_torch.optim._two_passes import take_step

__all__ = ["ManifoldSGD"]


class ManifoldSGD(ManifoldStep, torch.optim.SGD):
    """torch's SGD on natural gradients: ``d = g(W)⁻¹ ∂L/∂W``, then momentum and the step, all torch's own.

    The user's ``.grad`` is never written to. Without a metric, or with one that is the identity, the step is
    torch's, bit for bit. ``fused=True`` is the fastest on a processor too, where torch defaults to a loop.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups; a group may set its own of all the options below.
    lr, momentum, dampening, weight_decay, nesterov, **torch_options
        As in `torch.optim.SGD`, with every option that it takes (maximize, foreach, fused, …).
    metric : Metric, optional
        The metric; None is Euclidean. A group stores it as plain data (its name and numbers).
    metric_on : {"gradient", "update"}
        Whether the metric is applied to the gradient, before momentum, or to the step that momentum makes.
    retraction : {"first", "second", "exponential"}
        The step v from W to ``W + v``, to ``W + v − ½ Γ(v, v)``, or along the geodesic. All but the first
        keep a copy of a part of the weights.
    gate : bool
        Whether to hold weights outside ``|W| ≤ 1``: their direction is dropped, after the metric (ManiQuant
        Eq. 16).
    clip : bool
        Whether to clamp the weights to ``|W| ≤ 1`` after the step, instead (BNN).
    decoupled_weight_decay : bool
        Whether weight decay is a step of its own, ``W ← W − lr λ W``, ahead of the rest, as in AdamW. By
        default it is coupled: ``λW`` is added to the gradient, and enters momentum.
    precondition_weight_decay : bool
        Whether the metric is applied to the decay too. By default it is not: the decay is Euclidean.

    Raises
    ------
    InputError
        If an option is unknown, out of range, or contradicts another; if the metric does not suit a
        parameter's shape; if a group is gated both here and in its quantizer; or if a loaded state has other
        options.

    References
    ----------
    ManiQuant Eq. 16 and Algorithm 1.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import ManifoldSGD, NormalizedLNE
    >>> weight = torch.nn.Parameter(torch.tensor([[3.0, 3.0]]))
    >>> optimizer = ManifoldSGD([weight], lr=1.0, metric=NormalizedLNE(chi=0.5))
    >>> weight.grad = torch.tensor([[1.0, 0.0]])
    >>> optimizer.step()
    >>> weight.data
    tensor([[1.5000, 2.5000]])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float | Tensor = 0.0,
        nesterov: bool = False,
        *,
        metric: Any = None,
        metric_on: Literal["gradient", "update"] = "gradient",
        retraction: Literal["first", "second", "exponential"] = "first",
        gate: bool = False,
        clip: bool = False,
        decoupled_weight_decay: bool = False,
        precondition_weight_decay: bool = False,
        **torch_options: Any,
    ):
        self._set_defaults(
            metric=metric,
            metric_on=metric_on,
            retraction=retraction,
            gate=gate,
            clip=clip,
            decoupled_weight_decay=decoupled_weight_decay,
            precondition_weight_decay=precondition_weight_decay,
        )
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov, **torch_options)
        self.defaults.update(self._own_defaults)

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform a step, after the closure, if there is one, has found loss and gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():  # named here: dynamo passes over a frame that names no torch
                loss = closure()
        for group in self.param_groups:
            lists: list[list[Any]] = [[], [], []]
            sparse = self._begin(group, lists)
            if not take_step(self, group, lists):
                self._move(group, lists, partial(self._torch_step, group, sparse))
            if group["momentum"] != 0:
                for param, buffer in zip(lists[0], lists[2], strict=True):
                    self.state[param]["momentum_buffer"] = buffer
        return loss

    def _torch_step(
        self, group: dict[str, Any], sparse: bool, decay: Any, params: Any, grads: Any, buffers: Any
    ) -> None:
        if _writes_to_gradients(group, decay, params):
            grads = [g.clone() if g is p.grad else g for p, g in zip(params, grads, strict=True)]
        update = partial(self._update, group, sparse, decay)
        if group["fused"] and group["momentum"] != 0 and any(buffer is None for buffer in buffers):
            self._begin_momentum(update, params, grads, buffers)
        else:
            update(params, grads, buffers)

    def _begin_momentum(self, update: Any, *lists: list[Any]) -> None:
        """A fused step of weights some of which have no momentum yet, as when a layer is unfrozen.

        torch takes them all or none, and where it skips their first step, since the scaler found an infinite
        gradient, it leaves as momentum what it found in memory.
        """
        buffers, found_inf = lists[2], getattr(self, "found_inf", None)
        begun = [buffer is not None for buffer in buffers]
        for old in (False, True):
            indices = [index for index, has in enumerate(begun) if has is old]
            chosen = [[whole[index] for index in indices] for whole in lists]
            update(*chosen)
            for index, buffer in zip(indices, chosen[2], strict=True):
                if found_inf is not None and not old:
                    buffer = torch.where(found_inf.to(buffer.device) != 0, 0, buffer)
                buffers[index] = buffer

    def _update(self, group: dict[str, Any], sparse: bool, decay: Any, *lists: list[Any]) -> None:
        update: Any = sgd
        update(
            *lists,
            has_sparse_grad=sparse,
            foreach=group["foreach"],
            fused=group["fused"],
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None),
            weight_decay=decay,
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )


def _writes_to_gradients(group: dict[str, Any], decay: Any, params: list[Tensor]) -> bool:
    """Whether torch's step would, as Nesterov's momentum does with foreach, the default on a GPU."""
    foreach = group["foreach"]
    if foreach is None:
        foreach = not group["fused"] and any(p.device.type != "cpu" for p in params)
    no_copy = not group["maximize"] and not isinstance(decay, Tensor) and decay == 0
    return bool(group["nesterov"] and foreach and no_copy)
