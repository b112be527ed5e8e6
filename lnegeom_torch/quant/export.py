"""Write a frozen model to disk: ONNX, or a packed file of integers."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.quant.freeze import Packing, freeze, weight_quantizers

__all__ = ["export", "unpack"]

_FORMAT = "lnegeom packed weights 1"


def export(model: nn.Module, path: str | Path, inputs: Tensor | None = None) -> Path:
    """Write a model to a file, in the format that the file's name ends in.

    - ``.onnx``: the frozen model, its first axis of any size, for onnxruntime and other engines.
    - ``.safetensors``: integers. Each quantized weight is packed into as many bits as it has (a ternary one
      into two), with its levels and scales; all other tensors as they are. `unpack` gives back the frozen
      model's state, bit for bit.

    Parameters
    ----------
    model : nn.Module
        A quantized model, which is frozen first and left as it is, or what `freeze` returned.
    path : path
        The file.
    inputs : Tensor, optional
        A batch of inputs, which ONNX needs to see.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the ending is unknown, or ONNX has no inputs.
    ImportError
        If ``lnegeom[onnx]`` is not installed and ONNX is wanted.

    Examples
    --------
    >>> import tempfile, torch
    >>> from lnegeom_torch import QuantConfig, export, freeze, quantize_
    >>> model = torch.nn.Linear(256, 128, bias=False)
    >>> method = quantize_(model, QuantConfig("ste"))
    >>> path = export(model, tempfile.mkdtemp() + "/model.safetensors")
    >>> path.stat().st_size < 128 * 256 / 8 + 500  # bytes: a bit for each weight, and a header
    True
    >>> bool(torch.equal(unpack(path)["weight"], model.weight))
    True
    """
    path = Path(path)
    frozen = freeze(model) if weight_quantizers(model) else model
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        _pack(frozen, path)
    elif path.suffix == ".onnx":
        _onnx(frozen, path, inputs)
    else:
        raise InputError(f"expected a file ending in .onnx or .safetensors, got {str(path)!r}")
    return path


def unpack(path: str | Path) -> dict[str, Tensor]:
    """The state of the frozen model in a packed file, bit for bit: for ``frozen.load_state_dict``.

    Raises
    ------
    InputError
        If the file is damaged or something else.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is not a readable packed file ({error})") from None
    if metadata.get("format") != _FORMAT:
        raise InputError(f"{path} is not a packed file of this version; write it with lnegeom_torch.export")
    for name, entry in json.loads(metadata["packed"]).items():
        levels, codes = tensors.pop(f"{name}.levels"), tensors.pop(f"{name}.codes")
        scale = tensors.pop(f"{name}.scale", None)
        weight = levels[_unpack_codes(codes, entry["bits"], entry["shape"])]
        tensors[name] = weight if scale is None else weight * scale
    for name, first in json.loads(metadata["shared"]).items():
        tensors[name] = tensors[first]
    return tensors


def _pack(model: nn.Module, path: Path) -> None:
    state, packed, shared = {}, {}, {}
    owners: dict[int, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) in owners:
            shared[name] = owners[id(value)]
            continue
        owners[id(value)] = name
        module, _, own = name.rpartition(".")
        packing = getattr(model.get_submodule(module), "packing", {}).get(own)
        codes = None if packing is None else _codes(value.detach(), packing)
        if packing is None or codes is None:
            state[name] = value.detach().cpu().contiguous()
            continue
        bits = max(1, (len(packing.levels) - 1).bit_length())
        packed[name] = {"bits": bits, "shape": list(value.shape)}
        state |= {f"{name}.codes": _pack_codes(codes, bits), f"{name}.levels": packing.levels.cpu()}
        if packing.scale is not None:
            state[f"{name}.scale"] = packing.scale.detach().cpu().contiguous()
    metadata = {"format": _FORMAT, "packed": json.dumps(packed), "shared": json.dumps(shared)}
    temporary = path.with_name(path.name + ".partial")
    temporary.write_bytes(safetensors.torch.save(state, metadata))
    os.replace(temporary, path)


def _codes(weight: Tensor, packing: Packing) -> Tensor | None:
    """Which level each entry is; None if the weight has been changed since it was frozen."""
    levels, scale = packing
    ratio = weight if scale is None else weight / scale
    middles = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(ratio.contiguous(), middles)
    again = levels[codes] if scale is None else levels[codes] * scale
    return codes if torch.equal(again, weight) else None


def _pack_codes(codes: Tensor, bits: int) -> Tensor:
    flat = codes.cpu().numpy().astype(np.uint8).ravel()
    return torch.from_numpy(np.packbits(np.unpackbits(flat[:, None], axis=1)[:, 8 - bits :]))


def _unpack_codes(packed: Tensor, bits: int, shape: list[int]) -> Tensor:
    count = int(np.prod(shape))
    each = np.unpackbits(packed.numpy(), count=count * bits).reshape(count, bits)
    whole = np.concatenate([np.zeros((count, 8 - bits), np.uint8), each], axis=1)
    return torch.from_numpy(np.packbits(whole, axis=1).astype(np.int64)).reshape(shape)


def _onnx(model: nn.Module, path: Path, inputs: Tensor | None) -> None:
    if inputs is None:
        raise InputError("ONNX needs a batch of inputs to trace the model with: export(model, path, inputs)")
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise ImportError('writing ONNX needs onnxscript; get it with: pip install "lnegeom[onnx]"') from None
    # Of operators of torchvision that a model without them does not miss.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")  # the exporter's own, about its own code
        torch.onnx.export(
            model.eval(),
            (inputs,),
            path,
            dynamo=True,
            verbose=False,
            optimize=False,  # onnxscript 0.7 makes an invalid graph of a ReLU before a clamp
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},) if len(inputs) > 1 else None,
        )
