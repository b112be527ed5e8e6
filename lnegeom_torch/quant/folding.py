"""Batch norms folded into the layers before them."""

from __future__ import annotations

from collections import Counter
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lnegeom import InputError
from lnegeom_torch.quant.packing import Packing, find_codes

__all__ = ["fold_batch_norms_"]

_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def fold_batch_norms_(model: nn.Module) -> None:
    """Fold every batch norm that alone uses a layer's output into the layer, in place.

    With running mean μ, variance v, gain γ and shift β, ``f = γ/√(v + ε)``: each channel of the weight is
    multiplied by f, and the bias b becomes ``β + (b − μ) f``. What is called twice is left alone. The batch
    norm of a linear layer is taken to be over samples ``(N, C)``.
    """
    try:
        graph = fx.symbolic_trace(model).graph
    except Exception as error:  # whatever a model's own code raises under tracing
        raise InputError(
            f"batch_norm='fold' needs a model that torch.fx can trace, and it failed: {error}; use 'keep'"
        ) from error
    modules = dict(model.named_modules(remove_duplicate=False))
    called = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(id(modules[node.target]) for node in called)
    for node in called:
        norm, before = modules[node.target], node.args[0] if node.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) != 1:
            continue
        layer = modules[cast(str, before.target)]
        if not isinstance(layer, _Layer) or not isinstance(norm, _BatchNorm) or norm.running_var is None:
            continue
        if len(layer.weight) != norm.num_features:  # after a linear layer: it is over positions, (N, L, C)
            continue
        if times[id(layer)] == times[id(norm)] == 1:
            _fold(layer, norm)
            model.set_submodule(node.target, nn.Identity())


@torch.no_grad()
def _fold(layer: _Layer, norm: _BatchNorm) -> None:
    mean, variance = _double(norm.running_mean), _double(norm.running_var)
    gain = torch.ones_like(mean) if norm.weight is None else _double(norm.weight)
    shift = torch.zeros_like(mean) if norm.bias is None else _double(norm.bias)
    bias = torch.zeros_like(mean) if layer.bias is None else _double(layer.bias)
    factor = gain / (variance + norm.eps).sqrt()
    weight, by_channel = layer.weight, factor.reshape(-1, *[1] * (layer.weight.ndim - 1))
    packing: Packing | None = getattr(layer, "packing", {}).get("weight")
    codes = None if packing is None else find_codes(weight, packing)
    if packing is None or codes is None:  # a layer in full precision
        new = (_double(weight) * by_channel).to(weight.dtype)
    else:  # the levels stay: each channel has another scale
        packing = packing._replace(scale=(_double(packing.scale) * by_channel).to(weight.dtype))
        setattr(layer, "packing", {"weight": packing})  # noqa: B010 (torch's stubs refuse plain data)
        new = packing.weight(codes)
    layer.weight = nn.Parameter(new, requires_grad=False)
    layer.bias = nn.Parameter((shift + (bias - mean) * factor).to(weight.dtype), requires_grad=False)


def _double(x: Tensor | None) -> Tensor:
    return cast(Tensor, x).detach().double()
