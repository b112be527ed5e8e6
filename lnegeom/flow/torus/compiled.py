"""The algebra of a right-hand side on whole arrays, compiled by torch or JAX."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import array_api_compat

from lnegeom.flow.deturck import Gauge
from lnegeom.flow.torus.program import array_function


@functools.cache
def compiled_algebra(xp: Any, n: int, gauge: Gauge) -> Callable[..., Any]:
    """Return `array_function` of torch or JAX, compiled at its first call for each kind of arguments."""
    function = array_function(n, gauge, xp.stack)
    if array_api_compat.is_jax_namespace(xp):
        compiled: Callable[..., Any] = importlib.import_module("jax").jit(function)
        return compiled
    return TorchCompiled(function)


class TorchCompiled:
    """A function compiled by ``torch.compile``, or as it is, with a warning, where that fails."""

    def __init__(self, function: Callable[..., Any]):
        self.plain = function
        # By default torch fuses 64 operations at most, and writes what passes between two kernels to memory:
        # 52 fields in three dimensions, where this is one kernel.
        self.function = importlib.import_module("torch").compile(
            function, fullgraph=True, options={"max_fusion_size": 4096}
        )

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        try:
            return self.function(*arguments)
        except Exception as error:  # each of its backends has its own
            if self.function is self.plain:
                raise
            self.function = self.plain
            # Its errors say who raised on the first line, and what on the second.
            reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
            warnings.warn(
                f"torch.compile failed ({reason}): the flow runs uncompiled, several times slower; on a CPU "
                "install numba or a C++ compiler, on a GPU install triton",
                RuntimeWarning,
                stacklevel=2,
            )
            return self.plain(*arguments)
