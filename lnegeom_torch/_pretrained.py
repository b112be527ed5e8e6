"""Weights of a trained network, to start from."""

from __future__ import annotations

import re
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor, nn

from lnegeom import InputError
from lnegeom_torch._train_config import TrainConfig

__all__ = ["start_from"]

_LATENT = re.compile(r"(.*)parametrizations\.(\w+)\.original")
_OF_QUANTIZERS = re.compile(r"(.*\.)?(parametrizations|activation_quantizer)\..*")


def start_from(model: nn.Module, path: Path, config: TrainConfig) -> None:
    """Load a safetensors file into a network that is not quantized yet; of one that was, the latent weights.

    Raises
    ------
    InputError
        If there is no such file, it is another kind of file, or it does not hold this network.
    """
    try:
        model.load_state_dict(_weights(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path} does not hold a network {config.model!r} for the data set {config.data!r}: {reason}"
        ) from None


def _weights(path: Path) -> dict[str, Tensor]:
    """The state of a network in a safetensors file, by itself or in a checkpoint."""
    if not path.is_file():
        raise InputError(
            f"there is no file {path} to start from; name another with --pretrained, or, for a recipe, first "
            "train its table's -fp row, with runs/TABLE/ROW as --out"
        )
    try:
        state = safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise InputError(
            f"{path} is no safetensors file ({error}); of a state that torch.save wrote make one with "
            "safetensors.torch.save_file(torch.load(path), other)"
        ) from None
    inside = {name.removeprefix("model."): v for name, v in state.items() if name.startswith("model.")}
    return _full_precision(inside or state)


def _full_precision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The latent weights in the place of quantized ones; what the quantizers have learned belongs to them."""
    found = {}
    for name, value in state.items():
        if latent := _LATENT.fullmatch(name):
            found[latent[1] + latent[2]] = value
        elif not _OF_QUANTIZERS.fullmatch(name):
            found[name] = value
    return found
