"""All claims, those of the adapter and of other packages among them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib.metadata import entry_points

from lnegeom._array import InputError
from lnegeom.claims._claim import Claim, Group


def groups() -> tuple[Group, ...]:
    """Return all claims by subject, from the entry points ``lnegeom.claims``.

    An entry point names a sequence of `Group`. Loading them needs no torch.

    Examples
    --------
    >>> from lnegeom.claims import groups
    >>> groups()[0].title
    'The Hyperbolic divergence'
    """
    entries = sorted(entry_points(group="lnegeom.claims"))
    return tuple(group for entry in entries for group in entry.load())


def find(names: Sequence[str]) -> list[Claim]:
    """Return the claims of these names.

    Raises
    ------
    InputError
        If there is none of a name; the message has those like it.

    Examples
    --------
    >>> from lnegeom.claims import find
    >>> find(["lne-definite"])[0].source
    'ManiQuant Definition 1; RF-DNN Eq. 16'
    """
    known = {claim.name: claim for group in groups() for claim in group.claims}
    for name in names:
        if name not in known:
            raise InputError(f"there is no claim {name!r}; {_near(name, list(known))}")
    return [known[name] for name in names]


def _near(name: str, known: list[str]) -> str:
    words = {word for word in name.lower().replace("_", "-").split("-") if len(word) > 2}
    sharing = [other for other in known if words & set(other.split("-"))]
    near = [*difflib.get_close_matches(name, known, n=3), *sharing]
    if not near:
        return "lnegeom claims lists them all"
    return f"did you mean {', '.join(dict.fromkeys(near))}?"
