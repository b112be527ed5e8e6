"""MetaQuant: a small network learns the gradient through the quantizer."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lnegeom_torch import distributed
from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.options import MetaQuant
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.metrics import wide, without_autocast
from lnegeom_torch.metrics._workers import sharded_like, whole
from lnegeom_torch.quant.modules import WeightQuantizer

__all__ = ["MetaQuantMethod", "MetaQuantizer"]

_ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "tanh": nn.Tanh}


class MetaQuantizer(nn.Module):
    """``M_φ``: gradients at the quantized weights to gradients at the latent ones, entry by entry.

    It begins as the straight-through estimator, ``M(g) = g``: FC is 1 for ``"multifcg"`` and the identity for
    a linear ``"fcgrad"``. With a nonlinearity FC also holds a skip connection, ``FC(z) = z + fc₂(σ(fc₁ z))``
    with fc₂ zero at first.

    Parameters
    ----------
    options : MetaQuant
        Form, nonlinearity, width.

    Notes
    -----
    What the source leaves open, and what is done here: the beginning, above; the scale of the gradient, by
    which a nonlinear ``"fcgrad"`` first divides it (the layer's root mean square), gradients being far
    smaller than a nonlinearity's own scale; and that the entries of ``"multifcg"`` are the quantized weights
    (ManiQuant §1, third equation), which take 2^k values, so that FC runs on these alone.
    """

    def __init__(self, options: MetaQuant):
        super().__init__()
        self.options = options
        multiplies = options.form == "multifcg"
        self.first = nn.Linear(1, options.hidden, bias=multiplies)
        self.second = nn.Linear(options.hidden, 1, bias=multiplies)
        self.between = _ACTIVATIONS[options.activation]()
        with torch.no_grad():
            if multiplies:
                self.second.weight.zero_()
                self.second.bias.fill_(1.0)
            elif options.activation != "linear":
                self.second.weight.zero_()
            else:
                self.second.weight.copy_(self.first.weight.T / self.first.weight.square().sum())

    def forward(self, gradient: Tensor, quantized: Tensor, levels: Tensor) -> Tensor:
        """``M_φ(∂L/∂Ŵ, Ŵ)``; `levels` are the values, evenly spaced, that Ŵ takes."""
        if self.options.form == "multifcg":
            return self._multiplied(gradient, quantized, levels)
        if self.options.activation == "linear":
            factor: Tensor = (self.second.weight @ self.first.weight)[0, 0]
            return gradient * factor
        scale = gradient.square().mean().sqrt()
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        z = (gradient / scale).reshape(-1, 1)
        through: Tensor = z + self.second(self.between(self.first(z)))
        return through.reshape(gradient.shape) * scale

    def _multiplied(self, gradient: Tensor, quantized: Tensor, levels: Tensor) -> Tensor:
        table: Tensor = self.second(self.between(self.first(levels[:, None])))[:, 0]
        if len(levels) == 2:
            return gradient * torch.where(quantized > 0, table[1], table[0])
        place = (quantized - levels[0]) * ((len(levels) - 1) / (levels[-1] - levels[0]))
        return gradient * table[place.round().long()]


class _Step(NamedTuple):
    """What went into a layer's last update: ∂L/∂Ŵ, Ŵ and ∂W̃/∂W."""

    gradient: Tensor
    quantized: Tensor
    slope: Tensor


class MetaQuantMethod(Method):
    """``W ← W − lr · M_φ(∂L/∂Ŵ, Ŵ) ∂W̃/∂W``, and φ descends the loss that this update leads to.

    The loss of iteration t depends on φ through the update of iteration t − 1, so that
    ``∂L_t/∂φ = −lr Σ (∂L_t/∂W)·∂/∂φ [M_φ ∂W̃/∂W]_{t−1}``, the first factor straight through. Momentum and
    weight decay, which the optimizer adds, are not differentiated. φ is shared by the layers and trained by
    Adam. With ``lr = 0`` for φ the method is ``"dorefa"``.

    Several processes train one φ, the first's to begin with. Where `fully_shard` or tensor parallelism has
    divided the weights, each process gathers them and their gradients, and keeps the last update whole.

    References
    ----------
    S. Chen, W. Wang, S. J. Pan, "MetaQuant: learning to quantize by learning to penetrate non-differentiable
    quantization", 2019; ManiQuant §1.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        super().__init__(model, config, targets)
        options = cast(MetaQuant, config.chosen_options)
        first = next(iter(self.latents.values()), next(model.parameters()))
        # In half precision Adam's ε would be 0, and its steps of φ too small to count.
        dtype = torch.promote_types(first.dtype, torch.float32)
        self.meta = MetaQuantizer(options).to(device=first.device, dtype=dtype)
        self.meta_optimizer = torch.optim.Adam(self.meta.parameters(), lr=options.lr)
        self._levels = {
            name: _levels(quantizer).to(first.device, dtype) for name, quantizer in self.quantizers.items()
        }
        self._previous: dict[str, _Step] = {}
        self._agreed = False

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Train φ on what the last update led to, then let it rewrite the gradients."""
        self._move_with_model()
        if not self._agreed:  # processes may have drawn different φ
            distributed.lead_(list(self.meta.parameters()))
            self._agreed = True
        with without_autocast(next(self.meta.parameters())):
            self._rewrite_gradients(self._learning_rate(optimizer))

    def _move_with_model(self) -> None:
        """Be where the weights are, which may have been moved since they were quantized, by Lightning say."""
        like, mine = next(iter(self.latents.values())), next(self.meta.parameters())
        if mine.device == like.device:
            return
        state = {name: value.to(like.device) for name, value in self.state_dict().items()}
        self.meta.to(like.device)
        self.meta_optimizer = torch.optim.Adam(self.meta.parameters(), self.meta_optimizer.defaults["lr"])
        self._levels = {name: levels.to(like.device) for name, levels in self._levels.items()}
        self.load_state_dict(state)

    def _rewrite_gradients(self, lr: float | Tensor) -> None:
        quantizers = self.quantizers
        weights = {name: weight for name, weight in self.latents.items() if weight.grad is not None}
        gradients = {name: whole(cast(Tensor, weight.grad)) for name, weight in weights.items()}
        self._train_meta(gradients, lr)
        for name, weight in weights.items():
            step = _last_step(quantizers[name], whole(weight.detach()), gradients.pop(name))
            with torch.no_grad():
                calibrated = self.meta(step.gradient, step.quantized, self._levels[name])
                weight.grad = sharded_like((calibrated * step.slope).to(weight.dtype), weight)
            self._previous[name] = step

    def _train_meta(self, gradients: dict[str, Tensor], lr: float | Tensor) -> None:
        if not self._previous:
            return
        self.meta_optimizer.zero_grad()
        for name, step in self._previous.items():  # layer by layer: FC may need `hidden` numbers a weight
            if name in gradients:
                with torch.enable_grad():
                    moved = self.meta(step.gradient, step.quantized, self._levels[name]) * step.slope
                    (-lr * torch.sum(wide(gradients[name]) * moved)).backward()  # type: ignore[no-untyped-call]
        self.meta_optimizer.step()

    def state_dict(self) -> dict[str, Tensor]:
        """φ, Adam's moments of it, and what went into the last update."""
        state = {f"meta.{name}": value for name, value in self.meta.state_dict().items()}
        for index, moments in self.meta_optimizer.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        for name, step in self._previous.items():
            state |= {f"previous.{name}.{key}": value for key, value in step._asdict().items()}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self.meta.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("meta.")})
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("adam."):
                _, index, name = key.split(".", 2)
                # Adam reads its count of steps on the host, which on a device it would wait for.
                place = "cpu" if name == "step" else value.device
                adam.setdefault(int(index), {})[name] = value.to(place, copy=True)
        groups = self.meta_optimizer.state_dict()["param_groups"]
        self.meta_optimizer.load_state_dict({"state": adam, "param_groups": groups})
        self._previous = {
            name: _Step(*(state[f"previous.{name}.{key}"] for key in _Step._fields))
            for name in self.layers
            if f"previous.{name}.gradient" in state
        }

    def diagnostics(self) -> dict[str, float]:
        """What M makes of a gradient of 1 at the lowest and the highest level."""
        if not self._levels:
            return {}
        levels = next(iter(self._levels.values()))
        ends = levels[[0, -1]]
        with torch.no_grad():
            low, high = self.meta(torch.ones_like(ends), ends, levels).tolist()
        return {"meta_low": low, "meta_high": high}


def _last_step(quantizer: WeightQuantizer, weight: Tensor, gradient: Tensor) -> _Step:
    gradient, latent = wide(gradient), wide(weight)
    with torch.no_grad():
        quantized, _ = quantizer.decompose(latent)  # the levels in [−1, 1], whatever the scale
        if quantizer.transform == "identity":
            return _Step(gradient, quantized, torch.ones((), dtype=latent.dtype, device=latent.device))
        tanh = torch.tanh(latent)
        # No slope is quite zero, so that ∂L/∂Ŵ can be had from ∂L/∂W by division.
        slope = ((1 - tanh * tanh) / quantizer.divisor(tanh)).clamp(min=torch.finfo(latent.dtype).tiny)
        return _Step(gradient / slope, quantized, slope)


def _levels(quantizer: WeightQuantizer) -> Tensor:
    bits = quantizer.bits
    if bits == "ternary":
        return torch.linspace(-1, 1, 3)
    count = 2 ** int(bits)
    return torch.linspace(-1, 1, count - 1 if bits != 1 and quantizer.quantizer == "maniquant" else count)
