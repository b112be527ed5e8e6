"""Quantize a model in place."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.ricci_flow import RicciFlowMethod
from lnegeom_torch.quant.modules import ActivationQuantizer, WeightQuantizer

__all__ = ["quantize_"]

_ALGORITHMS = {"rf": RicciFlowMethod}  # the methods that need more than a backward pass

# nn.MultiheadAttention reads this layer's weight itself and never calls it.
_ATTENTION_OUTPUT = nn.modules.linear.NonDynamicallyQuantizableLinear


def quantize_(model: nn.Module, config: QuantConfig) -> Method:
    """Quantize the weights of every `nn.Linear` and `nn.Conv2d` in place, and their input activations.

    Everything else is left as it is, `nn.MultiheadAttention`'s projections among it. The activations that
    come into the first such layer, in the order in which the model registers them, stay as they are.

    Weights become torch parametrizations: `layer.weight` is the quantized weight, and the latent one is
    `layer.parametrizations.weight.original`, the same Parameter as before. A full-precision checkpoint
    still loads. As with any parametrized model, save ``model.state_dict()`` rather than the pickled model,
    and build optimizers from ``method.param_groups()``, since parametrization changes the order of
    ``model.parameters()``.

    Parameters
    ----------
    model : nn.Module
        The model; changed in place.
    config : QuantConfig
        Method, bit widths, metric.

    Returns
    -------
    Method
        Gives the optimizer its parameter groups, and takes training steps.

    Raises
    ------
    InputError
        If the model has no such layer, is quantized already, shares one weight between two layers, or has
        weights so small that the quantizer makes them all zero.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import ManifoldSGD, QuantConfig, quantize_
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8, bias=False), torch.nn.BatchNorm1d(8))
    >>> method = quantize_(model, QuantConfig("wcg"))
    >>> optimizer = ManifoldSGD(method.param_groups(), lr=0.1, momentum=0.9)
    >>> x, y = torch.randn(16, 4), torch.randint(8, (16,))
    >>> loss, outputs = method.step(optimizer, torch.nn.functional.cross_entropy, x, y)
    >>> model[0].weight.unique()
    tensor([-1.,  1.], grad_fn=<Unique2Backward0>)
    """
    if not isinstance(model, nn.Module) or not isinstance(config, QuantConfig):
        raise InputError(f"expected quantize_(model, QuantConfig(...)), got {model!r} and {config!r}")
    spec = config.spec
    layers = _layers(model) if spec.quantized else {}
    for position, layer in enumerate(layers.values()):
        gate = config.chosen_gate == "quantizer"
        quantizer = WeightQuantizer(config.weight_bits, config.chosen_quantizer, spec.transform, gate)
        parametrize.register_parametrization(layer, "weight", quantizer)
        layer.register_load_state_dict_pre_hook(_accept_full_precision)  # type: ignore[no-untyped-call]
        if config.activation_bits is not None and position > 0:  # the first layer sees the data itself
            layer.activation_quantizer = ActivationQuantizer(config.activation_bits, config.chosen_quantizer)
            layer.register_forward_pre_hook(_quantize_input, with_kwargs=True)
    _refuse_zeros(layers)
    return _ALGORITHMS.get(config.method, Method)(model, config, tuple(layers))


def _layers(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers to quantize by name, in the model's order."""
    layers = {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, (nn.Linear, nn.Conv2d)) and not isinstance(m, _ATTENTION_OUTPUT)
    }
    if not layers:
        raise InputError("the model has no nn.Linear or nn.Conv2d to quantize; expected one at least")
    owner: dict[int, str] = {}
    for name, layer in layers.items():
        if parametrize.is_parametrized(layer, "weight"):
            raise InputError(
                f"layer {name!r} has a parametrized weight already; quantize a model once, from a fresh copy"
            )
        other = owner.setdefault(id(layer.weight), name)
        if other != name:
            raise InputError(f"layers {other!r} and {name!r} share one weight; give each its own")
    return layers


@torch.no_grad()
def _refuse_zeros(layers: dict[str, nn.Linear | nn.Conv2d]) -> None:
    """Refuse weights that all went to zero, which is what Eq. 31 does to small ones: they cannot train."""
    dead = [
        name
        for name, layer in layers.items()
        if not layer.weight.is_meta
        and not layer.weight.any()
        and layer.get_parameter("parametrizations.weight.original").any()
    ]
    if dead:
        raise InputError(
            f"the quantized weights of {', '.join(map(repr, dead))} are all zero: ManiQuant's k-bit "
            "quantizer has no scale, and these are below half its step; use quantizer='rf' or more bits"
        )


def _quantize_input(
    layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    quantizer = cast(ActivationQuantizer, layer.activation_quantizer)
    if inputs:
        return (quantizer(inputs[0]), *inputs[1:]), named
    return inputs, {**named, "input": quantizer(named["input"])}


def _accept_full_precision(layer: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Rename the weight of a full-precision checkpoint to where a parametrized layer looks for it."""
    weight = state_dict.pop(f"{prefix}weight", None)
    if weight is not None:
        state_dict[f"{prefix}parametrizations.weight.original"] = weight
