"""The phases of `sweep` compiled, transforms and all, for threads; needs rocket-fft.

To hand a thread its part costs Python more than the part of a small grid takes: here Python is left for a
whole phase, and its parts are numba's to hand out.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import rocket_fft
from numba import config, get_num_threads, set_num_threads, typeof
from numba.extending import overload
from rocket_fft import c2c, c2r, r2c

from lnegeom.flow.torus.rhs import passes, sweep
from lnegeom.flow.torus.rhs.algebra import compiled

LINES = np.array([3])
"""The axis of all transforms."""


@overload(passes.along)
def _along(values: Any, forward: Any) -> Any:
    def along(values: Any, forward: Any) -> None:
        c2c(values, values, LINES, forward, 1.0 / values.shape[3] if forward else 1.0, 1)

    return along


@overload(passes.to_real)
def _to_real(half: Any, out: Any) -> Any:
    def to_real(half: Any, out: Any) -> None:
        c2r(half, out, LINES, False, 1.0, 1)

    return to_real


@overload(passes.to_half)
def _to_half(values: Any, out: Any) -> Any:
    def to_half(values: Any, out: Any) -> None:
        r2c(values, out, LINES, True, 1.0 / values.shape[3], 1)

    return to_half


@functools.cache
def phases() -> tuple[Callable[..., Any], ...]:
    """Return the compiled `sweep.enter`, `sweep.slabs` and `sweep.leave`."""
    # numba keeps their machine code under their names, but not by what it holds of these.
    held = inspect.getsource(passes) + rocket_fft.__version__
    mark = hashlib.sha256(held.encode()).hexdigest()[:8]
    return tuple(
        compiled(_named(phase, f"{phase.__name__}_{mark}"), parallel=True)
        for phase in (sweep.enter, sweep.slabs, sweep.leave)
    )


def _named(function: Any, name: str) -> Callable[..., Any]:
    named = types.FunctionType(function.__code__, function.__globals__, name)
    named.__qualname__ = name
    return named


LOCK = threading.Lock()
FORKED = threading.Event()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=FORKED.set)


def available() -> bool:
    """Whether threads may be used: they would end a process that is another's fork."""
    return not FORKED.is_set()


@contextlib.contextmanager
def using(count: int) -> Iterator[None]:
    """Let compiled phases use so many threads, one caller at a time, as some of numba's pools demand."""
    wanted = min(count, config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    with LOCK:
        before = get_num_threads()
        if before == wanted:
            yield
            return
        set_num_threads(wanted)
        try:
            yield
        finally:
            set_num_threads(before)


def resolved(function: Any, *arguments: Any) -> Callable[..., Any]:
    """Return the machine code for arguments of these types.

    At each call numba finds out the type of a pointer to code anew, in a tenth of a small grid's time.
    """
    signature = tuple(typeof(argument) for argument in arguments)  # type: ignore[no-untyped-call]
    function.compile(signature)
    return function.get_overload(signature)  # type: ignore[no-any-return]
