"""A plain model from a quantized one: discrete weights, nothing to train, for use and for export."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import fusion, parametrize

from lnegeom import InputError
from lnegeom_torch.quant.modules import WeightQuantizer

__all__ = ["Packing", "freeze", "weight_quantizers"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Packing(NamedTuple):
    """How a frozen weight is made up, bit for bit: ``levels[codes] * scale``. See `lnegeom_torch.export`."""

    levels: Tensor
    scale: Tensor | None


def weight_quantizers(model: nn.Module) -> dict[tuple[str, str], WeightQuantizer]:
    """Quantizers of a model by the names of the module and of its weight."""
    return {
        (path, name): parts[0]
        for path, module in model.named_modules()
        if parametrize.is_parametrized(module)
        for name, parts in module.parametrizations.items()
        if isinstance(parts[0], WeightQuantizer)
    }


@torch.no_grad()
def freeze(
    model: nn.Module,
    *,
    batch_norm: Literal["keep", "fold"] = "keep",
    recalibrate: Iterable[Tensor] | None = None,
) -> nn.Module:
    """A copy of a quantized model, of plain layers with the discrete weights, in evaluation mode.

    Its outputs equal the quantized model's in evaluation mode exactly, unless batch norm is changed. What
    quantizes activations stays, as modules of `lnegeom_torch.quant`. Layers that share a weight still do.

    Parameters
    ----------
    model : nn.Module
        What `quantize_` changed; it is left as it is.
    batch_norm : {"keep", "fold"}
        ``"fold"`` multiplies each batch norm that directly follows a linear or convolutional layer into that
        layer: its rows are then discrete up to one factor each, and outputs equal up to rounding.
    recalibrate : iterable of Tensor, optional
        Batches of inputs, from which the running mean and variance of each batch norm are measured anew: for
        methods whose weights are discrete in evaluation mode only.

    Returns
    -------
    nn.Module
        The frozen model.

    Raises
    ------
    InputError
        If the model is not quantized, there is no batch to recalibrate from, or a model whose batch norm is
        to be folded cannot be traced.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, freeze, quantize_
    >>> model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).eval()
    >>> method = quantize_(model, QuantConfig("ste"))
    >>> plain, x = freeze(model), torch.randn(4, 3)
    >>> type(plain[0]).__name__, bool(torch.equal(plain(x), model(x)))
    ('Linear', True)
    """
    if batch_norm not in ("keep", "fold"):
        raise InputError(f"batch_norm must be 'keep' or 'fold', got {batch_norm!r}")
    if not weight_quantizers(model):
        raise InputError("the model has no quantized weights to freeze; quantize_ it first")
    frozen = copy.deepcopy(model).eval().requires_grad_(False)
    quantizers = weight_quantizers(frozen)
    # All values first: layers that share a latent weight must not quantize each other's result.
    values = {place: getattr(frozen.get_submodule(place[0]), place[1]).clone() for place in quantizers}
    packings = {
        (path, name): _packing(quantizer, frozen.get_submodule(path), name)
        for (path, name), quantizer in quantizers.items()
    }
    for (path, name), value in values.items():
        frozen.get_submodule(path).get_parameter(f"parametrizations.{name}.original").copy_(value)
    for path, module in list(frozen.named_modules()):
        _make_plain(module, {name: own for (where, name), own in packings.items() if where == path})
        _remove_hooks(module)
    if recalibrate is not None:
        _recalibrate(frozen, recalibrate)
    if batch_norm == "fold":
        _fold(frozen)
    return frozen


def _make_plain(module: nn.Module, packings: dict[str, Packing]) -> None:
    """Undo parametrization; torch's own way of it would undo it for the model that was copied, too."""
    if not packings:
        return
    if set(module.parametrizations) != set(packings):  # type: ignore[arg-type]
        raise InputError(
            f"{type(module).__name__} has parametrizations besides its quantizer; remove them before freezing"
        )
    weights = {name: module.get_parameter(f"parametrizations.{name}.original") for name in packings}
    # A parametrized module has a class of its own, derived from the plain one, which its copies share.
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    for name, weight in weights.items():
        module.register_parameter(name, weight)
    setattr(module, "packing", packings)  # noqa: B010 (no tensor, no module: torch's stubs refuse it)


def _packing(quantizer: WeightQuantizer, module: nn.Module, name: str) -> Packing:
    original = module.get_parameter(f"parametrizations.{name}.original")
    levels, scale = quantizer.decompose(original)
    distinct: Tensor = levels.unique()  # type: ignore[no-untyped-call]
    return Packing(distinct, scale)


def _remove_hooks(module: nn.Module) -> None:
    """Take away what a quantized layer hooks to itself, but for the quantizer of its input."""
    for hooks in (module._load_state_dict_pre_hooks, module._forward_hooks):
        for key, hook in list(hooks.items()):
            function = getattr(hook, "hook", hook)
            function = getattr(function, "func", function)
            if getattr(function, "__module__", "").startswith("lnegeom_torch."):
                del hooks[key]


def _recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    count = 0
    for inputs in batches:
        model(inputs)
        count += 1
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()
    if not count:
        raise InputError("recalibrate is empty: batch norm needs a batch of inputs at least")


def _fold(model: nn.Module) -> None:
    """Fold each batch norm into the layer that alone feeds it."""
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception as error:  # whatever a model's own code raises under tracing
        raise InputError(
            f"batch_norm='fold' needs a model that torch.fx can trace, and it failed: {error}; use 'keep'"
        ) from error
    for node in graph.nodes:
        if node.op != "call_module" or not isinstance(model.get_submodule(node.target), _NORMS):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) > 1:
            continue
        layer = model.get_submodule(before.target)
        norm = cast(nn.BatchNorm2d, model.get_submodule(node.target))
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            fused: nn.Module = fusion.fuse_conv_bn_eval(layer, norm)
        elif isinstance(layer, nn.Linear):
            fused = fusion.fuse_linear_bn_eval(layer, norm)
        else:
            continue
        setattr(fused, "packing", {})  # noqa: B010 (its rows have other factors now)
        model.set_submodule(before.target, fused.requires_grad_(False))
        model.set_submodule(node.target, nn.Identity())
