"""Stochastic gradient descent on a Riemannian manifold of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom_torch.metrics import metric_from_data, metric_to_data

__all__ = ["ManifoldSGD"]


class ManifoldSGD(torch.optim.SGD):
    """torch's SGD on natural gradients: ``d = g(W)⁻¹ ∂L/∂W``, then momentum and the step, all torch's own.

    The metric is applied to the gradient before momentum. Weight decay is added after the metric, so it is
    the Euclidean one. The user's ``.grad`` is never written to.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups; a group may set its own ``metric`` and ``gate``.
    lr, momentum, dampening, weight_decay, nesterov, **torch_options
        As in `torch.optim.SGD`, with every option that it takes (maximize, foreach, fused, …).
    metric : NormalizedLNE, optional
        The metric; None is Euclidean. A group stores it as plain data (its name and numbers).
    gate : bool
        Whether to drop the gradient of weights outside ``|W| ≤ 1``, after the metric (ManiQuant Eq. 16).

    Raises
    ------
    InputError
        If the metric is unknown or out of range, if a group is gated both here and in its quantizer, or if
        a loaded state has another metric or gate.

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
        gate: bool = False,
        **torch_options: Any,
    ):
        self._own_defaults = {"metric": metric_to_data(metric), "gate": bool(gate)}
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov, **torch_options)
        self.defaults.update(self._own_defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with its own metric and gate or the optimizer's."""
        group = {**self._own_defaults, **param_group}
        group["metric"] = metric_to_data(group["metric"])
        if group["gate"] and group.get("quantizer_gate", False):
            raise InputError(
                "these weights are gated at |W| <= 1 by their quantizer already, and gate=True asks the "
                "optimizer to do it again; leave gate out here, or set QuantConfig(gate='optimizer')"
            )
        super().add_param_group(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, which must have been saved under the same metric and gate."""
        for index, (group, saved) in enumerate(
            zip(self.param_groups, state_dict["param_groups"], strict=False)
        ):
            for key in ("metric", "gate"):
                if saved.get(key, group[key]) != group[key]:
                    raise InputError(
                        f"parameter group {index} has {key} = {group[key]}, the loaded state {saved[key]}; "
                        "build the optimizer as the saved one was built"
                    )
        super().load_state_dict(state_dict)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        for group in self.param_groups:  # a state saved by torch.optim.SGD has neither
            group.setdefault("metric", None)
            group.setdefault("gate", False)

    def _init_group(
        self,
        group: dict[str, Any],
        params: list[Tensor],
        grads: list[Tensor],
        momentum_buffer_list: list[Tensor | None],
    ) -> bool:
        # torch collects the gradients of a group here; everything after works on whatever this list holds.
        has_sparse_grad: bool = super()._init_group(  # type: ignore[no-untyped-call]
            group, params, grads, momentum_buffer_list
        )
        metric, gate = metric_from_data(group["metric"]), group["gate"]
        if metric is None and not gate:
            return has_sparse_grad
        if has_sparse_grad:
            raise InputError(
                "a metric or a gate needs dense gradients, got sparse ones; use metric=None for them"
            )
        for i, (param, gradient) in enumerate(zip(params, grads, strict=True)):
            direction = gradient if metric is None else metric.natural_gradient(param, gradient)
            grads[i] = torch.where(param.abs() <= 1, direction, 0) if gate else direction
        return has_sparse_grad
