"""AdamW on a Riemannian manifold of weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.optimizer import _use_grad_for_differentiable

from lnegeom import InputError
from lnegeom_torch.optim._step import ManifoldStep
from lnegeom_torch.optim._two_passes import take_step

__all__ = ["ManifoldAdamW"]

_ASKS_FOR_AMSGRAD = "amsgrad" in inspect.signature(torch.optim.AdamW._init_group).parameters  # torch 2.6


class ManifoldAdamW(ManifoldStep, torch.optim.AdamW):
    """torch's AdamW on natural gradients: ``d = g(W)⁻¹ ∂L/∂W``, then both moments and the step, all torch's.

    The user's ``.grad`` is never written to. Without a metric, or with one that is the identity, the step is
    torch's, bit for bit. ``fused=True`` is the fastest on a processor too, where torch defaults to a loop.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups; a group may set its own of all the options below.
    lr, betas, eps, weight_decay, amsgrad, **torch_options
        As in `torch.optim.AdamW`, with every option that it takes (maximize, foreach, fused, capturable, …).
    metric, metric_on, retraction, gate, clip, precondition_weight_decay
        As in `ManifoldSGD`, the moments taking momentum's place.
    decoupled_weight_decay : bool
        True by default, as in AdamW: ``W ← W − lr λ W`` ahead of the rest. If False, ``λW`` is added to the
        gradient and enters the moments, as in Adam.

    Raises
    ------
    InputError
        As `ManifoldSGD`.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import ManifoldAdamW, NormalizedLNE
    >>> weight = torch.nn.Parameter(torch.ones(4, 3))
    >>> optimizer = ManifoldAdamW([weight], metric=NormalizedLNE(chi=0.5))
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    """

    _torch_decouples = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        metric: Any = None,
        metric_on: Literal["gradient", "update"] = "gradient",
        retraction: Literal["first", "second", "exponential"] = "first",
        gate: bool = False,
        clip: bool = False,
        decoupled_weight_decay: bool = True,
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
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **torch_options)
        self.defaults.update(self._own_defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with its own metric and other options or the optimizer's."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        eps = torch.tensor(group["eps"], device="cpu")
        if group["gate"] and any(eps.to(p.dtype) == 0 for p in group["params"]):
            self.param_groups.pop()
            raise InputError(
                f"eps={group['eps']} is 0 in the precision of a parameter, so that a gated direction, 0, "
                "would give 0/0; take eps of 1e-4 or more for float16, or clip=True in the gate's place"
            )

    @_use_grad_for_differentiable
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform a step, after the closure, if there is one, has found loss and gradients."""
        self._check_capture()
        loss = None
        if closure is not None:
            with torch.enable_grad():  # named here: dynamo passes over a frame that names no torch
                loss = closure()
        for group in self.param_groups:
            lists: list[list[Any]] = [[], [], [], [], [], []]
            has_complex = self._begin(group, lists)
            if not take_step(self, group, lists):
                self._move(group, lists, partial(self._torch_step, group, has_complex))
        return loss

    def _init_group(self, group: dict[str, Any], params: Any, grads: Any, *state: Any) -> Any:
        begin: Any = super()._init_group
        lists = (params, grads, group["amsgrad"]) if _ASKS_FOR_AMSGRAD else (params, grads)
        return begin(group, *lists, *state)

    def _torch_step(self, group: dict[str, Any], has_complex: bool, decay: Any, *lists: list[Any]) -> None:
        beta1, beta2 = group["betas"]
        update: Any = adamw if group["decoupled_weight_decay"] else adam
        update(
            *lists,
            foreach=group["foreach"],
            capturable=group["capturable"],
            differentiable=group["differentiable"],
            fused=group["fused"],
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=getattr(self, "found_inf", None),
            has_complex=has_complex,
            amsgrad=group["amsgrad"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=decay,
            eps=group["eps"],
            maximize=group["maximize"],
        )
