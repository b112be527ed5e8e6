"""Stochastic gradient descent on a Riemannian manifold of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lnegeom_torch.optim._metric import MetricMixin

__all__ = ["ManifoldSGD"]


class ManifoldSGD(MetricMixin, torch.optim.SGD):
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
        self._set_defaults(metric, gate)
        super().__init__(params, lr, momentum, dampening, weight_decay, nesterov, **torch_options)
        self.defaults.update(self._own_defaults)
