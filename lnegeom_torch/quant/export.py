"""Write a model to disk: ONNX, safetensors, or a packed file of integers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.quant.freeze import freeze, weight_quantizers
from lnegeom_torch.quant.onnx_file import write_onnx
from lnegeom_torch.quant.packing import Packing, how_to_pack, pack_codes, unpack_codes

__all__ = ["export", "unpack"]

_FORMAT = "lnegeom packed weights 1"


def export(model: nn.Module, path: str | Path, inputs: Tensor | tuple[Tensor, ...] | None = None) -> Path:
    """Write a model to a file, in the format that the file's name ends in.

    - ``.packed``: integers. A weight of n levels takes ``64 / floor(log 2⁶⁴ / log n)`` bits an entry: 1 for
      two levels, 1.6 for three, 2 for four, 8 for 256; and a floating number for each level, and for each
      channel if the scale is by channel. Everything else is stored as it is. `unpack` gives back the frozen
      model's state, to the last bit.
    - ``.safetensors``: the frozen model's state, each weight as floating numbers, for
      `safetensors.torch.load_model` into the plain model.
    - ``.onnx``: for onnxruntime and other engines; the first axis of each input may be of any size. Weights
      are kept as bytes of as many codes as fit, eight for two levels, five for three, two for up to 16; the
      graph turns them into the same floating numbers, which onnxruntime does once, as it loads. Others sum in
      another order: outputs agree to rounding, in float32 to some millionths of the largest; where
      activations are quantized, one within rounding of the middle between two levels may go to the other.

    Parameters
    ----------
    model : nn.Module
        A quantized model, which is frozen first and left as it is, or what `freeze` returned.
    path : path
        The file; written whole or not at all.
    inputs : Tensor or tuple of Tensor, optional
        A batch of inputs, which ONNX needs to see; their values do not matter.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the ending is unknown, or ONNX has no inputs, lacks a package (``pip install "lnegeom[onnx]"``), or
        cannot express the model.

    Examples
    --------
    >>> import tempfile, torch
    >>> from lnegeom_torch import QuantConfig, export, freeze, quantize_
    >>> model = torch.nn.Linear(256, 128, bias=False)
    >>> method = quantize_(model, QuantConfig("ste"))
    >>> path = export(model, tempfile.mkdtemp() + "/model.packed")
    >>> path.stat().st_size < 128 * 256 / 8 + 500  # bytes: a bit for each weight, and a header
    True
    >>> bool(torch.equal(unpack(path)["weight"], model.weight))
    True
    """
    path = Path(path)
    if not isinstance(model, nn.Module):
        raise InputError(f"expected export(model, path), got {model!r}")
    if path.suffix not in (".packed", ".safetensors", ".onnx"):
        raise InputError(f"expected a file ending in .onnx, .safetensors or .packed, got {str(path)!r}")
    frozen = freeze(model) if weight_quantizers(model) else model
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    if path.suffix == ".onnx":
        write_onnx(frozen, temporary, inputs)
    elif path.suffix == ".packed":
        temporary.write_bytes(_packed(frozen))
    else:
        safetensors.torch.save_model(frozen, str(temporary))
    os.replace(temporary, path)
    return path


def unpack(path: str | Path) -> dict[str, Tensor]:
    """The state of the frozen model in a packed file, to the last bit.

    It is for ``load_state_dict`` of the plain model, or, if activations are quantized or batch norms folded,
    of what `freeze` makes of the quantized one.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    InputError
        If the file is damaged or something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no packed file at {path}; lnegeom_torch.export writes one")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a readable packed file ({error}); write it again") from None
    if metadata.get("format") != _FORMAT:
        raise InputError(f"{path} is not a packed file of this version; write it with lnegeom_torch.export")
    for name, entry in json.loads(metadata["packed"]).items():
        packing = Packing(tensors.pop(f"{name}:levels"), tensors.pop(f"{name}:scale"))
        codes = unpack_codes(tensors.pop(f"{name}:codes"), entry["levels"], tuple(entry["shape"]))
        tensors[name] = packing.weight(codes)
    return tensors | {name: tensors[first] for name, first in json.loads(metadata["shared"]).items()}


@torch.no_grad()
def _packed(model: nn.Module) -> bytes:
    tensors: dict[str, Tensor] = {}
    packed: dict[str, Any] = {}
    shared: dict[str, str] = {}
    owners: dict[int, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if (first := owners.setdefault(id(value), name)) != name:
            shared[name] = first
            continue
        owner, _, own = name.rpartition(".")
        packing, codes = how_to_pack(value, getattr(model.get_submodule(owner), "packing", {}).get(own))
        if packing is None or codes is None:
            tensors[name] = value.detach().cpu().contiguous()
            continue
        count = len(packing.levels)
        packed[name] = {"levels": count, "shape": list(value.shape)}
        tensors[f"{name}:codes"] = pack_codes(codes, count)
        tensors[f"{name}:levels"] = packing.levels.cpu().contiguous()
        tensors[f"{name}:scale"] = packing.scale.cpu().contiguous()
    metadata = {"format": _FORMAT, "packed": json.dumps(packed), "shared": json.dumps(shared)}
    return safetensors.torch.save(tensors, metadata)
