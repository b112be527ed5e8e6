"""Laws and hypothesis strategies for metrics, divergences, potentials and families of your own.

The checks need nothing but the core. The strategies need hypothesis, which the extra `lnegeom[testing]`
brings; it is imported when one is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from lnegeom.testing._divergences import check_divergence, divergence_laws
from lnegeom.testing._families import check_family, family_laws
from lnegeom.testing._metrics import check_metric, metric_laws
from lnegeom.testing._potentials import check_potential, potential_laws
from lnegeom.testing._report import Failure, LawError

if TYPE_CHECKING:
    from lnegeom.testing.strategies import perturbed_tori, points, spd_matrices, torus_grids, vectors

__all__ = [
    "Failure",
    "LawError",
    "check_divergence",
    "check_family",
    "check_metric",
    "check_potential",
    "divergence_laws",
    "family_laws",
    "metric_laws",
    "perturbed_tori",
    "points",
    "potential_laws",
    "spd_matrices",
    "torus_grids",
    "vectors",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'lnegeom.testing' has no attribute {name!r}")
    try:
        strategies = importlib.import_module("lnegeom.testing.strategies")
    except ModuleNotFoundError as error:
        raise ImportError(f'{name} needs hypothesis: pip install "lnegeom[testing]"') from error
    return getattr(strategies, name)
