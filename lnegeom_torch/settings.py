"""From settings, as recipes and the command line give them, to a checked configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lnegeom import InputError
from lnegeom_torch.methods import METHODS, QuantConfig
from lnegeom_torch.metrics import metric_from_data, metric_to_data
from lnegeom_torch.train import TrainConfig

__all__ = ["parse_options", "to_config", "to_quant"]


def to_config(settings: Mapping[str, Any]) -> TrainConfig:
    """A `TrainConfig` from plain settings, whose ``quant`` is a table too.

    Raises
    ------
    InputError
        If a name is unknown or a value does not fit.

    Examples
    --------
    >>> to_config({"lr": 0.2, "quant": {"method": "rf", "options": {"every": 20}}}).quant.options.every
    20
    """
    values = dict(settings)
    quant = to_quant(values.pop("quant", {}))
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    _check_names("setting", values, TrainConfig)
    return TrainConfig(quant=quant, **values)


def to_quant(settings: Mapping[str, Any]) -> QuantConfig:
    """A `QuantConfig` from plain settings: options as a table, metric as changes to the method's."""
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
    _check_names("quant setting", values, QuantConfig)
    spec = METHODS.get(values.get("method", "ste"))
    options, metric = values.pop("options", None), values.pop("metric", None)
    if spec is not None and options:
        if spec.options is None:
            raise InputError(
                f"method {values['method']!r} has no constants of its own, got {', '.join(options)}"
            )
        _check_names("option", options, type(spec.options))
        values["options"] = dataclasses.replace(spec.options, **options)
    if spec is not None and metric:
        if spec.metric is None:
            raise InputError(
                f"method {values['method']!r} is Euclidean; --chi and --inverse need a method with a metric"
            )
        values["metric"] = metric_from_data({**(metric_to_data(spec.metric) or {}), **metric})
    return QuantConfig(**values)


def parse_options(pairs: Sequence[str]) -> dict[str, Any]:
    """``["alpha=0.1", "form=fcgrad"]`` as a dictionary; numbers and true become what they say.

    Examples
    --------
    >>> parse_options(["alpha=0.1", "every=20", "form=fcgrad", "rows=1,0", "batched=true"])
    {'alpha': 0.1, 'every': 20, 'form': 'fcgrad', 'rows': (1, 0), 'batched': True}
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InputError(f"expected NAME=VALUE, such as alpha=0.1, got {pair!r}")
        found[name] = tuple(map(_value, text.split(","))) if "," in text else _value(text)
    return found


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _check_names(what: str, values: Mapping[str, Any], kind: type) -> None:
    known = [field.name for field in dataclasses.fields(kind)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InputError(f"unknown {what} {unknown[0]!r}; known: {', '.join(known)}")
