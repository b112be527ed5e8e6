"""A method at work on a model."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom_torch import distributed
from lnegeom_torch.methods.batches import split
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.gradients import (
    DivergedError,
    check_gradients,
    overflowed,
    unscale,
    warn_without_metric,
)
from lnegeom_torch.methods.selection import Target
from lnegeom_torch.metrics import metric_to_data
from lnegeom_torch.quant.modules import WeightQuantizer

__all__ = ["LossFunction", "Method"]

LossFunction = Callable[[Tensor, Tensor], Tensor]


class Method:
    """A quantized model together with how it is trained; made by `quantize_`.

    Attributes
    ----------
    model : nn.Module
        The model, quantized in place.
    config : QuantConfig
        What was asked for.
    layers : tuple of str
        Names of the quantized layers, in the model's order.
    """

    quantizer_class: type[WeightQuantizer] = WeightQuantizer
    """What stands between a latent weight and the layer."""

    undistributable: str | None = None
    """Why several processes cannot train by this method; None if they can."""

    def __init__(self, model: nn.Module, config: QuantConfig, targets: dict[str, Target]):
        self.model = model
        self._wrapped: nn.Module | None = None  # by `distribute`
        self.config = config
        self.layers = tuple(targets)
        self._targets = targets
        self._attached: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()
        self._known: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()

    @property
    def latents(self) -> dict[str, nn.Parameter]:
        """The latent weights by layer name, as the model has them now; a shared one once.

        They are the Parameters that the model had before it was quantized, until FSDP2's `fully_shard` or
        ``load_state_dict(assign=True)`` puts others in their place: build the optimizer after those.
        """
        found: dict[int, tuple[str, nn.Parameter]] = {}
        for name, target in self._targets.items():
            weight = self.model.get_parameter(target.latent)
            found.setdefault(id(weight), (name, weight))
        return dict(found.values())

    @property
    def quantizers(self) -> dict[str, WeightQuantizer]:
        """What stands between the latent weights and the layers, by layer name."""
        return {
            name: cast(
                WeightQuantizer,
                cast(parametrize.ParametrizationList, self.model.get_submodule(target.parametrization))[0],
            )
            for name, target in self._targets.items()
        }

    def param_groups(self, latent_lr: float | None = None) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer: latent weights with the metric and gate, then all the others.

        `ManifoldSGD` and `ManifoldAdamW` understand the metric and the gate. torch's own optimizers ignore
        both (`step` warns of a metric left out): for the gate alone, ``QuantConfig(gate="quantizer")``.

        Parameters
        ----------
        latent_lr : float, optional
            Learning rate of the latent weights; by default the optimizer's, as for all others.
        """
        latents = self.latents
        latent = {id(p) for p in latents.values()}
        others = [p for p in self.model.parameters() if id(p) not in latent]
        gate = self.config.chosen_gate
        groups: list[dict[str, Any]] = [
            {
                "params": list(latents.values()),
                "metric": metric_to_data(self.config.chosen_metric),
                **({"quantizer_gate": True} if gate == "quantizer" else {"gate": gate == "optimizer"}),
                **({} if latent_lr is None else {"lr": latent_lr}),
            },
            {"params": others, "metric": None, "gate": False},
        ]
        return [group for group in groups if group["params"]]

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        loss_function: LossFunction,
        inputs: Tensor,
        targets: Tensor,
        *,
        parts: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """One training iteration: gradients, then the optimizer's step.

        What is left of earlier gradients is dropped first: to accumulate, give the whole batch and `parts`.

        Parameters
        ----------
        optimizer : Optimizer
            Over the parameters of the model, as a rule ``ManifoldSGD(method.param_groups(), …)``.
        loss_function : callable
            Maps (outputs, targets) to a scalar loss, as `torch.nn.functional.cross_entropy` does.
        inputs, targets : Tensor
            A mini-batch.
        parts : int
            In how many parts, one after the other, the batch goes through the model: their gradients add up
            to the batch's, in the memory of one. `loss_function` has to be a mean over samples, and batch
            norm takes the statistics of each part.

        Returns
        -------
        loss, outputs : Tensor
            Detached, from before the step.

        Raises
        ------
        InputError
            If the batch is empty, or has fewer samples than parts.
        DivergedError
            If the loss, or the norm of its gradient, is not finite; no step is taken.
        """
        loss, outputs = self._backward(optimizer, loss_function, inputs, targets, parts)
        self._optimize(optimizer)
        return loss, outputs

    def distribute(self) -> None:
        """Let the processes of torch's process group share each batch that is given to `step`.

        Gradients and losses are averaged over them, by torch's DDP. To be called before the first step, by
        all of them, with equal models; then each calls `step` with its own part of every batch, of one size.

        Raises
        ------
        InputError
            If the method needs whole batches.
        """
        if self.undistributable is not None:
            raise InputError(
                f"method {self.config.method!r} cannot be trained by several processes: "
                f"{self.undistributable}; start one process, without torchrun"
            )
        self._wrapped = distributed.wrap(self.model)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Let ``optimizer.step()`` do what `step` does around it, for loops and trainers that are not ours.

        A closure given to it is called first, so that the gradients are there.

        Two need more, the batch itself: ``"rf"`` has to be trained by `step` and refuses, and for ``"fim"``
        the loop has to call `lnegeom_torch.optim.estimate_fisher`.
        """
        if optimizer in self._attached:
            return

        def before(own: torch.optim.Optimizer, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            closure = given[1] if len(given) > 1 else named.get("closure")  # the optimizer comes first
            if closure is None:
                if unscale(own):
                    self._prepare(own)
                return None
            with torch.enable_grad():
                loss = closure()
            self._prepare(own)
            return (own, lambda: loss), {}

        def after(own: torch.optim.Optimizer, *_: Any) -> None:
            if not overflowed(own):
                self._finish(own)

        optimizer.register_step_pre_hook(before)
        optimizer.register_step_post_hook(after)
        self._attached.add(optimizer)

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        """What the method does to weights and gradients once the gradients are there; nothing for most."""

    def after_step(self, optimizer: torch.optim.Optimizer) -> None:
        """What the method does to the weights after the optimizer's step; nothing for most."""

    def progress(self, done: float) -> None:
        """Tell the method which share of the training is done, in [0, 1]; some anneal a constant with it.

        `lnegeom_torch.train` tells it every epoch; a loop of your own should too.
        """

    def predict(self, inputs: Tensor) -> Tensor:
        """Class probabilities of inputs, as the method means the model to be used, in evaluation mode."""
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            probabilities: Tensor = self.model(inputs).softmax(-1)
        self.model.train(was_training)
        return probabilities

    def _optimize(self, optimizer: torch.optim.Optimizer) -> None:
        if optimizer in self._attached:
            optimizer.step()
            return
        self._prepare(optimizer)
        optimizer.step()
        self._finish(optimizer)

    def _prepare(self, optimizer: torch.optim.Optimizer) -> None:
        """What comes before the optimizer's step, or an error if the gradients cannot bear one."""
        if optimizer not in self._known:
            self._known.add(optimizer)
            warn_without_metric(optimizer, self.config, self.latents.values())
        check_gradients(optimizer)
        if type(self).before_step is not Method.before_step:
            self.before_step(optimizer)
            check_gradients(optimizer)  # it may have rewritten them

    def _finish(self, optimizer: torch.optim.Optimizer) -> None:
        """What comes after the optimizer's step."""
        self.after_step(optimizer)
        # An autocast that stays open over iterations would go on with its copies of the weights as they were.
        torch.clear_autocast_cache()

    def _backward(
        self,
        optimizer: torch.optim.Optimizer,
        loss_function: LossFunction,
        inputs: Tensor,
        targets: Tensor,
        parts: int = 1,
    ) -> tuple[Tensor, Tensor]:
        """Leave the gradients of a batch in the parameters, or raise if there is nothing good to leave."""
        optimizer.zero_grad()
        model = self.model if self._wrapped is None else self._wrapped
        losses, outputs = [], []
        for share, x, y in split(inputs, targets, parts):
            found = model(x)
            loss = loss_function(found, y)
            mean = loss.detach().clone()
            self._average_([mean])  # so that all processes stop where one has to
            if not torch.isfinite(mean):
                raise DivergedError(
                    f"the loss is {mean.item()}: expected a finite one, so no step was taken; look for bad "
                    "values in the batch, or lower the learning rate"
                )
            loss = loss if share == 1 else share * loss
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(share * mean)
            outputs.append(found.detach())
        if len(losses) == 1:
            return losses[0], outputs[0]
        return torch.stack(losses).sum(), torch.cat(outputs)

    def _average_(self, tensors: Sequence[Tensor]) -> None:
        """Average over the processes that share a batch, in place; nothing if one has it whole."""
        if self._wrapped is not None:
            distributed.mean_(tensors)

    def _learning_rate(self, optimizer: torch.optim.Optimizer) -> float | Tensor:
        """The optimizer's current rate for the latent weights."""
        mine = {id(weight) for weight in self.latents.values()}
        for group in optimizer.param_groups:
            if any(id(p) in mine for p in group["params"]):
                lr: float | Tensor = group["lr"]
                return lr
        raise InputError(
            "the optimizer holds none of this model's latent weights; build it from param_groups()"
        )

    def state_dict(self) -> dict[str, Tensor]:
        """What the method itself carries from one iteration to the next; nothing for most."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned."""

    def diagnostics(self) -> dict[str, float]:
        """Numbers to report about the last epoch; reading them starts the next one."""
        return {}
