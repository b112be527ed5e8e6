"""What of a model is quantized, to how much, and how its signs move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom.report import text_table
from lnegeom_torch.quant.freeze import weight_quantizers
from lnegeom_torch.quant.modules import WeightQuantizer
from lnegeom_torch.quant.packing import packed_bytes

__all__ = ["LayerSummary", "Summary", "summary"]


@dataclass(frozen=True)
class LayerSummary:
    """A line of `summary`.

    Parameters
    ----------
    name, kind : str
        The layer's name and type.
    shape : tuple of int
        Of the weight.
    bits : int or "ternary"
        Width of the weight, 32 or 16 as its dtype has it where it is not quantized.
    activation_bits : int or None
        Width of the layer's input; None where it is not quantized.
    size, full_size : int
        Bytes of the weight, in a packed file (`lnegeom_torch.export`) and in its own floating type; 0 where
        it is another layer's weight.
    flips : float or None
        Share of the entries whose sign changed since the last summary; None the first time, and where
        nothing is quantized.
    note : str
        Why a layer is not quantized, that it is frozen, or whose weight it shares; empty otherwise.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bits: int | str
    activation_bits: int | None
    size: int
    full_size: int
    flips: float | None
    note: str


@dataclass(frozen=True)
class Summary:
    """What `summary` found; printed, a table."""

    layers: list[LayerSummary]

    @property
    def size(self) -> int:
        """Bytes of all listed weights, packed."""
        return sum(layer.size for layer in self.layers)

    @property
    def full_size(self) -> int:
        """Bytes of all listed weights, in their own floating type."""
        return sum(layer.full_size for layer in self.layers)

    def __str__(self) -> str:
        rows: list[list[Any]] = [
            [
                layer.name,
                layer.kind,
                " × ".join(map(str, layer.shape)),
                layer.bits,
                layer.activation_bits,
                layer.size,
                None if layer.flips is None else f"{100 * layer.flips:.2f} %",
                layer.note,
            ]
            for layer in self.layers
        ]
        headers = ["layer", "type", "weight", "bits", "input bits", "bytes", "sign flips", "note"]
        ratio = self.full_size / max(self.size, 1)
        total = f"{self.size} bytes in all, 1/{ratio:.1f} of the {self.full_size} of floating numbers"
        return f"{text_table(headers, rows)}\n{total}"


def summary(model: nn.Module) -> Summary:
    """Describe the weights of a model: width, size, sign flips since the last call, and what is left out.

    Parameters
    ----------
    model : nn.Module
        A model that `quantize_` changed, or what `freeze` made of it.

    Returns
    -------
    Summary
        A line for each weight of two axes or more, in the model's order.

    Raises
    ------
    InputError
        If it is no module.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, quantize_, summary
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> method = quantize_(model, QuantConfig("ste", exclude=("2",)))
    >>> print(summary(model))
    layer  type    weight  bits  input bits  bytes  sign flips  note
    -----  ------  ------  ----  ----------  -----  ----------  ---------------
    0      Linear  4 × 8      1           –     20           –
    2      Linear  2 × 4     32           –     32           –  excluded by '2'
    52 bytes in all, 1/3.1 of the 160 of floating numbers
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"expected a model, got {model!r}; of a method, give method.model")
    quantizers = weight_quantizers(model)
    owners: dict[int | str, str] = {}
    lines = []
    for path, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList):
            continue
        plain = [name for name, value in module.named_parameters(recurse=False) if value.ndim > 1]
        for name in [*plain, *(name for where, name in quantizers if where == path)]:
            label = path if name == "weight" else f"{path}.{name}" if path else name
            lines.append(_line(label, module, name, quantizers.get((path, name)), owners))
    return Summary(lines)


def _line(
    label: str, module: nn.Module, name: str, quantizer: WeightQuantizer | None, owners: dict[int | str, str]
) -> LayerSummary:
    weight = module.get_parameter(name if quantizer is None else f"parametrizations.{name}.original")
    full = size = weight.numel() * weight.element_size()
    bits: int | str = 8 * weight.element_size()
    note, flips = getattr(module, "not_quantized", "not a type to quantize"), None
    if quantizer is not None:
        levels, scale = quantizer.decompose(weight.detach())
        count = len(torch.unique(levels))
        numbers = count + (1 if scale is None else scale.numel())
        size = packed_bytes(weight.numel(), count) + numbers * weight.element_size()
        bits, note, flips = quantizer.bits, "", quantizer.flips(weight)
    elif frozen := getattr(module, "packing", {}).get(name):
        count = len(frozen.levels)
        bits, note = frozen.bits, "frozen"
        size = packed_bytes(weight.numel(), count) + (count + frozen.scale.numel()) * weight.element_size()
    if (owner := owners.setdefault(id(weight), label)) != label:
        full = 0
        note = "; ".join(filter(None, (note, f"shares the weight of {owner!r}")))
    # One latent weight, differently quantized, makes two weights.
    alike = f"{id(weight)} {None if quantizer is None else quantizer.extra_repr()}"
    if owners.setdefault(alike, label) != label:
        size = 0
    kind = type(module).__name__.removeprefix("Parametrized")
    width = getattr(getattr(module, "activation_quantizer", None), "bits", None)
    return LayerSummary(label, kind, tuple(weight.shape), bits, width, size, full, flips, note)
