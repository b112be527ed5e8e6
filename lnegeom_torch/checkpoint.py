"""A training run on disk: tensors as safetensors, everything else as JSON in the same file. No pickle."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom_torch.methods import Method

__all__ = ["Checkpoint", "capture", "check_same", "differences", "restore"]

_FORMAT = "lnegeom training checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on: tensors by name, and plain data (config, epochs done, history).

    Examples
    --------
    >>> import tempfile, torch
    >>> path = Path(tempfile.mkdtemp()) / "run.safetensors"
    >>> Checkpoint({"weight": torch.ones(2)}, {"epoch": 3}).save(path)
    >>> Checkpoint.load(path).data
    {'epoch': 3}
    """

    tensors: dict[str, Tensor]
    data: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all: an interrupted write leaves the one before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".partial")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        metadata = {"format": _FORMAT, "data": json.dumps(self.data, allow_nan=False)}
        temporary.write_bytes(safetensors.torch.save(tensors, metadata))
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint.

        Raises
        ------
        FileNotFoundError
            If there is none.
        InputError
            If the file is damaged or something else.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}; run without --resume to start one")
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except safetensors.SafetensorError as error:
            raise InputError(
                f"{path} is not a readable checkpoint ({error}); delete it to start anew"
            ) from None
        if metadata.get("format") != _FORMAT:
            raise InputError(f"{path} is not a checkpoint of this version; delete it to start anew")
        return cls(tensors, json.loads(metadata["data"]))


def capture(
    method: Method, optimizer: torch.optim.Optimizer, generator: torch.Generator, data: dict[str, Any]
) -> Checkpoint:
    """Gather the state of a run: model, optimizer, method, and the random states."""
    tensors = {f"model.{name}": value for name, value in method.model.state_dict().items()}
    tensors |= {f"method.{name}": value for name, value in method.state_dict().items()}
    state = optimizer.state_dict()
    absent = []
    for index, values in state["state"].items():
        for name, value in values.items():
            if value is None:  # torch keeps an entry for a momentum buffer before its first use
                absent.append([index, name])
            else:
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    tensors["random.shuffle"] = generator.get_state()
    tensors["random.torch"] = torch.get_rng_state()
    device = _device(method)
    if device.type == "cuda":  # what is drawn there, by `spin` or dropout, is drawn by a generator of its own
        tensors["random.cuda"] = torch.cuda.get_rng_state(device)
    return Checkpoint(tensors, {**data, "param_groups": state["param_groups"], "absent": absent})


def restore(
    checkpoint: Checkpoint, method: Method, optimizer: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """Put the state of a run back where `capture` took it from."""

    def under(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in checkpoint.tensors.items() if k.startswith(prefix)}

    device = _device(method)
    method.model.load_state_dict(under("model."))
    method.load_state_dict({name: value.to(device) for name, value in under("method.").items()})
    state: dict[int, dict[str, Any]] = {}
    for name, value in under("optimizer.").items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    for index, key in checkpoint.data["absent"]:
        state.setdefault(index, {})[key] = None
    optimizer.load_state_dict({"state": state, "param_groups": checkpoint.data["param_groups"]})
    generator.set_state(checkpoint.tensors["random.shuffle"])
    torch.set_rng_state(checkpoint.tensors["random.torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(checkpoint.tensors["random.cuda"], device)


def _device(method: Method) -> torch.device:
    return next(method.model.parameters()).device


def check_same(saved: dict[str, Any], wanted: dict[str, Any], path: Path) -> None:
    """Raise an InputError that names what differs, unless the run in a file is the one that is wanted."""
    if saved["seed"] != wanted["seed"]:
        raise InputError(f"{path} holds seed {saved['seed']}, not {wanted['seed']}; use another folder")
    if different := differences(saved["config"], wanted["config"]):
        raise InputError(f"cannot resume {path}: {different}; give the same options again")


def differences(saved: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What differs between two configurations as plain data, in words; empty if nothing does."""
    before, now = _leaves(saved), _leaves(wanted)
    return "; ".join(
        f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    )


def _leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as flat names and values, ``quant.method`` and so on."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
