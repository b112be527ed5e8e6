"""Numeric functions from exact components: shared subexpressions, one generated function."""

from __future__ import annotations

import itertools
import keyword
import unicodedata
from typing import Any

import numpy as np
from sympy.core.function import AppliedUndef

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    as_floating,
    check_finite,
    holds,
    label,
    moveaxis,
    to_numpy,
)
from lnegeom.symbolic._code import BACKENDS, write_source
from lnegeom.symbolic._components import Components, plain


class CompiledTensor:
    """A function from points ``(..., n)`` to components ``(..., n, …, n)``, made by `Tensor.compile`.

    Parameters are given by name, as numbers, lists, or arrays of the points' library; they broadcast with the
    batch axes of the points. Those of the metric on which the tensor does not depend may be left out. The
    result has the dtype and device of the points; torch's and JAX's derivatives go through it.

    Attributes
    ----------
    source : str
        The generated code: it returns the components that differ, not counting sign.
    backend : str
        The array library.
    parameters : tuple of str
        Names of the keyword arguments.
    """

    def __init__(self, tensor: Components, backend: str):
        if backend not in BACKENDS:
            raise InputError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
        if not tensor.complete:
            raise InputError(f"{plain(tensor.name)} is not complete: raise the time budget before compiling")
        self.backend, self.shape = backend, tensor.shape
        self._dim, self._name = tensor.metric.dim, plain(tensor.name)
        self._places, expressions = _distinct(tensor)
        undefined = {str(f.func) for e in expressions for f in e.atoms(AppliedUndef)}
        if undefined:
            raise InputError(f"{', '.join(sorted(undefined))} is not known: substitute it before compiling")
        names = sorted(
            {s for e in expressions for s in e.free_symbols} - set(tensor.metric.coordinates), key=str
        )
        self.parameters = tuple(_normal(str(name)) for name in names)
        # Those of the metric that this tensor does not depend on may be given all the same.
        self._absent = {_normal(str(name)) for name in tensor.metric.parameters} - set(self.parameters)
        for name in (*self.parameters, *map(str, tensor.metric.coordinates)):
            if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
                raise InputError(f"{name!r} cannot name an argument: rename that symbol")
        self.source = write_source(expressions, tensor.metric.coordinates, self.parameters, backend)
        self._function = _built(self.source, backend)

    def __call__(self, points: Any, **parameters: Any) -> Array:
        """Return the components at points ``(..., n)``, of shape ``(..., n, …, n)``.

        Raises
        ------
        InputError
            If the points have another last axis or library, or a parameter is missing, unknown, not
            numeric, or of a shape that does not broadcast.
        GeometryError
            If a point or parameter is not finite, or the formula is not finite there, as at a
            singularity of the chart.
        """
        xp, x = as_floating(x=points)
        if self.backend not in xp.__name__:
            raise InputError(
                f"compiled for {self.backend}: got {type(points).__module__} arrays; compile for these"
            )
        if not x.ndim or x.shape[-1] != self._dim:
            raise InputError(f"x has shape {tuple(x.shape)}: expected (..., {self._dim})")
        parameters = {_normal(name): value for name, value in parameters.items()}
        if set(parameters) - self._absent != set(self.parameters):
            expected = ", ".join(self.parameters) or "none"
            raise InputError(f"expected the parameters {expected}, got {', '.join(parameters) or 'none'}")
        check_finite(xp, x, "x")
        x, parameters = _broadcast(xp, x, parameters)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            own = {name: parameters[name] for name in self.parameters}
            out = self._assembled(xp, x, self._function(x, **own))
            self._check(xp, x, out)
        return out

    def _check(self, xp: Any, x: Array, out: Array) -> None:
        if holds(xp.isfinite(xp.sum(out))):
            return
        host = to_numpy(out)
        bad = np.argwhere(~np.isfinite(host))
        if not len(bad):
            return  # only the sum overflowed
        index = tuple(map(int, bad[0]))
        point, component = index[: x.ndim - 1], index[x.ndim - 1 :]
        value, where = float(host[index]), f"{label('x', point)} = {to_numpy(x)[point]}"
        raise GeometryError(
            f"component {component} of {self._name} is {value} at {where}: "
            "expected a point where the metric is regular; leave singularities of the chart out",
            index=point,
            value=value,
        )

    def _assembled(self, xp: Any, x: Array, values: tuple[Any, ...]) -> Array:
        batch = tuple(x.shape[:-1])
        if self.backend == "numpy":
            # Components first, so that each is written in one go.
            out = xp.zeros((len(self._places), *batch), dtype=x.dtype)
            for i, found in enumerate(self._places):
                if found is not None:
                    (xp.negative if found[1] < 0 else xp.positive)(values[found[0]], out=out[i : i + 1])
            return moveaxis(xp, out, 0, -1).reshape(batch + self.shape)
        zero = xp.zeros_like(x[..., 0])
        # Constants, and parameters of another dtype or shape, become arrays of the batch's.
        whole = [v if _alike(v, zero) else xp.astype(v + zero, x.dtype, copy=False) for v in values]
        parts = [zero if f is None else whole[f[0]] if f[1] > 0 else -whole[f[0]] for f in self._places]
        return xp.reshape(xp.stack(parts, -1), batch + self.shape)


