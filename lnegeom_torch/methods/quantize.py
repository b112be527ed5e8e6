"""Quantize a model in place."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom_torch.methods.base import Method
from lnegeom_torch.methods.blended import BlendedMethod
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.methods.fisher import FisherMethod
from lnegeom_torch.methods.metaquant import MetaQuantMethod
from lnegeom_torch.methods.mirror_descent import MirrorDescentMethod
from lnegeom_torch.methods.options import (
    Blended,
    Coarse,
    FisherEmbedding,
    MetaQuant,
    MirrorDescent,
    ProxQuant,
    Spin,
)
from lnegeom_torch.methods.proxquant import ProxQuantMethod
from lnegeom_torch.methods.ricci_flow import RicciFlowMethod
from lnegeom_torch.methods.selection import Target, find_relus, select
from lnegeom_torch.methods.spin import SpinMethod
from lnegeom_torch.quant.modules import ActivationQuantizer, QuantizedReLU, WeightQuantizer
from lnegeom_torch.ricci import RicciFlow

__all__ = ["quantize_"]

# The methods that are more than data, by the type of their constants.
_ALGORITHMS: dict[type, type[Method]] = {
    Blended: BlendedMethod,
    FisherEmbedding: FisherMethod,
    MetaQuant: MetaQuantMethod,
    MirrorDescent: MirrorDescentMethod,
    ProxQuant: ProxQuantMethod,
    RicciFlow: RicciFlowMethod,
    Spin: SpinMethod,
}


def quantize_(model: nn.Module, config: QuantConfig) -> Method:
    """Quantize the weights of a model's layers in place, and their input activations.

    By default the layers are every `nn.Linear`, `nn.Conv1d` and `nn.Conv2d`; ``config.include`` may add
    embeddings and the projections of `nn.MultiheadAttention`, whose own input activations stay as they are.
    The activations that come into the first layer, in the order in which the model registers them, stay too.
    For ``"coarse"`` and ``"bcgd"`` a quantized ReLU takes the place of every `nn.ReLU` instead, and
    `nn.Hardtanh` does for activations of one bit, or two bits of ``"rf"``, to which all that a ReLU leaves is
    the same; ``config.exclude`` knows ReLUs too. Layers that share a weight go on sharing it.

    Weights become torch parametrizations: `layer.weight` is the quantized weight, and the latent one is
    `layer.parametrizations.weight.original`, the same Parameter as before. A full-precision checkpoint
    still loads. As with any parametrized model, save ``model.state_dict()`` rather than the pickled model,
    and build optimizers from ``method.param_groups()``, since parametrization changes the order of
    ``model.parameters()``. `lnegeom_torch.freeze` makes a plain model of it.

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
        If the model has no such layer, is quantized already, or has weights that are not finite, or so small
        that the quantizer makes them all zero; if there is no ReLU for a method that quantizes ReLUs.

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
        raise InputError(
            f"expected quantize_(model, QuantConfig(...)), got {type(model).__name__} and "
            f"{type(config).__name__}"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise InputError("a scripted model cannot be changed; quantize_ it before torch.jit.script")
    if not config.spec.quantized:
        select(
            model, replace(config, weight_bits=32, first_last_bits=None, layer_bits=())
        )  # notes why, for `summary`
        return Method(model, config, {})
    targets, modules = select(model, config)
    # Activations alone leave an algorithm on weights nothing to do.
    algorithm = _ALGORITHMS.get(type(config.chosen_options), Method) if targets else Method
    _refuse_not_finite(targets)
    _quantize_activations(model, config, modules)
    for target in targets.values():
        _quantize_weight(target, config, algorithm)
    _refuse_zeros(targets)
    _warn_of_padding(targets)
    return algorithm(model, config, targets)


def _quantize_weight(target: Target, config: QuantConfig, algorithm: type[Method]) -> None:
    layer, name = target.module, target.tensor
    weight = cast(Tensor, getattr(layer, name))
    learned = (
        weight.shape[0] if config.chosen_scale == "channel" else 1,
    )  # fully_shard takes none that is 0-d
    quantizer = algorithm.quantizer_class(
        target.bits,
        config.chosen_quantizer,
        config.spec.transform,
        config.chosen_gate == "quantizer",
        config.chosen_scale,
        learned if config.learned_scale else None,
    )
    quantizer.to(device=weight.device, dtype=weight.dtype)
    quantizer.start(weight.detach())
    parametrize.register_parametrization(layer, name, quantizer)
    quantizer.train(layer.training)

    hook = functools.partial(_accept_full_precision, name)
    layer.register_load_state_dict_pre_hook(hook)  # type: ignore[no-untyped-call]


def _accept_full_precision(
    name: str, layer: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Rename the weight of a full-precision checkpoint to where a parametrized layer looks for it."""
    weight = state.pop(f"{prefix}{name}", None)
    if weight is None:
        return
    state[f"{prefix}parametrizations.{name}.original"] = weight
    quantizer = cast(WeightQuantizer, layer.get_submodule(f"parametrizations.{name}.0"))
    if quantizer.log_scale is not None:  # a learned scale begins at the statistic of what is loaded
        quantizer.start(weight.to(quantizer.log_scale))
        state[f"{prefix}parametrizations.{name}.0.log_scale"] = quantizer.log_scale.detach().clone()


def _quantize_activations(model: nn.Module, config: QuantConfig, layers: list[nn.Module]) -> None:
    bits = config.chosen_activation_bits
    if bits is None:
        return
    if isinstance(config.chosen_options, Coarse):
        _replace_relus(model, config, bits, config.chosen_options)
        return
    others = (nn.MultiheadAttention, nn.Embedding, nn.EmbeddingBag)
    quantized = [layer for layer in layers if not isinstance(layer, others)]
    for layer in quantized[1:]:  # the first layer sees the data itself
        quantizer = ActivationQuantizer(bits, config.chosen_quantizer, config.learned_range)
        like = next(layer.parameters())
        layer.activation_quantizer = quantizer.to(device=like.device, dtype=like.dtype)
        layer.register_forward_pre_hook(_quantize_input, with_kwargs=True)
    if ActivationQuantizer(bits, config.chosen_quantizer).needs_both_signs:
        for module, key in find_relus(model, config):
            setattr(module, key, nn.Hardtanh())
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder):  # it would turn padded inputs into nested tensors,
            module.use_nested_tensor = False  # for a fast path that reads weights and calls no layer


def _replace_relus(model: nn.Module, config: QuantConfig, bits: int, options: Coarse) -> None:
    found = find_relus(model, config)
    if not found:
        raise InputError(
            "the coarse gradient quantizes ReLUs, and the model has no nn.ReLU module: make its ReLUs "
            "modules, or set activation_bits=32"
        )
    for module, key in found:
        setattr(module, key, QuantizedReLU(bits, options.proxy, options.top))


@torch.no_grad()
def _refuse_not_finite(targets: dict[str, Target]) -> None:
    """Refuse NaN, which one bit would hide, and infinity."""
    for name, target in targets.items():
        weight = cast(Tensor, getattr(target.module, target.tensor))
        if not weight.is_meta and not (finite := weight.isfinite()).all():
            index = tuple((~finite).nonzero()[0].tolist())
            raise InputError(
                f"the weight of layer {name!r} is {weight[index].item()} at {index}: expected finite "
                "numbers; look at how it was initialised, or at the checkpoint it comes from"
            )


@torch.no_grad()
def _refuse_zeros(targets: dict[str, Target]) -> None:
    """Refuse weights that all went to zero, which is what Eq. 31 does to small ones: they cannot train."""
    dead = [
        name
        for name, target in targets.items()
        if not (weight := cast(Tensor, getattr(target.module, target.tensor))).is_meta
        and not weight.any()
        and target.module.get_parameter(f"parametrizations.{target.tensor}.original").any()
    ]
    if dead:
        raise InputError(
            f"the quantized weights of {', '.join(map(repr, dead))} are all zero: ManiQuant's k-bit "
            "quantizer has no scale, and these are below half its step; use quantizer='rf', scale='tensor' "
            "or more bits"
        )


@torch.no_grad()
def _warn_of_padding(targets: dict[str, Target]) -> None:
    """Warn of padding vectors that were zero and are not any more, one bit having no zero."""
    for name, target in targets.items():
        row = getattr(target.module, "padding_idx", None)
        if row is None or not isinstance(target.module, nn.Embedding):  # a bag leaves its padding out
            continue
        latent = target.module.get_parameter(f"parametrizations.{target.tensor}.original")
        if not latent.is_meta and not latent[row].any() and target.module.weight[row].any():
            warnings.warn(
                f"the padding vector of {name!r}, row {row}, is zero, but its quantization has no zero and "
                "makes it another: mask what is padded, take weight_bits='ternary', or exclude the layer",
                UserWarning,
                stacklevel=3,
            )


def _quantize_input(
    layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    quantizer = cast(ActivationQuantizer, layer.activation_quantizer)
    if inputs:
        return (quantizer(inputs[0]), *inputs[1:]), named
    return inputs, {**named, "input": quantizer(named["input"])}
