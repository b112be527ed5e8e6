"""What of a model is quantized, to how much, and how its signs move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from lnegeom.report import text_table
from lnegeom_torch.quant.freeze import weight_quantizers

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
    size : int
        Bytes of the weight, packed.
    flips : float or None
        Share of the entries whose sign changed since the last summary; None the first time, and where
        nothing is quantized.
    note : str
        Why a layer is not quantized; empty otherwise.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    bits: int | str
    activation_bits: int | None
    size: int
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
        return f"{text_table(headers, rows)}\n{self.size} bytes in all"


def summary(model: nn.Module) -> Summary:
    """Describe the weights of a model: width, size, sign flips since the last call, and what is left out.

    Parameters
    ----------
    model : nn.Module
        A model that `quantize_` changed.

    Returns
    -------
    Summary
        A line for each weight of two axes or more, in the model's order.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, quantize_, summary
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    >>> method = quantize_(model, QuantConfig("ste", exclude=("2",)))
    >>> print(summary(model))
    layer  type    weight  bits  input bits  bytes  sign flips  note
    -----  ------  ------  ----  ----------  -----  ----------  ---------------
    0      Linear  4 × 8      1           –      4           –
    2      Linear  2 × 4     32           –     32           –  excluded by '2'
    36 bytes in all
    """
    quantizers = weight_quantizers(model)
    lines = []
    for path, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList | nn.ModuleDict):
            continue
        kind = type(module).__name__.removeprefix("Parametrized")
        names = [name for name, value in module.named_parameters(recurse=False) if value.ndim > 1]
        names += [name for (where, name) in quantizers if where == path]
        for name in names:
            label = path if name == "weight" else f"{path}.{name}" if path else name
            own = quantizers.get((path, name))
            weight: Tensor = (
                module.get_parameter(name)
                if own is None
                else module.get_parameter(f"parametrizations.{name}.original")
            )
            bits: int | str = 8 * weight.element_size() if own is None else own.bits
            width = 2 if bits == "ternary" else int(bits)
            lines.append(
                LayerSummary(
                    label,
                    kind,
                    tuple(weight.shape),
                    bits,
                    getattr(getattr(module, "activation_quantizer", None), "bits", None),
                    -(-weight.numel() * width // 8),
                    None if own is None else own.flips(weight),
                    "" if own is not None else getattr(module, "not_quantized", "not a type to quantize"),
                )
            )
    return Summary(lines)
