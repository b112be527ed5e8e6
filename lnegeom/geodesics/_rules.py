"""Functions on numpy, with their derivatives, as functions that torch and JAX differentiate."""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from lnegeom._array import Array, InputError, from_numpy, to_numpy
from lnegeom.geodesics._arrays import Vector, is_traced_by_jax
from lnegeom.geodesics._compiled import uncompiled

Shape = tuple[int, ...]
Rows = tuple[Vector, ...]


class Rule(NamedTuple):
    """A function of rows of arrays in float64, and what its derivative's transpose makes of cotangents.

    Attributes
    ----------
    value : callable
        Maps an array of the user's, for its kind, and arrays ``(r, *shape)`` to a tuple of such arrays.
    pull : callable or None
        Maps the same arrays, the values there and their cotangents to cotangents of the arrays. None where
        derivatives end.
    takes, gives : tuple of shapes
        Of a row of the arguments, and of a row of the values.
    """

    value: Callable[..., Rows]
    pull: Callable[..., Rows] | None
    takes: tuple[Shape, ...]
    gives: tuple[Shape, ...]

    def transpose(self) -> Rule:
        """The rule of `pull`, which has no derivative."""
        if self.pull is None:
            raise InputError(
                "second derivatives of integrated geodesics are not known, expected first ones alone; "
                "differentiate once, or use retract or a metric with closed_form_geodesics"
            )
        return Rule(self.pull, None, (*self.takes, *self.gives, *self.gives), self.takes)

    def on_host(self, like: Array, *arrays: Vector) -> Rows:
        """The values, as numpy's, with any axes in front, where arrays of the user's kind are like one."""
        lead = arrays[0].shape[: arrays[0].ndim - len(self.takes[0])]
        rows = [
            np.asarray(array, dtype=np.float64).reshape(math.prod(lead), *shape)
            for array, shape in zip(arrays, self.takes, strict=True)
        ]
        found = self.value(like, *rows)
        return tuple(part.reshape(*lead, *shape) for part, shape in zip(found, self.gives, strict=True))


@uncompiled
def attached(rule: Rule, *arrays: Array) -> tuple[Array, ...]:
    """The values of a rule at arrays ``(r, *shape)`` of torch or JAX, which know their first derivatives."""
    if array_api_compat.is_torch_array(arrays[0]):
        found: tuple[Array, ...] = _torch_function().apply(rule, *arrays)
        return found
    return _by_jax(rule, *arrays)


@functools.cache
def _torch_function() -> Any:
    """A torch.autograd.Function of a rule and its arguments: torch is not imported before it is used."""
    torch = importlib.import_module("torch")

    class Ruled(torch.autograd.Function):  # type: ignore[misc, name-defined]  # a module known at run time
        @staticmethod
        def forward(rule: Rule, *arrays: Array) -> tuple[Array, ...]:
            found = rule.on_host(arrays[0], *map(to_numpy, arrays))
            return tuple(from_numpy(part, arrays[0]) for part in found)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Array, ...]) -> None:
            ctx.rule = inputs[0]
            ctx.save_for_backward(*inputs[1:], *output)

        @staticmethod
        def backward(ctx: Any, *cotangents: Array) -> tuple[Array | None, ...]:
            return None, *Ruled.apply(ctx.rule.transpose(), *ctx.saved_tensors, *cotangents)

        @staticmethod
        def jvp(ctx: Any, *changes: Array | None) -> tuple[Array, ...]:
            raise InputError(
                "integrated geodesics have no derivatives in forward mode (jvp, jacfwd, hessian), expected "
                "reverse mode; take grad, jacrev or backward, or a metric with closed_form_geodesics"
            )

        @staticmethod
        def vmap(info: Any, axes: tuple[int | None, ...], rule: Rule, *arrays: Array) -> tuple[Any, Any]:
            wide = [
                array.expand(info.batch_size, *array.shape) if axis is None else array.movedim(axis, 0)
                for array, axis in zip(arrays, axes[1:], strict=True)
            ]
            found = Ruled.apply(rule, *wide)
            return found, (0,) * len(found)

    return Ruled


def _by_jax(rule: Rule, *arrays: Array) -> tuple[Array, ...]:
    jax = importlib.import_module("jax")
    dtype = arrays[0].dtype

    def host(*given: Array) -> Rows:
        found = rule.on_host(jax.numpy.asarray(given[0]), *map(np.asarray, given))
        return tuple(part.astype(dtype) for part in found)

    @jax.custom_vjp  # type: ignore[untyped-decorator]
    def call(*given: Array) -> tuple[Array, ...]:
        if not any(map(is_traced_by_jax, given)):  # also spares XLA a compilation
            return tuple(from_numpy(part, given[0]) for part in host(*given))
        lead = given[0].shape[: given[0].ndim - len(rule.takes[0])]
        shapes = [jax.ShapeDtypeStruct((*lead, *shape), dtype) for shape in rule.gives]
        return tuple(jax.pure_callback(host, shapes, *given, vmap_method="broadcast_all"))

    def forward(*given: Array) -> tuple[Any, Any]:
        found = call(*given)
        return found, (*given, *found)

    def backward(kept: tuple[Array, ...], cotangents: tuple[Array, ...]) -> tuple[Array, ...]:
        return _by_jax(rule.transpose(), *kept, *cotangents)

    call.defvjp(forward, backward)
    found: tuple[Array, ...] = call(*arrays)
    return found
