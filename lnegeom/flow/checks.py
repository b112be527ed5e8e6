"""Validation that several flows share, once, at the boundary."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    check_finite,
    check_where,
    entry,
    positive_integer,
)
from lnegeom._symmetric import check_symmetric, symmetric_part
from lnegeom.flow.domain import Domain
from lnegeom.report import check_folder

D = TypeVar("D")


def checked_metric(xp: Any, g: Array, grid: Domain, name: str) -> Array:
    """Return a metric on the grid, symmetric to the last bit; raise unless it is one."""
    expected = (*grid.shape, grid.dim, grid.dim)
    if tuple(g.shape) != expected:
        raise GeometryError(
            f"{name} has shape {tuple(g.shape)}: expected {expected}, a {grid.dim}×{grid.dim} matrix at each "
            "point of the grid"
        )
    check_finite(xp, g, name)
    check_symmetric(xp, g, name, entry(xp.max(xp.abs(g))))
    smallest = xp.linalg.eigvalsh(g)[..., 0]
    check_where(
        xp,
        smallest > 0,
        smallest,
        name,
        "{point} has eigenvalue {value}: expected a positive definite matrix; reduce the perturbation of δ "
        "below 1 in operator norm",
    )
    return symmetric_part(xp, g)


def checked_folder(out: Any) -> Path:
    """Return the folder that a run keeps; raise an InputError where there can be none."""
    try:
        folder = Path(out)
    except TypeError:
        raise InputError(f"out must be the path of a folder, got {reprlib.repr(out)}") from None
    check_folder(folder, "out")
    return folder


def checked_domain(domain: Any, kind: type[D] | tuple[type[D], ...], name: str = "grid") -> D:
    """Return a domain, or a solution; raise an InputError unless it is of the kind, or one of the kinds."""
    if not isinstance(domain, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = " or a ".join(k.__name__ for k in kinds)
        raise InputError(f"{name} must be a {names} of lnegeom.flow, got {reprlib.repr(domain)}")
    return domain


def real_array(value: Any, name: str, expected: str = "an array of real numbers") -> NDArray[np.float64]:
    """Return numbers, or what numpy makes of them, as numpy's float64; raise an InputError otherwise."""
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be {expected}, got {reprlib.repr(value)}") from None


def sample_count(samples: int) -> int:
    """Return the number of samples; raise unless there are two at least."""
    count = positive_integer("samples", samples)
    if count < 2:
        raise InputError(f"samples must be at least 2, the initial and the final time; got {samples!r}")
    return count


def check_same_run(folder: Path, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise unless the run that a folder holds has these arguments."""
    differing = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
    if differing:
        raise InputError(
            f"{folder} holds another run, which differs in {', '.join(differing)}: choose another folder, or "
            "repeat its arguments"
        )
