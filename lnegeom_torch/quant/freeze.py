"""A plain model from a quantized one: discrete weights, nothing to train, for use and for export."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.optim.swa_utils import update_bn

from lnegeom import InputError
from lnegeom_torch.quant.folding import fold_batch_norms_
from lnegeom_torch.quant.modules import ActivationQuantizer, QuantizedReLU, WeightQuantizer
from lnegeom_torch.quant.packing import Packing

__all__ = ["freeze", "weight_quantizers"]


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
    recalibrate: Iterable[Any] | None = None,
) -> nn.Module:
    """A copy of a quantized model, of plain layers with the discrete weights, in evaluation mode.

    Under `torch.no_grad`, its outputs equal the quantized model's in evaluation mode exactly, unless batch
    norm is changed. What quantizes activations stays, as modules of `lnegeom_torch.quant`; the other modules
    are torch's own. ``state_dict()`` has the names of the model before it was quantized, and layers that
    share a weight still do, unless each has learned a scale of its own for it. Of a model in `torch.compile`,
    `nn.DataParallel` or DDP it is a copy of the model inside, whose names have no prefix. Full precision
    (``"fp"``, or 32 bits) gives a copy, so that one script serves every method.

    Parameters
    ----------
    model : nn.Module
        What `quantize_` changed; it is left as it is.
    batch_norm : {"keep", "fold"}
        ``"fold"`` multiplies each batch norm that directly follows a linear or convolutional layer into that
        layer: its rows are then discrete up to one factor each, and outputs equal up to rounding.
    recalibrate : iterable of Tensor or of (Tensor, ...), optional
        Batches of inputs, as a data loader gives them, from which the running mean and variance of each batch
        norm are measured anew, by `torch.optim.swa_utils.update_bn`: for methods whose weights are discrete
        in evaluation mode only, and for averaged weights.

    Returns
    -------
    nn.Module
        The frozen model.

    Raises
    ------
    InputError
        If the model has not been through `quantize_`, cannot be copied, or is parametrized otherwise too,
        there is nothing to recalibrate, or a model whose batch norm is to be folded cannot be traced.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, freeze, quantize_
    >>> model = torch.nn.Sequential(torch.nn.Linear(16, 2), torch.nn.BatchNorm1d(2)).eval()
    >>> method = quantize_(model, QuantConfig("ste"))
    >>> plain, x = freeze(model), torch.randn(4, 16)
    >>> with torch.no_grad():
    ...     type(plain[0]).__name__, torch.equal(plain(x), model(x)), plain[0].weight.unique()
    ('Linear', True, tensor([-1.,  1.]))
    """
    if batch_norm not in ("keep", "fold"):
        raise InputError(f"batch_norm must be 'keep' or 'fold', got {batch_norm!r}")
    if not isinstance(model, nn.Module) or not _is_quantized(model):
        raise InputError(f"expected a quantized model, got {type(model).__name__}; quantize_ it first")
    frozen = _copy(model).eval().requires_grad_(False)
    shared: dict[int, list[nn.Parameter]] = {}
    for path, module in frozen.named_modules():
        if parametrize.is_parametrized(module):
            _make_plain(path, module, shared)
        _remove_hooks(module)
    if recalibrate is not None:
        _recalibrate(frozen, recalibrate)
    if batch_norm == "fold":
        fold_batch_norms_(frozen)
    return frozen


def _is_quantized(model: nn.Module) -> bool:
    activations = (ActivationQuantizer, QuantizedReLU)
    return bool(weight_quantizers(model)) or any(
        isinstance(m, activations) or hasattr(m, "not_quantized") for m in model.modules()
    )


def _copy(model: nn.Module) -> nn.Module:
    """A copy of the model itself, without what `torch.compile` or data parallelism has put around it."""
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while isinstance(model, parallel) or hasattr(model, "_orig_mod"):
        model = cast(nn.Module, model.module if isinstance(model, parallel) else model._orig_mod)
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise InputError(
            f"the model cannot be copied ({str(error).splitlines()[0]}); after torch.nn.utils.weight_norm, "
            "spectral_norm or prune call remove_weight_norm, remove_spectral_norm or prune.remove first"
        ) from error


def _make_plain(path: str, module: nn.Module, shared: dict[int, list[nn.Parameter]]) -> None:
    """Undo parametrization; torch's own way of it would undo it for the model that was copied, too."""
    weights: dict[str, nn.Parameter] = {}
    packings: dict[str, Packing] = {}
    for name, parts in cast(dict[str, Any], module.parametrizations).items():
        if len(parts) != 1 or not isinstance(parts[0], WeightQuantizer):
            raise InputError(f"layer {path!r} has a parametrization that is not a quantizer; remove it first")
        quantizer, latent = parts[0], parts.original
        weights[name] = _one_of_equals(parts() + 0.0, shared.setdefault(id(latent), []))  # −0 becomes +0
        levels, scale = quantizer.decompose(latent)
        scale = torch.ones_like(levels[(0,) * levels.ndim]) if scale is None else scale.detach()
        packings[name] = Packing(torch.unique(levels), scale, quantizer.bits)
    # A parametrized module has a class of its own, derived from the plain one, which its copies share.
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    others = dict(module._parameters)
    module._parameters.clear()  # the weight is the first of them again, as before it was quantized
    for name, weight in (weights | others).items():
        module.register_parameter(name, weight)
    setattr(module, "packing", packings)  # noqa: B010 (torch's stubs refuse plain data)


def _one_of_equals(weight: Tensor, known: list[nn.Parameter]) -> nn.Parameter:
    """One Parameter for all layers that make the same weight of one latent weight."""
    for parameter in known:
        if torch.equal(parameter, weight):
            return parameter
    known.append(nn.Parameter(weight, requires_grad=False))
    return known[-1]


def _remove_hooks(module: nn.Module) -> None:
    """Take away what a quantized layer hooks to itself, but for the quantizer of its input."""
    for hooks in (module._load_state_dict_pre_hooks, module._forward_hooks):
        for key, hook in list(hooks.items()):
            function = getattr(hook, "hook", hook)
            function = getattr(function, "func", function)
            if getattr(function, "__module__", "").startswith("lnegeom_torch."):
                del hooks[key]


def _recalibrate(model: nn.Module, batches: Iterable[Any]) -> None:
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise InputError("recalibrate is for batch norms, and the model has none; leave it out")
    count = 0

    def counted() -> Iterator[Any]:
        nonlocal count
        for batch in batches:
            count += 1
            yield batch

    update_bn(counted(), model)
    model.eval()
    if not count:
        raise InputError("recalibrate is empty: batch norm needs a batch of inputs at least")
