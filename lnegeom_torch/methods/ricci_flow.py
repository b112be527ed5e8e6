"""RF-DNN Algorithm 2: training under the discrete Ricci flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lnegeom import InputError
from lnegeom_torch.methods.base import LossFunction, Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.metrics import NormalizedLNE
from lnegeom_torch.ricci import Factors, RicciFlow, residual, translate

__all__ = ["RicciFlowMethod"]


class RicciFlowMethod(Method):
    """RF-DNN Algorithm 2, whole: four translated passes, virtual updates, residual N, α-term and ε-gate.

    Each iteration costs five forward and backward passes. Its constants, and how what the paper leaves open
    was decided, are in `lnegeom_torch.RicciFlow`. A plain ``loss.backward(); optimizer.step()`` trains by
    Algorithm 1, the metric without the flow.

    Attributes
    ----------
    residuals : dict of str to Tensor
        N of the last iteration, by layer name, 0-d.
    """

    def __init__(self, model: nn.Module, config: QuantConfig, latents: dict[str, nn.Parameter]):
        super().__init__(model, config, latents)
        self.flow = config.flow or RicciFlow()
        metric = config.chosen_metric
        assert metric is not None  # the registry gives `rf` one, and QuantConfig cannot take it away
        self.metric: NormalizedLNE = metric
        self.residuals: dict[str, Tensor] = {}
        self._previous: dict[str, Factors] = {}
        self._seen: list[tuple[Tensor, Tensor]] = []

    def step(
        self, optimizer: torch.optim.Optimizer, loss_function: LossFunction, inputs: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One iteration of Algorithm 2; see `Method.step`. Inputs are images ``(N, …, H, W)``."""
        self._check_images(inputs)
        lr = self._virtual_lr(optimizer)
        steps = [
            self._virtual_steps(loss_function, translate(inputs, *shift), targets, lr)
            for shift in self.flow.translations
        ]
        optimizer.zero_grad()
        outputs = self.model(inputs)
        loss = loss_function(outputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        for layer, (name, weight) in enumerate(self.latents.items()):
            self._follow_flow(name, weight, [virtual[layer] for virtual in steps])
        if self.residuals:
            values = torch.stack(list(self.residuals.values()))
            self._seen.append((values.max(), (values <= self.flow.epsilon).float().mean()))
        optimizer.step()
        return loss.detach(), outputs.detach()

    def state_dict(self) -> dict[str, Tensor]:
        """The ρ of the last iteration's metrics, four for each layer."""
        return {
            f"{name}.{key}": rho
            for name, factors in self._previous.items()
            for key, rho in factors._asdict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""
        self._previous = {
            name: Factors(*(state[f"{name}.{key}"] for key in Factors._fields))
            for name in self.latents
            if f"{name}.k1" in state
        }

    def diagnostics(self) -> dict[str, float]:
        """Largest N over layers and the share of layers let through, each averaged since the last call."""
        if not self._seen:
            return {}
        largest, open_share = (torch.stack(values).mean().item() for values in zip(*self._seen, strict=True))
        self._seen.clear()
        return {"largest_residual": largest, "gate_open": open_share}

    def _virtual_steps(
        self, loss_function: LossFunction, inputs: Tensor, targets: Tensor, lr: float | Tensor
    ) -> list[Tensor]:
        """``lr · g⁻¹ ∂L/∂Ŵ`` for each layer on translated inputs, leaving no trace in the model."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        devices = [inputs.device] if inputs.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            loss = loss_function(functional_call(self.model, buffers, (inputs,)), targets)
            gradients = torch.autograd.grad(loss, list(self.latents.values()))
        with torch.no_grad():
            pairs = zip(self.latents.values(), gradients, strict=True)
            return [lr * self.metric.natural_gradient(weight, gradient) for weight, gradient in pairs]

    def _follow_flow(self, name: str, weight: nn.Parameter, steps: list[Tensor]) -> None:
        """Add ``α ∂N/∂W`` to a layer's gradient, gate it by N ≤ ε, and keep its metrics for the next time."""
        latent = weight.detach().requires_grad_()
        with torch.enable_grad():
            newest = self.metric.factor(latent - steps[0])
        previous = self._previous.get(name)
        if previous is not None:
            with torch.enable_grad():
                value = residual(self.flow, newest, previous)
            (slope,) = torch.autograd.grad(value, latent)
            assert weight.grad is not None
            weight.grad.add_(slope, alpha=self.flow.alpha)
            weight.grad.mul_((value <= self.flow.epsilon).to(weight.dtype))
            self.residuals[name] = value.detach()
        rest = (self.metric.factor(weight.detach() - step) for step in steps[1:])
        self._previous[name] = Factors(newest.detach(), *rest)

    def _virtual_lr(self, optimizer: torch.optim.Optimizer) -> float | Tensor:
        if self.flow.virtual_lr is not None:
            return self.flow.virtual_lr
        mine = {id(weight) for weight in self.latents.values()}
        for group in optimizer.param_groups:
            if any(id(p) in mine for p in group["params"]):
                lr: float | Tensor = group["lr"]
                return lr
        raise InputError(
            "the optimizer holds none of this model's latent weights; build it from param_groups()"
        )

    def _check_images(self, inputs: Tensor) -> None:
        reach = max(abs(k) for k in (*self.flow.rows, *self.flow.columns))
        if inputs.ndim < 3 or min(inputs.shape[-2:]) <= reach:
            raise InputError(
                "method 'rf' translates its input images: expected inputs (N, ..., H, W) with H and W above "
                f"{reach}, got shape {tuple(inputs.shape)}; let the model flatten them"
            )
