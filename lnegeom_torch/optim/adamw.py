"""AdamW on a Riemannian manifold of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lnegeom_torch.optim._metric import MetricMixin

__all__ = ["ManifoldAdamW"]


class ManifoldAdamW(MetricMixin, torch.optim.AdamW):
    """torch's AdamW on natural gradients: ``d = g(W)⁻¹ ∂L/∂W``, then both moments and the step, all torch's.

    The metric is applied to the gradient before the moments. Weight decay is decoupled, as in AdamW, so the
    metric does not see it. The user's ``.grad`` is never written to.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups; a group may set its own ``metric`` and ``gate``.
    lr, betas, eps, weight_decay, amsgrad, **torch_options
        As in `torch.optim.AdamW`, with every option that it takes (maximize, foreach, fused, …).
    metric : NormalizedLNE, optional
        The metric; None is Euclidean. A group stores it as plain data (its name and numbers).
    gate : bool
        Whether to drop the gradient of weights outside ``|W| ≤ 1``, after the metric.

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
        gate: bool = False,
        **torch_options: Any,
    ):
        self._set_defaults(metric, gate)
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **torch_options)
        self.defaults.update(self._own_defaults)
