"""Estimates of the Fisher information, kept in the state of an optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import ParametrizationList

from lnegeom import InputError
from lnegeom_torch.metrics import Fisher, metric_from_data, wide

__all__ = ["estimate_fisher", "keep_precision", "set_aside"]


def estimate_fisher(
    optimizer: torch.optim.Optimizer,
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor | None = None,
    *,
    likelihood: Literal["categorical", "normal"] = "categorical",
    generator: torch.Generator | None = None,
) -> None:
    """Estimate the Fisher information of each layer whose metric is `Fisher`, by one pass on a batch.

    The gradients are those of the layer's own product with its quantized weight, ``∂ℓ/∂s ⊗ â`` (ManiQuant
    Eq. 10), so that the quantizer plays no part in them. Neither gradients nor running statistics nor torch's
    random state are touched. Batch norm, which ties samples together, is taken as it is in the model's mode.
    With DDP (give the wrapped model) or `fully_shard` each process gives its own part of the batch, and each
    then has the statistics of all of it.

    Parameters
    ----------
    optimizer : Optimizer
        `ManifoldSGD`, `ManifoldAdamW` or `Precondition`, with the metric in a parameter group.
    model : nn.Module
        The model, quantized or not.
    inputs : Tensor
        A batch, samples first.
    targets : Tensor, optional
        To use the data's labels: the "empirical" Fisher. By default labels are drawn from the model's own
        distribution, which is what the Fisher information is.
    likelihood : {"categorical", "normal"}
        What the model's outputs are: logits ``(N, classes)``, or means with unit variance.
    generator : torch.Generator, optional
        For the labels drawn; by default one whose seed is the rank of the process, 0 if there is only one.

    Raises
    ------
    InputError
        If no group has the metric, a weight belongs to no linear layer or convolution of the model or is
        tensor-parallel, or the likelihood is unknown.

    Examples
    --------
    See `lnegeom_torch.metrics.Fisher`.
    """
    if likelihood not in ("categorical", "normal"):
        raise InputError(f"likelihood must be 'categorical' or 'normal', got {likelihood!r}")
    wanted = _fisher_weights(optimizer)
    layers = _layers_of(model, wanted)
    if not layers:  # all are frozen
        return
    seen: list[tuple[Tensor, nn.Module, Tensor, Tensor]] = []
    with ExitStack() as stack, torch.enable_grad():
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        for layer, weight in layers.items():
            hook = _recorder(seen, weight)
            stack.callback(layer.register_forward_hook(hook, with_kwargs=True).remove)
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled layers call no new hooks
        outputs = torch.func.functional_call(model, buffers, (inputs,))
        loss = _surprise(outputs, targets, likelihood, generator)
        slopes: tuple[Tensor | None, ...] = torch.autograd.grad(
            loss, [output for *_, output in seen], allow_unused=True
        )
    with torch.no_grad():
        calls: dict[Tensor, list[tuple[Tensor, Tensor]]] = {}
        for (weight, layer, inputs_seen, _), slope in zip(seen, slopes, strict=True):
            if slope is None:  # an output that the loss does not see, as of an auxiliary head
                continue
            calls.setdefault(weight, []).append(_as_positions(layer, wide(inputs_seen), wide(slope)))
            _check_whole(weight, *calls[weight][-1])
        for weight, found in calls.items():  # what multiplies by a weight again has further positions
            inputs_seen, slope = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
            wanted[weight].update(optimizer.state[weight], inputs_seen, slope, _workers(model, weight))


def _fisher_weights(optimizer: torch.optim.Optimizer) -> dict[Tensor, Fisher]:
    found = {}
    for group in optimizer.param_groups:
        metric = metric_from_data(group.get("metric"))
        if isinstance(metric, Fisher):
            found.update(dict.fromkeys(group["params"], metric))
    if not found:
        raise InputError("no parameter group has the metric Fisher(...); give it to the optimizer")
    return {weight: metric for weight, metric in found.items() if weight.requires_grad}


def _layers_of(model: nn.Module, wanted: dict[Tensor, Fisher]) -> dict[nn.Module, Tensor]:
    """The layers that multiply by each weight, or by what a parametrization makes of it."""
    found: dict[nn.Module, Tensor] = {}
    elsewhere: set[Tensor] = set()
    for layer in model.modules():
        if isinstance(layer, ParametrizationList):
            continue
        parametrizations = getattr(layer, "parametrizations", {})
        owned = {**layer._parameters, **{name: parts.original for name, parts in parametrizations.items()}}
        for name, own in owned.items():
            if own not in wanted:
                continue
            if name == "weight" and isinstance(layer, nn.Linear | nn.Conv2d):
                found[layer] = own
            else:  # an embedding that shares it, say, whose part in F would be missing
                elsewhere.add(own)
    multiplied = set(found.values()) - elsewhere
    unfit = next((weight for weight in wanted if weight not in multiplied), None)
    if unfit is not None:
        raise InputError(
            f"a weight of shape {tuple(unfit.shape)} with the metric Fisher belongs to no nn.Linear or "
            "nn.Conv2d of this model, or not to these alone; put it into a group without that metric"
        )
    return found


def _workers(model: nn.Module, weight: Tensor) -> list[Any]:
    """The process groups among which a batch is divided: DDP's, or those over which a weight is sharded."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return [model.process_group]
    mesh = getattr(weight, "device_mesh", None)
    return [] if mesh is None else mesh.get_all_groups()


