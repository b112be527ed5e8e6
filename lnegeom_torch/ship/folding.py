"""Batch norms folded into the layers before them."""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lnegeom import InputError
from lnegeom_torch.ship.factors import find_factors, set_factors

__all__ = ["fold_batch_norms_"]

_Foldable = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def fold_batch_norms_(model: nn.Module) -> None:
    """Fold every batch norm that is the only one to use a layer's output, in place.

    With running mean μ, variance v, gain γ and shift β, ``f = γ/√(v + ε)``: each channel of the weight is
    multiplied by f, and the bias b becomes ``β + (b − μ) f``. The batch norm of a linear layer is taken to be
    over samples ``(N, C)``.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception as error:  # a model can fail to trace in any way
        raise InputError(
            f"batch norms are found by tracing the model, which failed ({error}); leave fold_batch_norm out"
        ) from error
    modules = dict(model.named_modules(remove_duplicate=False))
    called = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(id(modules[node.target]) for node in called)
    for node in called:
        norm = modules[node.target]
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer = modules[before.target]
        if not isinstance(layer, _Foldable) or not isinstance(norm, _BatchNorm) or norm.running_var is None:
            continue
        if times[id(layer)] == times[id(norm)] == 1:
            _fold(layer, norm)
            model.set_submodule(node.target, nn.Identity())


@torch.no_grad()
def _fold(layer: _Foldable, norm: _BatchNorm) -> None:
    mean, variance = _double(norm.running_mean), _double(norm.running_var)
    gain = torch.ones_like(mean) if norm.weight is None else _double(norm.weight)
    shift = torch.zeros_like(mean) if norm.bias is None else _double(norm.bias)
    bias = torch.zeros_like(mean) if layer.bias is None else _double(layer.bias)
    factor = gain / (variance + norm.eps).sqrt()
    weight = layer.weight
    by_channel = factor.reshape(-1, *[1] * (weight.ndim - 1))
    found = find_factors(layer, "weight")
    if found is None:  # a layer in full precision
        new = (_double(weight) * by_channel).to(weight.dtype)
    else:
        found = found._replace(scale=(_double(found.scale) * by_channel).to(weight.dtype))
        set_factors(layer, "weight", found.levels, found.scale)
        new = found.product()
    layer.weight = nn.Parameter(new, requires_grad=False)
    layer.bias = nn.Parameter((shift + (bias - mean) * factor).to(weight.dtype), requires_grad=False)


def _double(x: Tensor | None) -> Tensor:
    assert x is not None
    return x.detach().double()
