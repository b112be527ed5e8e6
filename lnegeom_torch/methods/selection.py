"""Which weights of a model are quantized, which are not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from lnegeom import InputError
from lnegeom_torch.methods.config import QuantConfig
from lnegeom_torch.quant.modules import WeightQuantizer

__all__ = ["Target", "find_relus", "select"]

_KINDS = {
    "Linear": nn.Linear,
    "Conv1d": nn.Conv1d,
    "Conv2d": nn.Conv2d,
    "Embedding": nn.Embedding,
    "MultiheadAttention": nn.MultiheadAttention,
}
_BY_DEFAULT = QuantConfig.include  # any model may lack some of these
_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")

# nn.MultiheadAttention reads this layer's weight itself and never calls it.
_ATTENTION_OUTPUT = nn.modules.linear.NonDynamicallyQuantizableLinear


@dataclass(frozen=True)
class Target:
    """A weight to quantize: the module that owns it, its names, its width.

    Parameters
    ----------
    module : nn.Module
        Its owner.
    path : str
        The owner's name in the model; empty for the model itself.
    tensor : str
        The parameter's name in its owner, as a rule ``"weight"``.
    bits : int or "ternary"
        Its width.
    """

    module: nn.Module
    path: str
    tensor: str
    bits: int | str

    @property
    def parametrization(self) -> str:
        """Name, in the model, of the list that holds the quantizer."""
        return ".".join(filter(None, (self.path, "parametrizations", self.tensor)))

    @property
    def latent(self) -> str:
        """Name, in the model, of the latent weight."""
        return f"{self.parametrization}.original"


def select(model: nn.Module, config: QuantConfig) -> tuple[dict[str, Target], list[nn.Module]]:
    """The weights to quantize by layer name, in the model's order, and the modules that the choice fell on.

    The modules are more than the targets' where the width is 32. Each module that could be quantized and is
    not gets the reason as its attribute ``not_quantized``, for `lnegeom_torch.summary`.

    Raises
    ------
    InputError
        If there is none, one asked for has no weight, a pattern fits no layer, or a weight is not there yet,
        quantized already, or computed from others.
    """
    chosen: dict[str, tuple[nn.Module, str, str]] = {}
    layers: dict[str, str] = {}
    for name, module in model.named_modules():
        owner = model.get_submodule(name.rpartition(".")[0])
        inside = isinstance(module, _ATTENTION_OUTPUT) and isinstance(owner, nn.MultiheadAttention)
        judged = owner if inside else module
        kind = _kind(judged)
        if kind is None:
            _refuse_without_weight(name, module, config)
            continue
        layers[name] = kind
        if not any(_matches(name, kind, pattern) for pattern in config.include):
            _skip(module, f"{kind} is not included")
        elif pattern := next((p for p in config.exclude if _matches(name, kind, p)), None):
            _skip(module, f"excluded by {pattern!r}")
        elif isinstance(module, nn.MultiheadAttention):
            for tensor in _PROJECTIONS:
                if getattr(module, tensor) is not None:
                    chosen[f"{name}.{tensor}" if name else tensor] = (module, name, tensor)
        else:
            chosen[name] = (module, name, "weight")
    if not chosen and config.weight_bits != 32:
        raise InputError(
            f"the model has no layer to quantize: expected one of include={config.include} at least that is "
            f"not of exclude={config.exclude}"
        )
    _refuse_unmatched("include", [p for p in config.include if p not in _BY_DEFAULT], layers)
    _refuse_unmatched("exclude", config.exclude, {**layers, **_relus(model)})
    kinds = {path: layers[path] for _, path, _ in chosen.values()}
    _refuse_unmatched("layer_bits", [pattern for pattern, _ in config.bits_by_pattern], kinds)
    return _targets(chosen, kinds, config), [module for module, _, _ in chosen.values()]


def find_relus(model: nn.Module, config: QuantConfig) -> list[tuple[nn.Module, str]]:
    """The ReLUs and ReLU6s of a model that are not excluded: their parents and their names there."""
    found = []
    for name, kind in _relus(model).items():
        if not any(_matches(name, kind, pattern) for pattern in config.exclude):
            path, _, key = name.rpartition(".")
            found.append((model.get_submodule(path), key))
    return found


def _relus(model: nn.Module) -> dict[str, str]:
    """The types of a model's ReLUs and ReLU6s by name; one that stands at several places by each."""
    return {
        f"{path}.{key}" if path else key: type(child).__name__
        for path, parent in model.named_modules()
        for key, child in parent.named_children()
        if isinstance(child, nn.ReLU | nn.ReLU6)
    }


