"""The contract of a metric on weights, and the registry that turns metrics into plain data and back."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from lnegeom import InputError
from lnegeom_torch.metrics._room import Room

__all__ = [
    "RUNGE_KUTTA_STEPS",
    "Metric",
    "metric_from_data",
    "metric_to_data",
    "register_metric",
    "runge_kutta",
    "wide",
    "without_autocast",
]


class Metric(abc.ABC):
    """A Riemannian metric on the weights of one tensor, as a preconditioner of its gradient.

    A metric is a frozen dataclass of plain numbers and strings. Subclass it, implement `natural_gradient`,
    and decorate the class with `register_metric`: a checkpoint then holds its name and numbers only, so that
    ``torch.load(weights_only=True)`` accepts it.

    Weights and gradients have any shape; results are new tensors of the gradient's dtype. No method waits
    for the device, so none looks at values: a metric must be finite for every finite weight.

    Examples
    --------
    A metric of one's own:

    >>> from dataclasses import dataclass
    >>> import torch
    >>> from lnegeom_torch import ManifoldSGD
    >>> from lnegeom_torch.metrics import Metric, register_metric
    >>> @register_metric
    ... @dataclass(frozen=True)
    ... class Scaled(Metric):
    ...     factor: float = 4.0
    ...
    ...     def natural_gradient(self, weight, gradient):
    ...         return gradient / self.factor
    >>> weight = torch.nn.Parameter(torch.ones(2))
    >>> optimizer = ManifoldSGD([weight], lr=1.0, metric=Scaled(factor=2.0))
    >>> optimizer.param_groups[0]["metric"]
    {'name': 'Scaled', 'factor': 2.0}
    """

    @abc.abstractmethod
    def natural_gradient(self, weight: Tensor, gradient: Tensor) -> Tensor:
        """``g⁻¹ ∂L/∂W``, of the shape and dtype of the gradient."""

    def natural_gradients(
        self,
        weights: Sequence[Tensor],
        gradients: Sequence[Tensor],
        room: Room | None = None,
        states: Sequence[Any] | None = None,
    ) -> list[Tensor]:
        """`natural_gradient` of each tensor of a list.

        ``room`` may be taken for the results, which are then good until the next call; the optimizer offers
        it where weights are dense, in order and in processor memory. ``states`` are the optimizer's states of
        the weights, for a metric that is estimated, as `Fisher` is.
        """
        return [self.natural_gradient(w, g) for w, g in zip(weights, gradients, strict=True)]

    def acceleration(self, weight: Tensor, velocity: Tensor, origin: Tensor | None = None) -> Tensor:
        """``−Γ(v, v)``, how a geodesic through W with velocity v bends; for the higher-order retractions.

        A metric that scales itself to stay positive definite does so at the origin, the weight by default.
        """
        raise InputError(
            f"{type(self).__name__} has no acceleration, which retractions beyond the first order need; "
            "use retraction='first', or give the metric an acceleration method"
        )

    def exponential(self, weight: Tensor, velocity: Tensor) -> Tensor:
        """The geodesic from W with velocity v at time 1, by eight steps of the classical Runge–Kutta method.

        For velocities up to about |W|, as an optimizer's are; nothing is checked.
        """
        return runge_kutta(self, weight, velocity, RUNGE_KUTTA_STEPS)

    def eigenvalues(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Least and largest eigenvalue of g, and the one that is not 1 if g is rank one; None if unknown."""
        return None

    def check(self, weight: Tensor) -> None:  # noqa: B027, since most metrics take any shape
        """Raise an InputError if the metric makes no sense for a tensor of this shape and dtype."""

    def to_data(self) -> dict[str, Any]:
        """Name and numbers, from which `metric_from_data` makes the metric again."""
        return {"name": type(self).__name__, **dataclasses.asdict(self)}  # type: ignore[call-overload]


RUNGE_KUTTA_STEPS = 8
_KINDS: dict[str, type[Metric]] = {}
_M = TypeVar("_M", bound=type[Metric])


def register_metric(kind: _M) -> _M:
    """Make a metric class known by its name, so that plain data can name it; usable as a decorator.

    Raises
    ------
    InputError
        If it is not a dataclass derived from `Metric`, or if another class already has its name.
    """
    if not _is_metric_class(kind):
        raise InputError(f"expected a dataclass derived from Metric, got {kind!r}")
    known = _KINDS.get(kind.__name__)
    if known is not None and (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise InputError(
            f"{known.__module__} has registered a metric named {kind.__name__}; choose another name"
        )
    _KINDS[kind.__name__] = kind
    return kind


def _is_metric_class(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Metric) and dataclasses.is_dataclass(kind)


def metric_to_data(metric: Any) -> dict[str, Any] | None:
    """The metric as plain data (its name and numbers), which `torch.load(weights_only=True)` accepts.

    Examples
    --------
    >>> from lnegeom_torch.metrics import LNE, metric_to_data
    >>> metric_to_data(LNE(tau=0.5))
    {'name': 'LNE', 'tau': 0.5}
    """
    if metric is None:
        return None
    if isinstance(metric, dict):
        return metric_to_data(metric_from_data(metric))
    if not isinstance(metric, Metric):
        raise InputError(f"metric must be None or one of {', '.join(_KINDS)}, got {metric!r}")
    if type(metric) is not _KINDS.get(type(metric).__name__):
        raise InputError(f"{metric!r} is not registered; decorate its class with register_metric")
    plain: dict[str, Any] = _plain(metric.to_data())
    return plain


def _plain(value: Any) -> Any:
    """The same data with Python's numbers for numpy's, which a checkpoint could not be loaded with."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_plain, value)) if isinstance(value, tuple) else list(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value


def metric_from_data(data: dict[str, Any] | None) -> Metric | None:
    """The metric that plain data names; the inverse of `metric_to_data`."""
    if data is None:
        return None
    if not isinstance(data, dict):
        raise InputError(
            f"metric data must be a dict of a name and numbers, got {data!r}; what is put into a group by "
            "hand has to be made data by metric_to_data"
        )
    numbers = dict(data)
    name = numbers.pop("name", None)
    if name not in _KINDS:
        raise InputError(f"metric data must name one of {', '.join(_KINDS)}, got {name!r}")
    try:
        return _KINDS[name](**numbers)
    except TypeError:
        raise InputError(f"metric data for {name} has unknown entries: {sorted(numbers)}") from None


def runge_kutta(metric: Metric, weight: Tensor, velocity: Tensor, steps: int) -> Tensor:
    """The geodesic from a weight at time 1, by the classical Runge–Kutta method in so many steps."""
    x, v, step = wide(weight), wide(velocity), 1 / steps
    for _ in range(steps):
        a1 = metric.acceleration(x, v, weight)
        a2 = metric.acceleration(x + step / 2 * v, v + step / 2 * a1, weight)
        a3 = metric.acceleration(x + step / 2 * v + step**2 / 4 * a1, v + step / 2 * a2, weight)
        a4 = metric.acceleration(x + step * v + step**2 / 2 * a2, v + step * a3, weight)
        x = x + step * v + step**2 / 6 * (a1 + a2 + a3)
        v = v + step / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
    return x.to(weight.dtype)


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32 or wider.

    Half precision holds neither the squares of small weights nor the sum over a large layer.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(like: Tensor) -> AbstractContextManager[Any]:
    """A context in which products on the tensor's device have their factors' precision, autocast or not."""
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
