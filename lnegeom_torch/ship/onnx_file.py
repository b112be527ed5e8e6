"""A model as an ONNX file."""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.ship.frozen import freeze, is_quantized

__all__ = ["export"]


def export(
    model: nn.Module, path: str | Path, inputs: Tensor | tuple[Tensor, ...], *, dynamic_batch: bool = True
) -> None:
    """Write a model to an ONNX file, for onnxruntime and others; needs ``pip install "lnegeom[onnx]"``.

    The file computes in the model's floating type, weights of few levels included: `save_packed` is the small
    file. Other runtimes sum in another order, so that outputs agree to rounding, in float32 to a millionth of
    the largest; where activations are quantized, one that lies within rounding of the middle between two
    levels may go to the other.

    Parameters
    ----------
    model : nn.Module
        As `freeze` returns it; a quantized model is frozen first.
    path : str or Path
        Ends in ``.onnx``.
    inputs : Tensor or tuple of Tensor
        An example of what the model takes; its values do not matter, its shapes do.
    dynamic_batch : bool
        Whether the file takes batches of any size: the first axis of every input.

    Raises
    ------
    InputError
        If the packages for it are missing, or torch cannot export the model.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise InputError(f"path must end in .onnx, got {str(path)!r}")
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise InputError(f'export needs {package}; get it with: pip install "lnegeom[onnx]"') from None
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    shapes: Any = None
    if dynamic_batch:
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in arguments)
        # An axis of one entry would be taken for a constant.
        arguments = tuple(torch.cat([x, x]) if len(x) == 1 else x for x in arguments)
    plain = freeze(model) if is_quantized(model) else model.eval()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whether torchvision is installed does not matter here, and the exporter warns that it is not.
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with torch.no_grad():
            torch.onnx.export(
                plain,
                arguments,
                str(path),
                dynamo=True,
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise InputError(f"torch cannot export this model to ONNX: {reason}") from error
    finally:
        registration.setLevel(level)