def _kind(module: nn.Module) -> str | None:
    """The type that `include` knows a layer by; None for what has no weight of two axes or more."""
    for kind, cls in _KINDS.items():
        if isinstance(module, cls):
            return kind
    weight = module._parameters.get("weight")
    wide = weight is not None and weight.ndim > 1 and weight.is_floating_point()
    return type(module).__name__ if wide else None


def _skip(module: nn.Module, reason: str) -> None:
    setattr(module, "not_quantized", reason)  # noqa: B010 (no tensor, no module: torch's stubs refuse it)


def _matches(name: str, kind: str, pattern: str) -> bool:
    return pattern == kind or fnmatchcase(name, pattern)


def _targets(
    chosen: dict[str, tuple[nn.Module, str, str]], kinds: dict[str, str], config: QuantConfig
) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    ends = {0, len(chosen) - 1}
    for position, (name, (module, path, tensor)) in enumerate(chosen.items()):
        if isinstance(_maker(module, tensor), WeightQuantizer):
            raise InputError(
                f"layer {name!r} has a parametrized weight already; quantize a model once, from a fresh copy"
            )
        own = [bits for pattern, bits in config.bits_by_pattern if _matches(path, kinds[path], pattern)]
        bits: int | str = config.weight_bits
        if own:
            bits = own[0]
        elif position in ends and config.first_last_bits is not None:
            bits = config.first_last_bits
        if bits == 32:
            _skip(module, "32 bits")
        else:
            _refuse_unfit(name, module, tensor)
            targets[name] = Target(module, path, tensor, bits)
    return targets


def _maker(module: nn.Module, tensor: str) -> nn.Module | None:
    """The first parametrization of a weight, if it has any."""
    found = parametrize.is_parametrized(module, tensor)
    return module.get_submodule(f"parametrizations.{tensor}.0") if found else None


def _refuse_unmatched(setting: str, patterns: Sequence[str], layers: dict[str, str]) -> None:
    """Refuse a pattern that would be without effect: as a rule a name that is misspelt."""
    for pattern in patterns:
        if not any(_matches(name, kind, pattern) for name, kind in layers.items()):
            names = [f"{name!r} ({kind})" for name, kind in layers.items()]
            shown = ", ".join([*names[:8], *(["…"] if len(names) > 8 else [])])
            raise InputError(
                f"{setting} has {pattern!r}, which fits no layer; expected a type, a name, or a pattern of "
                f"whole names such as 'encoder.*'; the layers are {shown}"
            )


def _refuse_without_weight(name: str, module: nn.Module, config: QuantConfig) -> None:
    """Refuse what is asked for by its own name or type, and is no layer: an LSTM, a container."""
    kind = type(module).__name__
    if pattern := next((p for p in config.include if p in (name, kind)), None):
        raise InputError(
            f"include has {pattern!r}, but {name!r} is of type {kind}, which has no parameter 'weight' of "
            "two axes or more to quantize; leave it out, or name the layers in it"
        )


def _refuse_unfit(name: str, module: nn.Module, tensor: str) -> None:
    """Refuse a weight that is not there yet, or that something else makes of other parameters."""
    if (maker := _maker(module, tensor)) is not None:
        raise InputError(
            f"the weight of layer {name!r} is parametrized, by {type(maker).__name__}; first fix it with "
            f"torch.nn.utils.parametrize.remove_parametrizations(layer, {tensor!r}), or exclude the layer"
        )
    if getattr(module, "max_norm", None) is not None:
        raise InputError(
            f"layer {name!r} has max_norm={module.max_norm}, by which it writes to rows of its weight as it "
            "reads them, and so undoes their quantization; build it with max_norm=None, or exclude it"
        )
    weight = module._parameters.get(tensor)
    if weight is None:
        raise InputError(
            f"the weight of layer {name!r} is no parameter, but computed from others, as by "
            "torch.nn.utils.weight_norm, spectral_norm or prune; first fix it with remove_weight_norm, "
            "remove_spectral_norm or prune.remove, or exclude the layer"
        )
    if is_lazy(weight):
        raise InputError(
            f"layer {name!r} is lazy and has no weight yet; send a batch through the model before quantize_"
        )
