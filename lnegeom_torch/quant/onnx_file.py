"""ONNX files, whose discrete weights are bytes of codes."""

from __future__ import annotations

import copy
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch.quant.packing import Packing, byte_codes, how_to_pack

__all__ = ["write_onnx"]

_SMALLEST = 2048  # bytes of a weight; what unpacks it takes about a thousand


def write_onnx(model: nn.Module, path: Path, inputs: Tensor | tuple[Tensor, ...] | None) -> None:
    """Write a frozen model; see `lnegeom_torch.export`."""
    if inputs is None:
        raise InputError("ONNX needs a batch of inputs to trace the model with: export(model, path, inputs)")
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError('writing ONNX needs onnxscript; get it with: pip install "lnegeom[onnx]"') from None
    given = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    # An axis of one entry would be taken for a constant.
    given = tuple(torch.cat([x, x]) if len(x) == 1 else x for x in given)
    plain = copy.deepcopy(model).eval()
    _refuse_inputs(plain, given)
    batch = torch.export.Dim("batch")
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)  # it misses torchvision's operators, which the model does not
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, about its own code
            torch.onnx.export(
                plain,
                given,
                path,
                dynamo=True,
                verbose=False,
                optimize=False,  # onnxscript 0.7 makes an invalid graph of a ReLU before a clamp
                external_data=False,
                dynamic_shapes=tuple({0: batch} for _ in given),
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise InputError(f"torch cannot write this model as ONNX: {reason}") from error
    finally:
        registration.setLevel(level)
    _pack_weights(model, path)


@torch.no_grad()
def _refuse_inputs(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Refuse what the model does not take, in its own words: the exporter's are about its insides."""
    try:
        model(*inputs)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise InputError(
            f"the model does not take inputs of shape {shapes}, the first axis of each the batch's: "
            f"{str(error).strip().splitlines()[0]}"
        ) from error


def _pack_weights(model: nn.Module, path: Path) -> None:
    """Replace the discrete weights of an ONNX file by bytes of codes and the arithmetic that unpacks them."""
    import onnx

    file = onnx.load(path)
    state, packed = model.state_dict(), []
    for weight in file.graph.initializer:
        value = state.get(weight.name)
        if value is None or value.ndim < 2 or value.numel() * value.element_size() < _SMALLEST:
            continue
        if value.dtype == torch.bfloat16:
            continue  # which numpy does not have
        owner, _, own = weight.name.rpartition(".")
        packing, codes = how_to_pack(value, getattr(model.get_submodule(owner), "packing", {}).get(own))
        if packing is not None and codes is not None:
            packed.append((weight, packing, codes))
    nodes = []
    for weight, packing, codes in packed:
        file.graph.initializer.remove(weight)
        constants, arithmetic = _unpacking(weight.name, packing, codes)
        file.graph.initializer.extend(constants)
        nodes += arithmetic
    for node in file.graph.node:
        del node.metadata_props[:]  # lines and paths of the Python code it was traced from
    for node in reversed(nodes):
        file.graph.node.insert(0, node)
    onnx.checker.check_model(file)
    onnx.save(file, path)


def _unpacking(name: str, packing: Packing, codes: Tensor) -> tuple[list[Any], list[Any]]:
    """ONNX constants and nodes that make ``levels[codes] * scale``, under the name of the weight."""
    from onnx import TensorProto, helper, numpy_helper

    content, values = byte_codes(codes, len(packing.levels))
    constants = {
        "bytes": content[:, None],
        "values": np.array([values], np.int32),
        "base": np.array(max(len(packing.levels), 2), np.int32),
        "start": np.array([0]),
        "count": np.array([codes.numel()]),
        "flat": np.array([-1]),
        "levels": packing.levels.cpu().numpy(),
        "scale": packing.scale.cpu().numpy(),
        "shape": np.array(codes.shape),
    }
    steps: list[tuple[str, tuple[str, ...], dict[str, Any]]] = [
        ("Cast", ("bytes",), {"to": TensorProto.INT32}),
        ("Div", ("Cast", "values"), {}),
        ("Mod", ("Div", "base"), {}),
        ("Reshape", ("Mod", "flat"), {}),
        ("Slice", ("Reshape", "start", "count"), {}),
        ("Reshape", ("Slice", "shape"), {}),
        ("Gather", ("levels", "Reshape"), {}),
        ("Mul", ("Gather", "scale"), {}),
    ]
    nodes, latest = [], {key: f"{name}:{key}" for key in constants}
    for index, (kind, inputs, attributes) in enumerate(steps):
        output = name if index == len(steps) - 1 else f"{name}:{index}"
        nodes.append(helper.make_node(kind, [latest[key] for key in inputs], [output], **attributes))
        latest[kind] = output
    return [numpy_helper.from_array(value, f"{name}:{key}") for key, value in constants.items()], nodes
