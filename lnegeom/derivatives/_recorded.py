"""Derivatives of a user's function that are recorded once: torch's operations, or what JAX compiles."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from lnegeom._array import Array, InputError

AtPoint = Callable[[Array], tuple[Array, ...]]
"""Maps a point ``(n,)`` to a function's value, and what else is wanted there."""


class Recorded:
    """A function whose derivatives torch or JAX takes once and then replays.

    torch's transforms cost some microseconds of Python for each operation, at every call and for any number
    of points. Here they run once, at one point: what they did is kept as a program of plain operations,
    without those that nothing needs, and mapped over the points of each call. Gradients flow through it, to
    points and to tensors that the function closes over. JAX compiles, for each shape of the points.

    Parameters
    ----------
    function : callable
        What is called, and differentiated.
    compared : bool
        Whether torch's program is held, at the first point of each call, to what the function gives now.
    """

    def __init__(self, function: Callable[..., Array], compared: bool = True):
        functools.update_wrapper(self, function, updated=())
        self.function, self.compared = function, compared
        self._programs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *points: Array) -> Array:
        return self.function(*points)

    def __repr__(self) -> str:
        return repr(self.function)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recorded, (self.function, self.compared)  # a copy records for itself

    def mapped(
        self, source: str, kind: str, at_point: AtPoint, points: Array, single: Callable[[Array], Array]
    ) -> tuple[Array, ...]:
        """What `at_point` gives at points ``(b, n)``; `single` gives the function's value alone."""
        if source == "jax":
            return self._compiled(kind, at_point)(points)  # type: ignore[no-any-return]
        torch = importlib.import_module("torch")
        if kind == "value" or _transformed(torch, points):
            return torch.func.vmap(at_point)(points)  # type: ignore[no-any-return]
        key, first = (kind, points.shape[-1], points.dtype, points.device), points[0].detach()
        if key not in self._programs:
            self._programs[key] = _program(torch, at_point, first)
        found: tuple[Array, ...] = torch.func.vmap(self._programs[key])(points)
        if self.compared:
            with torch.no_grad():
                _check_unchanged(torch, single(first), found[0][0])
        return found

    def _compiled(self, kind: str, at_point: AtPoint) -> Callable[[Array], Any]:
        if (kind,) not in self._programs:
            jax = importlib.import_module("jax")
            self._programs[kind,] = jax.jit(jax.vmap(at_point))
        return self._programs[kind,]


def with_record(
    function: Callable[..., Array], trace: bool, derivatives: str, *, compared: bool = True
) -> Callable[..., Array]:
    """The function, whose derivatives are recorded if `trace` says so."""
    if not isinstance(trace, bool):
        raise InputError(f"trace must be True or False, got {trace!r}")
    return Recorded(function, compared) if check_recordable(trace, derivatives) else function


def check_recordable(trace: bool, source: str) -> bool:
    """Return `trace`, or raise an InputError where derivatives of that source cannot be recorded."""
    if trace and source == "finite":
        raise InputError(
            "trace=True records what torch or JAX differentiates, but these derivatives are finite "
            "differences: leave trace out, or pass derivatives='torch' or 'jax'"
        )
    return trace


def _transformed(torch: Any, points: Array) -> bool:
    """Whether other transforms are at work: of points, or of what the function closes over."""
    return (
        type(points) is not torch.Tensor
        or torch.compiler.is_compiling()
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


def _check_unchanged(torch: Any, now: Array, then: Array) -> None:
    """Raise an InputError where a function and its record differ by more than rounding."""
    allowed = torch.finfo(then.dtype).eps ** 0.5 * then.abs().max()
    gap = (now - then).abs().max()
    if gap <= allowed or not torch.isfinite(then).all():  # that is reported for what it is
        return
    raise InputError(
        f"the function gives other values than its record, by {float(gap):.3g}: trace=True expects it to "
        "depend on the point alone; make a new metric where something else changes, or leave trace out"
    )


def _program(torch: Any, at_point: AtPoint, point: Array) -> Any:
    """What torch does at one point, as a function of the point."""
    make_fx = importlib.import_module("torch.fx.experimental.proxy_tensor").make_fx
    try:
        program = make_fx(torch.func.functionalize(at_point))(point)
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].split(" - erroring out")[0]
        raise InputError(
            f"torch could not record the function ({reason}): trace=True expects one that does not branch on "
            "values or take them out of tensors; write it with torch.where, or leave trace out"
        ) from error
    _simplify(torch, program)
    return program


def _simplify(torch: Any, program: Any) -> None:
    """Drop operations that nothing needs, and copies: nothing is written to in place that would need them."""
    aten, graph = torch.ops.aten, program.graph
    copies = (aten.alias.default, aten.clone.default, aten._to_copy.default)
    # A copy may have made a view possible; and vmap knows a fill by its other name only.
    others = {
        aten.view.default: aten.reshape.default,
        aten._unsafe_view.default: aten.reshape.default,
        aten.fill.Scalar: aten.full_like.default,
    }
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        node.target = others.get(node.target, node.target)
        copied = node.target in copies and _same(node, node.args[0], "dtype", "device")
        if copied or (node.target is aten.expand.default and _same(node, node.args[0], "shape")):
            node.replace_all_uses_with(node.args[0])
        elif node.target is aten.copy.default and _same(node, node.args[1], "dtype", "device"):
            node.target, node.args = aten.expand.default, (node.args[1], list(node.meta["val"].shape))
    graph.eliminate_dead_code()
    for node in graph.nodes:
        node.meta.clear()  # the tensors of the record's own point
    program.recompile()


def _same(node: Any, other: Any, *properties: str) -> bool:
    """Whether the results of two operations agree in some properties; the other may be a plain number."""
    if not hasattr(other, "meta") or not all(
        "val" in one.meta for one in (node, other)
    ):  # torch 2.6 may not say
        return False
    return all(getattr(node.meta["val"], p) == getattr(other.meta["val"], p) for p in properties)
