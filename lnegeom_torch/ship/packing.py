"""A model's state in a file whose size falls with the bits of its weights."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.ship.factors import Factors, find_factors
from lnegeom_torch.ship.frozen import freeze, is_quantized

__all__ = ["load_packed", "packed_bytes", "save_packed"]

_FORMAT = "lnegeom packed model 1"
_MOST_LEVELS = 256


def save_packed(model: nn.Module, path: str | Path) -> None:
    """Write a model's state with weights of few levels packed; `load_packed` gives it back to the last bit.

    A weight of n levels takes ``64 / floor(log 2⁶⁴ / log n)`` bits an entry: 1 for two levels, 1.6 for three,
    2 for four, 8 for 256; and a floating number for each level, and for each channel if the scale is by
    channel. Everything else is stored as it is. The file is a safetensors file.

    Parameters
    ----------
    model : nn.Module
        As `freeze` returns it; a quantized model is frozen first.
    path : str or Path
        Written whole or not at all.

    Raises
    ------
    InputError
        If the model is no module.

    Examples
    --------
    >>> import tempfile, torch
    >>> from lnegeom_torch import QuantConfig, freeze, load_packed, quantize_, save_packed
    >>> model = torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.Linear(512, 512))
    >>> method = quantize_(model, QuantConfig("ste"))
    >>> path = Path(tempfile.mkdtemp()) / "model.packed"
    >>> save_packed(model, path)
    >>> path.stat().st_size / (4 * sum(p.numel() for p in model.parameters())) < 1 / 29  # float32's
    True
    >>> state, frozen = load_packed(path), freeze(model).state_dict()
    >>> all(torch.equal(state[name], frozen[name]) for name in frozen)
    True
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"expected save_packed(model, path), got {model!r}")
    model = freeze(model) if is_quantized(model) else model
    tensors: dict[str, Tensor] = {}
    packed: dict[str, Any] = {}
    written: dict[int, str] = {}
    aliases: dict[str, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if (first := written.setdefault(id(value), name)) != name:
            aliases[name] = first
            continue
        value = value.detach()
        found = _factors(model, name, value)
        if found is None:
            tensors[name] = value.cpu().contiguous()
        else:
            tensors |= _parts(name, found)
            packed[name] = {"shape": list(value.shape), "levels": len(found.levels)}
    metadata = {"format": _FORMAT, "packed": json.dumps(packed), "aliases": json.dumps(aliases)}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(safetensors.torch.save(tensors, metadata))
    os.replace(temporary, path)


def load_packed(path: str | Path) -> dict[str, Tensor]:
    """Read the state of a frozen model that `save_packed` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    dict of str to Tensor
        On the CPU, for ``load_state_dict`` of the plain model; or of what `freeze` makes of the quantized
        one, if activations are quantized or batch norms folded.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no packed model at {path}; save_packed writes one")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a readable packed model ({error}); write it again") from None
    if metadata.get("format") != _FORMAT:
        raise InputError(f"{path} is not a packed model of this version; write it with save_packed")
    for name, entry in json.loads(metadata["packed"]).items():
        levels, scale = tensors.pop(f"{name}:levels"), tensors.pop(f"{name}:scale")
        codes = _unpack(tensors.pop(f"{name}:codes").numpy(), entry["levels"], tuple(entry["shape"]))
        tensors[name] = Factors(torch.from_numpy(codes), levels, scale).product()
    return tensors | {name: tensors[first] for name, first in json.loads(metadata["aliases"]).items()}


def packed_bytes(count: int, levels: int) -> int:
    """Bytes that a weight of so many entries and levels takes, without its levels and scales.

    Examples
    --------
    >>> packed_bytes(6400, levels=2), packed_bytes(6400, levels=3), packed_bytes(6400, levels=16)
    (800, 1280, 3200)
    """
    return -(-count // _digits(levels)) * 8


def _factors(model: nn.Module, name: str, value: Tensor) -> Factors | None:
    """The factors of a floating tensor, if they take less room than it does."""
    if not value.is_floating_point() or value.numel() == 0:
        return None
    owner, _, tensor = name.rpartition(".")
    found = None
    if isinstance(value, nn.Parameter) or tensor in model.get_submodule(owner)._parameters:
        found = find_factors(model.get_submodule(owner), tensor)
    if found is None:
        levels = torch.unique(value)
        if len(levels) > _MOST_LEVELS or levels.isnan().any():
            return None
        one = torch.ones((), dtype=value.dtype, device=value.device)
        found = Factors(torch.bucketize(value, levels), levels, one)
    size = packed_bytes(value.numel(), len(found.levels)) + value.element_size() * (
        found.levels.numel() + found.scale.numel()
    )
    same_bits = torch.equal(_bits(found.product()), _bits(value))
    return found if same_bits and size < value.numel() * value.element_size() else None


def _bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.uint8)


def _parts(name: str, found: Factors) -> dict[str, Tensor]:
    codes = found.codes.to("cpu", torch.uint8).flatten().numpy()
    return {
        f"{name}:codes": torch.from_numpy(_pack(codes, len(found.levels))),
        f"{name}:levels": found.levels.cpu().contiguous(),
        f"{name}:scale": found.scale.cpu().contiguous(),
    }


def _digits(levels: int) -> int:
    """How many digits of base `levels` a word of 64 bits holds."""
    digits, base = 1, max(levels, 2)
    while base ** (digits + 1) <= 2**64:
        digits += 1
    return digits


def _pack(codes: np.ndarray[Any, Any], levels: int) -> np.ndarray[Any, Any]:
    """Codes below `levels` as the digits of little-endian words of 64 bits, the first the lowest."""
    digits = _digits(levels)
    table = np.zeros((-(-len(codes) // digits), digits), np.uint8)
    table.reshape(-1)[: len(codes)] = codes
    words = np.zeros(len(table), np.uint64)
    for column in table.T[::-1]:
        words = words * np.uint64(max(levels, 2)) + column
    return words.astype("<u8").view(np.uint8)


def _unpack(content: np.ndarray[Any, Any], levels: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    words = content.view("<u8").astype(np.uint64)
    table = np.empty((len(words), _digits(levels)), np.int64)
    for column in table.T:
        words, column[:] = np.divmod(words, np.uint64(max(levels, 2)))
    return table.reshape(-1)[: int(np.prod(shape))].reshape(shape)
