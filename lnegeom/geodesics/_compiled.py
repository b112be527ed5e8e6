"""What compilers are given: functions of JAX arrays with their checks, and nothing of numpy's loops."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from lnegeom._array import Array, InputError, noted

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """A function that ``torch.compile`` calls as it stands, where tracing its loops would take minutes."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_compiling():
            result: R = torch.compiler.disable(function)(*arguments, **options)
            return result
        return function(*arguments, **options)

    return call


def compiled(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of JAX arrays that is traced once for each shape.

    Its checks, which cannot raise while it is traced, become results: where one fails, the function is called
    as it stands, and raises. So is one that cannot be traced, since it takes differences on the host, say.
    """
    jax = importlib.import_module("jax")

    def traced(*arrays: Array) -> tuple[Array, list[Array]]:
        with noted(jax.interpreters.partial_eval.DynamicJaxprTracer) as conditions:
            return function(*arrays), [condition.all() for condition in conditions]

    run, can = jax.jit(traced), True

    def call(*arrays: Array) -> Any:
        nonlocal can
        if can:
            try:
                value, conditions = run(*arrays)
                if all(map(bool, conditions)):
                    return value
            except (InputError, jax.errors.UnexpectedTracerError):
                can = False
        return function(*arrays)

    return call


def traceable(function: Callable[..., Array], *arrays: Array) -> bool:
    """Whether a function of JAX arrays can be traced, and so takes no differences."""
    jax = importlib.import_module("jax")
    try:
        jax.eval_shape(function, *arrays)
    except (InputError, jax.errors.UnexpectedTracerError):
        return False
    return True
