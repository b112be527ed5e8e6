"""What became of a model's weights: bits, sizes, how many signs flip, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom.report import text_table
from lnegeom_torch.methods import Method
from lnegeom_torch.quant.modules import WeightQuantizer
from lnegeom_torch.ship.packing import packed_bytes

__all__ = ["LayerSummary", "Summary", "summary"]


@dataclass(frozen=True, eq=False)
class LayerSummary:
    """A quantized weight.

    Parameters
    ----------
    name : str
        In the model, as before it was quantized.
    shape : tuple of int
        Its shape.
    bits : int or "ternary"
        Its width.
    levels : int
        How many different levels its entries take now.
    packed : int
        Its size in bytes in a file of `lnegeom_torch.save_packed`.
    zeros : float
        Share of entries that are zero.
    flips : float or None
        Share of entries whose sign is not what it was, if a summary from before was given.
    signs : Tensor of int8
        The signs, for the next summary.
    """

    name: str
    shape: tuple[int, ...]
    bits: int | str
    levels: int
    packed: int
    zeros: float
    flips: float | None
    signs: Tensor


@dataclass(frozen=True, eq=False)
class Summary:
    """What `summary` found; prints as a table.

    Parameters
    ----------
    layers : tuple of LayerSummary
        The quantized weights, a shared one once.
    skipped : dict of str to str
        Layers that could have been quantized and were not, and why.
    full_bytes, packed_bytes : int
        Size of all the model's parameters and buffers in its own floating type, and packed.
    """

    layers: tuple[LayerSummary, ...]
    skipped: dict[str, str]
    full_bytes: int
    packed_bytes: int

    def __str__(self) -> str:
        flips = any(layer.flips is not None for layer in self.layers)
        headers = ["layer", "shape", "bits", "levels", "zeros", *(["flips"] if flips else []), "KiB packed"]
        rows = []
        for layer in self.layers:
            row = [
                layer.name,
                "×".join(map(str, layer.shape)),
                layer.bits,
                layer.levels,
                f"{layer.zeros:.1%}",
            ]
            if flips:
                row.append("" if layer.flips is None else f"{layer.flips:.2%}")
            rows.append([*row, f"{layer.packed / 1024:.1f}"])
        lines = [text_table(headers, rows)] if rows else ["nothing is quantized"]
        lines += [f"skipped {name}: {reason}" for name, reason in self.skipped.items()]
        ratio = self.full_bytes / max(self.packed_bytes, 1)
        total = f"{self.full_bytes / 1024:.1f} KiB, packed {self.packed_bytes / 1024:.1f} KiB: 1/{ratio:.1f}"
        return "\n".join([*lines, total])


@torch.no_grad()
def summary(quantized: Method | nn.Module, since: Summary | None = None) -> Summary:
    """What became of a model's weights: bits, sizes, how many signs flipped, what was skipped and why.

    Parameters
    ----------
    quantized : Method or nn.Module
        What `quantize_` returned, or the model alone, which does not know why a layer was skipped.
    since : Summary, optional
        One from before, an epoch say: the share of signs that flipped since then is counted.

    Returns
    -------
    Summary
        Print it for a table.

    Raises
    ------
    InputError
        If it is neither, or `since` is of a model with other layers.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import QuantConfig, quantize_, summary
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Embedding(9, 64))
    >>> print(summary(quantize_(model, QuantConfig("ste"))))
    layer  shape  bits  levels  zeros  KiB packed
    -----  -----  ----  ------  -----  ----------
        0  64×64     1       2   0.0%         0.5
    skipped 1: Embedding is not included
    18.5 KiB, packed 3.0 KiB: 1/6.1
    """
    model = quantized.model if isinstance(quantized, Method) else quantized
    if not isinstance(model, nn.Module):
        raise InputError(f"expected what quantize_ returned, or a model, got {quantized!r}")
    before = {} if since is None else {layer.name: layer for layer in since.layers}
    layers: list[LayerSummary] = []
    seen: set[int] = set()
    full = sum(tensor.numel() * tensor.element_size() for tensor in _stored(model))
    packed = full
    for owner, module in model.named_modules():
        for tensor, found in getattr(module, "parametrizations", {}).items():
            if isinstance(found[0], WeightQuantizer) and id(found.original) not in seen:
                seen.add(id(found.original))
                name = owner if tensor == "weight" and owner else ".".join(filter(None, (owner, tensor)))
                layer = _layer(name, found, before, since is not None)
                layers.append(layer)
                packed += layer.packed - found.original.numel() * found.original.element_size()
    skipped = dict(quantized.skipped) if isinstance(quantized, Method) else {}
    return Summary(tuple(layers), skipped, full, packed)


def _layer(
    name: str, found: parametrize.ParametrizationList, before: dict[str, LayerSummary], wanted: bool
) -> LayerSummary:
    quantizer, latent = cast(WeightQuantizer, found[0]), found.original
    levels, scale = quantizer.factors(latent)
    signs, count = levels.sign().to(torch.int8), len(torch.unique(levels))
    flips = None
    if wanted:
        old = before.get(name)
        if old is None or old.shape != tuple(latent.shape):
            raise InputError(f"layer {name!r} is not in the earlier summary; give one of the same model")
        flips = float((signs != old.signs.to(signs.device)).double().mean())
    return LayerSummary(
        name,
        tuple(latent.shape),
        quantizer.bits,
        count,
        packed_bytes(latent.numel(), count) + latent.element_size() * (count + scale.numel()),
        float((signs == 0).double().mean()),
        flips,
        signs,
    )


def _stored(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