def _normal(name: str) -> str:
    # As Python reads names, in a call as in the generated code.
    return unicodedata.normalize("NFKC", name)


def _broadcast(xp: Any, x: Array, parameters: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """Return points of the common batch shape, and parameters as arrays of their dtype."""
    found = {}
    batch = tuple(x.shape[:-1])
    for name, given in parameters.items():
        if isinstance(given, str):
            raise InputError(f"{name}: expected a number or an array, got {given!r:.80}")
        plain = given.item() if isinstance(given, np.generic) else given
        _, value, _ = as_floating(**{name: plain, "the points": x})
        found[name] = xp.astype(value, x.dtype, copy=False)
        check_finite(xp, value, name)
        try:
            batch = np.broadcast_shapes(batch, tuple(value.shape))
        except ValueError:
            raise InputError(
                f"{name} has shape {tuple(value.shape)}: expected one that broadcasts with the batch axes "
                f"{batch}"
            ) from None
    whole = x if batch == tuple(x.shape[:-1]) else xp.broadcast_to(x, (*batch, x.shape[-1]))
    return whole, found


def _alike(value: Any, other: Array) -> bool:
    return bool(getattr(value, "shape", None) == other.shape and value.dtype == other.dtype)


def _distinct(tensor: Components) -> tuple[list[tuple[int, int] | None], list[Any]]:
    """For each component: None if zero, else a number in the list of distinct ones, and a sign."""
    numbers: dict[Any, int] = {}
    places: list[tuple[int, int] | None] = []
    expressions: list[Any] = []
    for index in itertools.product(range(tensor.metric.dim), repeat=len(tensor.shape)):
        element = tensor.element(index)
        if not element:
            places.append(None)
            continue
        keys = [
            (frozenset((m, sign * c) for m, c in element.num.items()), element.exps, element.den)
            for sign in (1, -1)
        ]
        for key, sign in zip(keys, (1, -1), strict=True):
            if key in numbers:
                places.append((numbers[key], sign))
                break
        else:
            numbers[keys[0]] = len(expressions)
            places.append((len(expressions), 1))
            expressions.append(tensor[index] if tensor.shape else tensor[()])
    return places, expressions


def _built(source: str, backend: str) -> Any:
    namespace: dict[str, Any] = {}
    try:
        # The source is ours: names are identifiers, all else is written by `write_source`.
        exec(compile(source, "<lnegeom.symbolic>", "exec"), namespace)
    except ModuleNotFoundError:
        raise InputError(
            f'compiling for {backend} needs {backend}: pip install "lnegeom[{backend}]"'
        ) from None
    return namespace["components"]
