"""Which connections can be evaluated on numpy, whatever library the user's arrays are of."""

from __future__ import annotations

from typing import Any

import numpy as np

_PLAIN = (int, float, str, type(None), np.ndarray, np.generic)


def needs_no_library(connection: Any) -> bool:
    """Whether a connection consists of this package's own formulas, parameters and numpy arrays alone.

    Then numpy gives what any other library would, at the least price of a call. A function of the user's, an
    object of the user's own class or an array of another library may ask for that library; and what takes
    derivatives gets them exactly from torch and JAX only.
    """
    waiting = [connection]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, tuple | list):
            waiting += thing
        elif type(thing).__module__.startswith("lnegeom.") and not hasattr(thing, "derivatives"):
            waiting += vars(thing).values()
        elif not isinstance(thing, _PLAIN):
            return False
    return True
