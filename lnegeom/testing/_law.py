"""What a law is, and which laws apply."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lnegeom._array import InputError

Numbers = np.ndarray[Any, Any]

Pair = tuple[Any, ...]
"""Arrays found and expected, the points' axis first; and, where 1 is none, the size that counts as small."""


def never(thing: Any, n: int) -> str | None:
    """No reason why a thing of dimension n should not obey."""
    return None


@dataclass(frozen=True)
class Law:
    """An equation that every object of a kind keeps; the docstring of `defects` states it.

    Attributes
    ----------
    defects : callable
        Yields pairs that should be equal, from what was measured.
    cause : str
        What usually breaks it.
    unless : callable
        Says why a thing of dimension n need not obey, else None.
    slopes : bool
        Whether it speaks of derivatives along the chart, which differences give to some nine digits.
    error : str
        What was measured under this name is the error that differences leave in its terms.
    relative : float
        The relative difference that it allows in double precision.
    """

    defects: Callable[[Any], Iterable[Pair]]
    cause: str
    unless: Callable[[Any, int], str | None] = never
    slopes: bool = False
    error: str = ""
    relative: float = 1e-9

    @property
    def statement(self) -> str:
        """The equation, in words or symbols."""
        return inspect.cleandoc(self.defects.__doc__ or "")


def applying(laws: Mapping[str, Law], thing: Any, n: int) -> dict[str, Law]:
    """The laws that a thing of dimension n must obey."""
    return {name: law for name, law in laws.items() if law.unless(thing, n) is None}


def selected(laws: Mapping[str, Law], thing: Any, n: int, names: Iterable[str] | None) -> dict[str, Law]:
    """The laws that apply, or those of them that are named; an InputError for any other name."""
    if names is None:
        return applying(laws, thing, n)
    if isinstance(names, str):
        raise InputError(f"laws must be a list of names, got the text {names!r}: write [{names!r}]")
    found = {}
    for name in names:
        if name not in laws:
            raise InputError(f"no law is called {name!r}: expected some of {', '.join(laws)}")
        reason = laws[name].unless(thing, n)
        if reason is not None:
            raise InputError(f"the law {name!r} does not apply to {thing!r}: {reason}")
        found[name] = laws[name]
    if not found:
        raise InputError("laws is empty: leave it out to check all that apply")
    return found


def dimension(thing: Any, dim: int | None) -> int:
    """The dimension of a thing, which may leave it open; then it must be given."""
    own: int | None = thing.dim
    if own is None and dim is None:
        raise InputError(f"{thing!r} is of any dimension: say which one, as dim=3")
    if own is not None and dim not in (None, own):
        raise InputError(f"{thing!r} has dimension {own}, not {dim}")
    return own if own is not None else int(dim)  # type: ignore[arg-type]  # not None, by the line above
