"""Quantize a model in place."""

from __future__ import annotations

import warnings
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


def quantize_(model: nn.Module, config: QuantConfig) -> Method:
    """Quantize the weights of every `nn.Linear` and `nn.Conv2d` in place, and their input activations.

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
        If the model has no such layer, is quantized already, or shares one weight between two layers.

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
    if not isinstance(config, QuantConfig):
        raise InputError(f"expected a QuantConfig, got {config!r}")
    spec = config.spec
    layers = _layers(model) if spec.quantized else {}
    latents = {name: cast(nn.Parameter, layer.weight) for name, layer in layers.items()}
    for position, layer in enumerate(layers.values()):
        gate = config.chosen_gate == "quantizer"
        quantizer = WeightQuantizer(config.weight_bits, config.chosen_quantizer, spec.transform, gate)
        parametrize.register_parametrization(layer, "weight", quantizer)
        layer.register_load_state_dict_pre_hook(_accept_full_precision)  # type: ignore[no-untyped-call]
        if config.activation_bits is not None and position > 0:  # the first layer sees the data itself
            layer.activation_quantizer = ActivationQuantizer(config.activation_bits, config.chosen_quantizer)
            layer.register_forward_pre_hook(_quantize_input)
    _warn_of_zeros(layers)
    return _ALGORITHMS.get(config.method, Method)(model, config, latents)


def _layers(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers to quantize by name, in the model's order."""
    layers = {name: m for name, m in model.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    if not layers:
        raise InputError("the model has no nn.Linear or nn.Conv2d to quantize")
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
def _warn_of_zeros(layers: dict[str, nn.Linear | nn.Conv2d]) -> None:
    """Warn of layers whose weights all went to zero, which is what Eq. 31 does to small ones."""
    dead = [name for name, layer in layers.items() if not layer.weight.is_meta and not layer.weight.any()]
    if dead:
        warnings.warn(
            f"the quantized weights of {', '.join(map(repr, dead))} are all zero: ManiQuant's k-bit "
            "quantizer has no scale, and these are below half its step; use quantizer='rf' or more bits",
            stacklevel=3,
        )


def _quantize_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    quantizer = cast(ActivationQuantizer, layer.activation_quantizer)
    return (quantizer(inputs[0]), *inputs[1:])


def _accept_full_precision(layer: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Rename the weight of a full-precision checkpoint to where a parametrized layer looks for it."""
    weight = state_dict.pop(f"{prefix}weight", None)
    if weight is not None:
        state_dict[f"{prefix}parametrizations.weight.original"] = weight