def _check_whole(weight: Tensor, inputs: Tensor, slopes: Tensor) -> None:
    expected = (len(weight), weight.numel() // len(weight))
    found = (math.prod(slopes.shape[2:]), inputs.shape[-1])
    if expected != found:
        raise InputError(
            f"Fisher needs all inputs and outputs of a layer on each process: a weight of shape "
            f"{tuple(weight.shape)} saw {found[1]} of {expected[1]} inputs and {found[0]} of {expected[0]} "
            "outputs; tensor-parallel layers need another metric"
        )


def _recorder(seen: list[tuple[Tensor, nn.Module, Tensor, Tensor]], weight: Tensor) -> Any:
    def record(
        layer: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor
    ) -> Tensor:
        seen.append((weight, layer, (args[0] if args else named["input"]).detach(), output))
        return output.clone()  # a ReLU in place would make the output, and its gradient, its own

    return record


def _surprise(
    outputs: Tensor, targets: Tensor | None, likelihood: str, generator: torch.Generator | None
) -> Tensor:
    """Minus the log-likelihood of the labels, given or drawn, summed over the batch."""
    # Workers draw their labels independently.
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    drawn = generator or torch.Generator(outputs.device).manual_seed(rank)
    if likelihood == "categorical":
        if targets is None:
            if outputs.ndim != 2:
                raise InputError(
                    "labels are drawn from logits (N, classes), and the model's outputs have shape "
                    f"{tuple(outputs.shape)}; give estimate_fisher the targets, or choose another "
                    "method than 'fim'"
                )
            targets = torch.multinomial(outputs.detach().softmax(dim=1), 1, generator=drawn)[:, 0]
        return F.cross_entropy(outputs, targets, reduction="sum")
    if targets is None:
        noise = torch.empty_like(outputs, requires_grad=False).normal_(generator=drawn)
        targets = outputs.detach() + noise
    return (outputs - targets).square().sum() / 2


def _as_positions(layer: nn.Module, inputs: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs and output gradients as ``(samples, positions, features)``: patches, for a convolution.

    Of a grouped one ``(samples, positions, groups, features)``: each group is a layer by itself.
    """
    if isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str):
            raise InputError("Fisher needs a convolution's padding in numbers, got padding='same'")
        padding: Any = layer.padding
        if layer.padding_mode != "zeros":
            height, width = layer.padding
            inputs = F.pad(inputs, (width, width, height, height), mode=layer.padding_mode)
            padding = 0
        patches = F.unfold(inputs, layer.kernel_size, layer.dilation, padding, layer.stride)
        patches, slopes = patches.transpose(1, 2), slopes.flatten(2).transpose(1, 2)
        if layer.groups == 1:
            return patches, slopes
        groups = (*patches.shape[:2], layer.groups, -1)
        return patches.reshape(groups), slopes.reshape(groups)
    samples = len(inputs)
    return inputs.reshape(samples, -1, inputs.shape[-1]), slopes.reshape(samples, -1, slopes.shape[-1])


@contextmanager
def set_aside(states: Any, params: Iterable[Tensor]) -> Iterator[None]:
    """Take the statistics out of the states, where torch's optimizers expect nothing but their own."""
    kept = {
        p: {key: states[p].pop(key) for key in list(states[p]) if key.startswith("fisher_")}
        for p in params
        if p in states
    }
    try:
        yield
    finally:
        for param, statistics in kept.items():
            if statistics:
                states[param].update(statistics)


def keep_precision(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Put back a loaded state's statistics as they were saved: torch has cast them to the weights' dtype."""
    keys = [key for group in saved["param_groups"] for key in group["params"]]
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for key, param in zip(keys, params, strict=False):
        for name, value in saved["state"].get(key, {}).items():
            if name.startswith("fisher_"):
                optimizer.state[param][name] = value.to(param.device)
