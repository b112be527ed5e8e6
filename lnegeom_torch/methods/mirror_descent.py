"""Mirror descent under the tanh map, in its primal and its dual form."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.options import MirrorDescent
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.methods.soft import SoftWeightQuantizer

__all__ = ["MirrorDescentMethod", "TanhWhileTraining", "multiplicative_step"]


class TanhWhileTraining(SoftWeightQuantizer):
    """``tanh(β W)`` in training mode, with the gradient of W; the sign in evaluation mode."""

    beta = 1.0

    def forward(self, weight: Tensor) -> Tensor:
        """The primal weight in training mode, the quantized one in evaluation mode."""
        if self.training:
            return self.soften(torch.tanh(self.beta * weight), weight, weight)
        return super().forward(weight)


def multiplicative_step(primal: Tensor, step: Tensor, beta: float) -> Tensor:
    """Mirror descent on w in (−1, 1): ``((1+w) e − (1−w)) / ((1+w) e + (1−w))``, ``e = exp(−2 β step)``.

    The same as ``tanh(artanh(w) − β step)``, but for rounding: once w has rounded to ±1 it stays there.

    References
    ----------
    T. Ajanthan, K. Gupta, P. Torr, R. Hartley, P. Dokania, "Mirror descent view for neural network
    quantization", 2021, Eq. 14.

    Examples
    --------
    >>> import torch
    >>> multiplicative_step(torch.tensor([0.0, 0.5]), torch.tensor([-0.5, 0.0]), beta=1.0)
    tensor([0.4621, 0.5000])
    """
    # Divided by cosh(β step), the two exponentials are bounded: no step overflows.
    up, down = torch.sigmoid(-2 * beta * step), torch.sigmoid(2 * beta * step)
    above, below = (1 + primal) * up, (1 - primal) * down
    return (above - below) / (above + below).clamp(min=torch.finfo(primal.dtype).tiny)


class MirrorDescentMethod(Method):
    """Mirror descent: the gradient at ``w = tanh(β W)`` moves W, the dual point, as it is.

    In the primal form each step goes through w instead, by `multiplicative_step`; W only carries w from one
    iteration to the next, and what rounds to ±1 there is kept just inside.

    References
    ----------
    Ajanthan et al. 2021, §3.2 (MD-tanh) and its numerically stable form.
    """

    quantizer_class = TanhWhileTraining

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        super().__init__(model, config, targets)
        self.options = cast(MirrorDescent, config.chosen_options)
        self.progress(0.0)

    def progress(self, done: float) -> None:
        """β is ``start · (end/start)^done``."""
        self._done = done
        start, end = self.options.start, self.options.end
        self.beta = start * (end / start) ** done
        for quantizer in self.quantizers.values():
            cast(TanhWhileTraining, quantizer).beta = self.beta

    def state_dict(self) -> dict[str, Tensor]:
        """The progress, from which β follows."""
        return {"progress": torch.tensor(self._done, dtype=torch.float64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self.progress(float(state["progress"]))

    @torch.no_grad()
    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Remember the dual point, for the primal form."""
        self._before = (
            {name: weight.clone() for name, weight in self.latents.items() if weight.grad is not None}
            if self.options.form == "primal"
            else {}
        )

    @torch.no_grad()
    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """In the primal form, take the optimizer's step multiplicatively."""
        for name, before in self._before.items():
            weight = self.latents[name]
            primal = multiplicative_step(torch.tanh(self.beta * before), before - weight, self.beta)
            edge = 1 - torch.finfo(weight.dtype).eps
            weight.copy_(torch.atanh(primal.clamp(-edge, edge)) / self.beta)
