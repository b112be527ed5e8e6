"""Exact geometry on sympy: metrics, connections and curvature in normal form, compiled to numeric code.

Names are imported on first use, so that the command line can show its help without importing sympy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lnegeom.symbolic._budget import TimeBudgetError
    from lnegeom.symbolic._compile import CompiledTensor
    from lnegeom.symbolic._zero import ZeroTest, is_zero
    from lnegeom.symbolic.catalogue import (
        CATALOGUE,
        berger_sphere,
        bivariate_normal,
        cigar,
        euclidean,
        flrw,
        from_name,
        half_space,
        kerr,
        minkowski,
        normal,
        poincare_ball,
        reissner_nordstrom,
        schwarzschild,
        sphere,
        stereographic_sphere,
        taub_nut,
        warped_product,
        warped_sphere,
    )
    from lnegeom.symbolic.constructors import (
        DivergenceMetric,
        from_divergence,
        from_potential,
        graph,
        lne,
        log_cosh,
    )
    from lnegeom.symbolic.expressions import parse
    from lnegeom.symbolic.files import from_toml
    from lnegeom.symbolic.information import fisher
    from lnegeom.symbolic.metric import Metric
    from lnegeom.symbolic.tensor import Tensor

_NAMES = {
    "_budget": ("TimeBudgetError",),
    "_compile": ("CompiledTensor",),
    "_zero": ("ZeroTest", "is_zero"),
    "catalogue": (
        *("CATALOGUE", "berger_sphere", "bivariate_normal", "cigar", "euclidean", "flrw", "from_name"),
        *(
            "half_space",
            "kerr",
            "minkowski",
            "normal",
            "poincare_ball",
            "reissner_nordstrom",
            "schwarzschild",
        ),
        *("sphere", "stereographic_sphere", "taub_nut", "warped_product", "warped_sphere"),
    ),
    "constructors": (*("DivergenceMetric", "from_divergence", "from_potential", "graph", "lne", "log_cosh"),),
    "expressions": ("parse",),
    "files": ("from_toml",),
    "information": ("fisher",),
    "metric": ("Metric",),
    "tensor": ("Tensor",),
}
_ORIGIN = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "CATALOGUE",
    "CompiledTensor",
    "DivergenceMetric",
    "Metric",
    "Tensor",
    "TimeBudgetError",
    "ZeroTest",
    "berger_sphere",
    "bivariate_normal",
    "cigar",
    "euclidean",
    "fisher",
    "flrw",
    "from_divergence",
    "from_name",
    "from_potential",
    "from_toml",
    "graph",
    "half_space",
    "is_zero",
    "kerr",
    "lne",
    "log_cosh",
    "minkowski",
    "normal",
    "parse",
    "poincare_ball",
    "reissner_nordstrom",
    "schwarzschild",
    "sphere",
    "stereographic_sphere",
    "taub_nut",
    "warped_product",
    "warped_sphere",
]


def __getattr__(name: str) -> Any:
    if name in _ORIGIN:
        return getattr(importlib.import_module(f"lnegeom.symbolic.{_ORIGIN[name]}"), name)
    raise AttributeError(f"module 'lnegeom.symbolic' has no attribute {name!r}")
