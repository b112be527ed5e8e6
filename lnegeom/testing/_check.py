"""What the checks of metrics, divergences, potentials and families share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import Array, GeometryError, InputError, as_floating, check_vectors, from_numpy, to_numpy
from lnegeom.derivatives import Jet, jet
from lnegeom.testing._law import Law, selected
from lnegeom.testing._report import hold, named

Table = Mapping[str, Callable[[Any], Any]]


class Measures:
    """Numbers of a thing, each under its name, computed when a law first asks for it.

    Indexing gives a number as numpy's array, `native` as one of the points' library.

    Parameters
    ----------
    thing : object
        What is under test.
    table : mapping
        What computes each number, from the measures themselves.
    **given : array
        The points x ``(B, n)``, and whatever else is known.
    """

    def __init__(self, thing: Any, table: Table, **given: Any):
        self.thing = thing
        self._table = table
        self._found = given

    def native(self, name: str) -> Any:
        """The number of this name, as an array of the points' library."""
        if name not in self._found:
            self._found[name] = self._table[name](self)
        return self._found[name]

    def __getitem__(self, name: str) -> Any:
        return to_numpy(self.native(name))


def points_of(thing: Any, x: Any, least: int = 1) -> Array:
    """Points ``(..., n)`` as ``(B, n)``, at least so many, or an error."""
    xp, x = as_floating(x=x)
    check_vectors(xp, x, "x", thing.dim)
    flat = xp.reshape(x, (-1, x.shape[-1]))
    if flat.shape[0] < least:
        raise GeometryError(f"x has shape {tuple(x.shape)}: expected at least {least} points, to pair them")
    return flat


def run(
    subject: Any,
    table: Mapping[str, Law],
    measures: Measures,
    tolerance: float | None,
    laws: Iterable[str] | None,
    name: str = "",
) -> None:
    """Hold what was measured to the laws of a table that apply, or to those of them that are named.

    The report calls the subject by `name`, or as it prints.
    """
    __tracebackhide__ = True
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"tolerance must be between 0 and 1, or left out, got {tolerance!r}")
    x = measures.native("x")
    held = selected(table, subject, x.shape[-1], laws)
    hold(
        name or named(subject), held, measures, lambda law: _allowance(law, measures, tolerance), to_numpy(x)
    )


def _allowance(law: Law, measures: Measures, tolerance: float | None) -> tuple[float, float]:
    """The relative and the absolute difference that a law allows."""
    if tolerance is not None:
        return tolerance, 0.0
    x = measures.native("x")
    relative = max(law.relative, 1e4 * float(array_api_compat.array_namespace(x).finfo(x.dtype).eps))
    automatic = array_api_compat.is_torch_array(x) or array_api_compat.is_jax_array(x)
    if law.slopes and not automatic:
        relative = max(relative, 1e-8)
    return relative, 10 * measures.native(law.error) if law.error else 0.0


def near(function: Callable[[Array], Array], x: Array, order: int = 2) -> Jet:
    """The jet of a function of points ``(..., B, n)`` at points x ``(B, n)``, all moved by the same step.

    So a function may hold something else for each of the points; its values are ``(..., B, *out)``.
    """

    def moved(step: Array) -> Array:
        return function(x + step[..., None, :])

    return jet(moved, 0 * x[0, :], vectorized=True, order=order)  # type: ignore[arg-type]  # 1 or 2


def in_batches(thing: Any, names: Iterable[str], *arrays: Array) -> Iterable[tuple[Any, Any]]:
    """Results of methods at the first two points, and the same one by one."""
    few = [array[:2, :] for array in arrays]
    for name in names:
        method = getattr(thing, name)
        singly = [to_numpy(method(*(array[i, :] for array in few))) for i in range(few[0].shape[0])]
        yield to_numpy(method(*few)), np.stack(singly)


def rolled(x: Array, count: int = 1) -> Array:
    """Each point's partner in a pair: the next one, or one further on."""
    return array_api_compat.array_namespace(x).roll(x, -count, axis=0)


def random_vectors(x: Array, count: int) -> list[Array]:
    """Vectors in [−1, 1]^n at each point, that depend on the points alone."""
    rng = generator(x)
    return [from_numpy(rng.uniform(-1, 1, tuple(x.shape)), x) for _ in range(count)]


def generator(x: Array) -> np.random.Generator:
    """Random numbers that depend on the points alone."""
    return np.random.default_rng(zlib.crc32(to_numpy(x).tobytes()))
