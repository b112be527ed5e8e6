"""A quantized model as plain modules with discrete weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrize
from torch.optim.swa_utils import update_bn

from lnegeom import InputError
from lnegeom_torch.methods.quantize import _accept_full_precision
from lnegeom_torch.methods.spin import _add_noise
from lnegeom_torch.quant.modules import WeightQuantizer
from lnegeom_torch.ship.factors import set_factors
from lnegeom_torch.ship.folding import fold_batch_norms_

__all__ = ["freeze", "is_quantized"]


def freeze(
    model: nn.Module, *, calibration: Iterable[Any] | None = None, fold_batch_norm: bool = False
) -> nn.Module:
    """A copy of a quantized model made of plain modules, for inference: its weights are the quantized ones.

    Under `torch.no_grad`, the copy's outputs equal those of the model in evaluation mode exactly, unless its
    batch norms are changed here. Its layers are torch's own again: no latent weights, no parametrizations,
    nothing that needs this library, but for the quantizers of activations where there are any. It pickles,
    and its ``state_dict()`` has the names of the model before `quantize_`.

    Parameters
    ----------
    model : nn.Module
        As `quantize_` left it, trained or not. It stays as it is.
    calibration : iterable of Tensor or of (Tensor, ...), optional
        Batches of inputs, as a data loader gives them, over which batch norms measure their mean and variance
        anew: the running ones lag behind weights that flip until the end, and say nothing of averaged ones.
    fold_batch_norm : bool
        Whether each batch norm that follows a linear or convolutional layer becomes a factor of each of the
        layer's channels and a bias, with `nn.Identity` in its place. Outputs are then equal up to rounding.

    Returns
    -------
    nn.Module
        In evaluation mode; no parameter asks for a gradient.

    Raises
    ------
    InputError
        If the model is not quantized, has parametrizations that are not ours, cannot be traced in order to
        fold, or if there is nothing to calibrate.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, freeze, quantize_
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8, bias=False), torch.nn.BatchNorm1d(8)).eval()
    >>> method = quantize_(model, QuantConfig("ste"))
    >>> plain = freeze(model)
    >>> plain[0]
    Linear(in_features=4, out_features=8, bias=False)
    >>> x = torch.randn(5, 4)
    >>> with torch.no_grad():
    ...     torch.equal(plain(x), model(x)), plain[0].weight.unique()
    (True, tensor([-1.,  1.]))
    """
    if not isinstance(model, nn.Module) or not is_quantized(model):
        raise InputError(f"expected a model that quantize_ has quantized, got {type(model).__name__}")
    plain = copy.deepcopy(model).eval().requires_grad_(False)
    shared: dict[int, list[nn.Parameter]] = {}
    for name, module in plain.named_modules():
        if parametrize.is_parametrized(module):
            _make_plain(name, module, shared)
    if calibration is not None:
        _calibrate(plain, calibration)
    if fold_batch_norm:
        fold_batch_norms_(plain)
    return plain


def is_quantized(model: nn.Module) -> bool:
    """Whether a model has weights that `quantize_` has quantized."""
    return any(isinstance(module, WeightQuantizer) for module in model.modules())


@torch.no_grad()
def _make_plain(name: str, module: nn.Module, shared: dict[int, list[nn.Parameter]]) -> None:
    """Undo a module's parametrizations, whose quantized weights stay.

    torch's own `remove_parametrizations` deletes from the module's class, which a copy shares with its model.
    """
    lists = cast(dict[str, Any], module.parametrizations)
    for tensor, found in lists.items():
        if len(found) != 1 or not isinstance(found[0], WeightQuantizer):
            raise InputError(
                f"{tensor!r} of layer {name!r} has a parametrization that is not ours; remove it first"
            )
    quantizers = {tensor: (found[0], found.original) for tensor, found in lists.items()}
    weights = {tensor: found() + 0.0 for tensor, found in lists.items()}  # −0 becomes +0
    del module.parametrizations
    module.__class__ = type(module).__bases__[0]
    others = dict(module._parameters)
    module._parameters.clear()
    for tensor, (quantizer, latent) in quantizers.items():
        module.register_parameter(tensor, _shared(weights[tensor], latent, shared))
        levels, scale = quantizer.factors(latent)
        set_factors(module, tensor, levels.unique(), scale)
    module._parameters.update(others)  # the weight first, as it was before it was quantized
    _remove_hooks(module)


def _shared(weight: Tensor, latent: Tensor, shared: dict[int, list[nn.Parameter]]) -> nn.Parameter:
    """One Parameter for all layers that quantize one latent weight alike."""
    found = shared.setdefault(id(latent), [])
    for known in found:
        if torch.equal(known, weight):
            return known
    found.append(nn.Parameter(weight.clone(), requires_grad=False))
    return found[-1]


def _remove_hooks(module: nn.Module) -> None:
    """Remove what `quantize_` hung on a layer, but for the quantizer of its input."""
    hooks: Any = module._load_state_dict_pre_hooks
    for key, wrapped in list(hooks.items()):
        hook = getattr(wrapped, "hook", wrapped)
        if isinstance(hook, functools.partial) and hook.func is _accept_full_precision:
            del hooks[key]
    for key, hook in list(module._forward_hooks.items()):
        if hook is _add_noise:
            del module._forward_hooks[key]


def _calibrate(model: nn.Module, batches: Iterable[Any]) -> None:
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise InputError("calibration measures batch norms anew, and the model has none; leave it out")
    count = 0

    def counted() -> Iterator[Any]:
        nonlocal count
        for batch in batches:
            count += 1
            yield batch

    update_bn(counted(), model)
    model.eval()
    if count == 0:
        raise InputError("calibration holds no batch: expected one at least")
