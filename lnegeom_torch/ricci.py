"""RF-DNN's discrete Ricci flow on the weights of a layer: its constants, translations and residual."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from lnegeom import InputError
from lnegeom._array import positive_integer, real
from lnegeom.flow import discrete_flow_residual, relative_flow_residual

__all__ = ["Factors", "RicciFlow", "relative_residual", "residual", "translate", "whole_batch_residual"]


@dataclass(frozen=True)
class RicciFlow:
    """The constants of RF-DNN Algorithm 2, which the paper leaves open.

    Parameters
    ----------
    alpha : float
        Weight α ≥ 0 of the residual N in the loss, ``L + αN`` (Algorithm 2, line 9).
    epsilon : float
        Gate ε ≥ 0: a layer whose N exceeds it takes no gradient in that iteration (Eq. 36); infinity never
        gates.
    rows : (int, int)
        Translations k₁, k₂ of the input along its rows' axis, in pixels: two different ones, each smaller
        than 4 in size.
    columns : (int, int)
        Translations j₁, j₂ along the columns' axis, likewise.
    virtual_lr : float, optional
        Step of the virtual update whose metric is taken; by default the optimizer's current learning rate.
    every : int
        N is computed once in so many iterations, with α as many times as large; 1 is the algorithm as
        printed. With the other defaults it costs five passes each time and is exact: 20 makes an iteration
        1¼ times as long.
    share : float
        Share of each batch, its first samples, that is translated, in (0, 1]; of less than all of them N is
        an estimate.
    batched : bool
        Whether the translations go through the model in one pass, by `torch.func.vmap`. On a CPU that pays
        for small networks only.

    Notes
    -----
    What the paper does not say, and what is done here:

    - *Filling*: what a translation moves in is zero.
    - *Virtual update*: ``W|k = W − lr · g(W)⁻¹ ∂L_k/∂Ŵ``, one plain step along Eq. 27, no momentum.
    - *Differentiating N*: the metrics of iteration t − 1 are constants, and so are the virtual gradients;
      only the W inside the newest ``W|k₁`` carries gradient. ``α ∂N/∂W`` is added to the latent gradient.
    - *First iteration*: it has no predecessor, so N = 0.
    - *Metric*: the layer-normalised one (ManiQuant Eq. 16), which is ``I − τ² p pᵀ`` with the layer's τ
      adjusted so that it stays positive definite, as RF-DNN asks of τ.
    - *A cheap flow*, ``every > 1``: N needs two iterations in a row, the first with all four translated
      passes, the second with k₁ alone.
    - *A part of the batch*, ``share < 1``: N has a part that falls as 1/samples, the noise of the translated
      gradients, and on a quarter of the batch it comes out half as large again. So it is taken on both
      halves of the part, too, and extrapolated to the whole batch (`whole_batch_residual`).
    - *No translation*: where k₂ or j₂ is 0 its gradient is the real one, and costs no pass. With both 0 the
      flow as printed takes three passes instead of five.
    - ``docs/methods.md`` has the measured errors and times of all these.
    - *Batch norm and random numbers*: the virtual passes leave running statistics and the random state as
      they found them.

    Examples
    --------
    >>> from lnegeom_torch import RicciFlow
    >>> RicciFlow(alpha=0.0, epsilon=float("inf")).rows
    (1, -1)
    """

    alpha: float = 1.0
    epsilon: float = 1e-3
    rows: tuple[int, int] = (1, -1)
    columns: tuple[int, int] = (1, -1)
    virtual_lr: float | None = None
    every: int = 1
    share: float = 1.0
    batched: bool = False

    def __post_init__(self) -> None:
        for name in ("alpha", "epsilon") if self.virtual_lr is None else ("alpha", "epsilon", "virtual_lr"):
            real(name, getattr(self, name))
        if not 0 <= self.alpha < math.inf:
            raise InputError(f"alpha must be a finite number >= 0, got {self.alpha}")
        if not self.epsilon >= 0:
            raise InputError(f"epsilon must be >= 0 (infinity never gates), got {self.epsilon}")
        if self.virtual_lr is not None and not 0 < self.virtual_lr < math.inf:
            raise InputError(f"virtual_lr must be a positive finite number, got {self.virtual_lr}")
        positive_integer("every", self.every)
        if not 0 < real("share", self.share) <= 1:
            raise InputError(f"share must be in (0, 1], got {self.share}")
        if not isinstance(self.batched, bool):
            raise InputError(f"batched must be True or False, got {self.batched!r}")
        for name in ("rows", "columns"):
            pair = getattr(self, name)
            whole = isinstance(pair, tuple | list) and all(isinstance(k, int) for k in pair)
            if not whole or len(pair) != 2 or pair[0] == pair[1] or any(abs(k) >= 4 for k in pair):
                raise InputError(
                    f"{name} must be two different whole numbers of pixels below 4 in size, got {pair}"
                )

    @property
    def translations(self) -> tuple[tuple[int, int], ...]:
        """The four (row, column) translations: k₁, k₂, j₁, j₂."""
        (k1, k2), (j1, j2) = self.rows, self.columns
        return (k1, 0), (k2, 0), (0, j1), (0, j2)


class Factors(NamedTuple):
    """The ρ of a layer's metric ``I − ρρᵀ`` at its four virtual weights."""

    k1: Tensor
    k2: Tensor
    j1: Tensor
    j2: Tensor


def translate(images: Tensor, rows: int, columns: int) -> Tensor:
    """Images ``(..., H, W)`` moved by whole pixels, zeros moving in.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.ricci import translate
    >>> translate(torch.tensor([[1, 2], [3, 4]]), rows=1, columns=0)
    tensor([[0, 0],
            [1, 2]])
    """
    return F.pad(images, (columns, -columns, rows, -rows))


def residual(flow: RicciFlow, newest: Tensor, previous: Factors) -> Tensor:
    """N of RF-DNN Eq. 35 for a layer: the newest ρ at k₁ against the four of the iteration before."""
    value: Tensor = discrete_flow_residual(newest, *previous, *_steps(flow), check=False)
    return value


def relative_residual(flow: RicciFlow, newest: Tensor, previous: Factors, value: Tensor) -> Tensor:
    """A layer's N over the squared norms of the flow's two sides (`lnegeom.flow.relative_flow_residual`)."""
    relative: Tensor = relative_flow_residual(newest, *previous, *_steps(flow), residual=value)
    return relative


def _steps(flow: RicciFlow) -> tuple[int, int]:
    """``k₁ − k₂`` and ``j₁ − j₂``."""
    return flow.rows[0] - flow.rows[1], flow.columns[0] - flow.columns[1]


def whole_batch_residual(part: Tensor, halves: tuple[Tensor, Tensor], share: float) -> Tensor:
    """N on a whole batch, extrapolated from N on a part of it and on that part's two halves.

    Where ``N = A + C/samples``, the part's excess is ``C/share − C`` and the halves' mean exceeds the part by
    ``C/share``. An estimate of so small an N may be negative.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.ricci import whole_batch_residual
    >>> n = lambda share: torch.tensor(3.0 + 0.5 / share)  # 3.5 on the whole batch
    >>> whole_batch_residual(n(0.25), (n(0.125), n(0.125)), share=0.25)
    tensor(3.5000)
    """
    return part - (1 - share) * ((halves[0] + halves[1]) / 2 - part)
