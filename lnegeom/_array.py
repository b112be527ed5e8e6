"""Array namespaces, validation at the boundary, and the library's errors.

Public functions call `as_floating` and the checks below once; everything behind them assumes good input.
A value check that meets an abstract array (inside ``torch.func.vmap``, ``jax.jit`` and the like) is skipped,
since there is no value to look at yet.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import array_api_compat
import numpy as np

Array = Any
"""An array of any library that follows the array API: numpy, torch, JAX, CuPy."""
_Axes = int | tuple[int, ...]


class InputError(ValueError):
    """A bad argument: the message says what was expected, what came, and the fix, in one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))  # the printed form of an array has line breaks


class GeometryError(InputError):
    """A point, vector or metric that is not valid geometry.

    Attributes
    ----------
    index : tuple of int or None
        Index of the first offending entry or point in its array.
    value : float or None
        The offending value.
    """

    def __init__(self, message: str, *, index: tuple[int, ...] | None = None, value: float | None = None):
        super().__init__(message)
        self.index = index
        self.value = value


def as_floating(**values: Any) -> tuple[Any, ...]:
    """Return the array namespace and the values as real floating arrays of one library and dtype.

    Python numbers and lists follow the arrays they come with; alone, they become numpy float64. Integer
    arrays take the library's default floating dtype.

    Raises
    ------
    InputError
        If the values belong to different libraries, are complex, or are not numeric.
    """
    arrays = {name: value for name, value in values.items() if array_api_compat.is_array_api_obj(value)}
    try:
        xp = array_api_compat.array_namespace(*(arrays.values() or [np.empty(0)]))
    except TypeError:
        kinds = ", ".join(f"{name}: {type(value).__module__.split('.')[0]}" for name, value in arrays.items())
        raise InputError(
            f"expected arrays of one library, got {kinds}; convert them to the same library first"
        ) from None
    device = array_api_compat.device(next(iter(arrays.values()))) if arrays else None
    floats = {name: _to_floating(xp, name, value, device) for name, value in arrays.items()}
    dtype = xp.result_type(*floats.values()) if floats else xp.float64
    result = []
    for name, value in values.items():
        if name in floats:
            result.append(xp.astype(floats[name], dtype, copy=False))
            continue
        try:
            result.append(xp.asarray(np.asarray(value, dtype=np.float64), dtype=dtype, device=device))
        except (TypeError, ValueError, RuntimeError):  # the last, of tensors in a list that require grad
            raise InputError(f"{name}: expected an array of real numbers, got {value!r}") from None
    return xp, *result


def _to_floating(xp: Any, name: str, value: Array, device: Any) -> Array:
    if xp.isdtype(value.dtype, "real floating"):
        return value
    if xp.isdtype(value.dtype, ("integral", "bool")):
        default = xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]
        return xp.astype(value, default)
    raise InputError(f"{name}: expected real numbers, got dtype {value.dtype}; pass a real floating array")


_NOTES: ContextVar[tuple[type, list[Array]] | None] = ContextVar("notes", default=None)


@contextlib.contextmanager
def noted(kind: type) -> Iterator[list[Array]]:
    """Collects the conditions that `holds` gives the benefit of the doubt here, of one kind of tracer."""
    conditions: list[Array] = []
    token = _NOTES.set((kind, conditions))
    try:
        yield conditions
    finally:
        _NOTES.reset(token)


def holds(condition: Any) -> bool:
    """Whether a condition holds; an abstract value (a tracer, say) gets the benefit of the doubt."""
    try:
        return bool(condition)
    except (RuntimeError, TypeError):
        notes = _NOTES.get()
        if notes is not None and isinstance(condition, notes[0]):
            notes[1].append(condition)
        return True


def first_index(xp: Any, mask: Array) -> tuple[int, ...]:
    """Index of the first true entry of a mask that has one."""
    flat = xp.astype(xp.reshape(mask, (-1,)), xp.int64)
    return tuple(int(i) for i in np.unravel_index(int(xp.argmax(flat)), mask.shape))


def label(name: str, index: tuple[int, ...]) -> str:
    """`x[3, 1]` for an entry, plain `x` where there is only one point."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def check_finite(xp: Any, value: Array, name: str) -> None:
    """Raise a GeometryError at the first entry that is not finite.

    The sum is the screen (one pass, no temporary): it is finite only if every entry is.
    """
    if holds(xp.isfinite(xp.sum(value))):
        return
    bad = ~xp.isfinite(value)
    if not holds(xp.any(bad)):
        return  # only the sum overflowed
    index = first_index(xp, bad)
    number = entry(value, index)
    raise GeometryError(
        f"{label(name, index)} is {number}: expected finite numbers; remove or repair that entry",
        index=index,
        value=number,
    )


def check_vectors(xp: Any, value: Array, name: str, dim: int | None) -> None:
    """Raise unless the value is a non-empty finite array of shape ``(..., dim)``."""
    expected = f"(..., {'n' if dim is None else dim})"
    if value.ndim == 0 or (dim is not None and value.shape[-1] != dim):
        raise GeometryError(
            f"{name} has shape {tuple(value.shape)}: expected {expected}, coordinates on the last axis"
        )
    if 0 in value.shape:
        raise GeometryError(
            f"{name} has shape {tuple(value.shape)}, an empty batch: expected at least one point {expected}"
        )
    check_finite(xp, value, name)


def check_broadcast(**values: Array) -> None:
    """Raise unless the batch shapes (all axes but the last) broadcast together."""
    try:
        np.broadcast_shapes(*(tuple(value.shape[:-1]) for value in values.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in values.items())
        raise GeometryError(
            f"batch axes do not broadcast: got {shapes}; make the leading axes agree"
        ) from None


def check_where(xp: Any, valid: Array, value: Array, name: str, message: str) -> None:
    """Raise a GeometryError at the first point whose entry in the mask `valid` is false.

    `message` may use ``{point}`` (as `x[3]`) and ``{value}`` (the entry of `value` there).
    """
    if holds(xp.all(valid)):
        return
    index = first_index(xp, ~valid)
    number = entry(value, index)
    raise GeometryError(
        message.format(point=label(name, index), value=f"{number:.6g}"), index=index, value=number
    )


def entry(array: Array, index: tuple[int, ...] = ()) -> float:
    """An entry, or a 0-d array, as a Python float; a tensor's gradient is dropped without a word."""
    entry = array[index]
    return float(entry.detach() if array_api_compat.is_torch_array(entry) else entry)


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """Copy any library's array to the host as numpy's; gradients are dropped."""
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    if array_api_compat.is_torch_array(array):
        array = array.detach().cpu()
    elif array_api_compat.is_cupy_array(array):
        array = array.get()
    return np.from_dlpack(array)


def from_numpy(array: Any, like: Array, dtype: Any = None) -> Array:
    """What `to_numpy` took away: an array in the library and on the device of another, and of its dtype."""
    xp, device = array_api_compat.array_namespace(like), array_api_compat.device(like)
    own = np.require(array, requirements=["C", "W"])  # torch would share memory that is not to be written to
    return xp.asarray(own, dtype=like.dtype if dtype is None else dtype, device=device)


def widened(xp: Any, array: Array) -> Array:
    """The same in float64, but for JAX's arrays where its x64 mode is off: it would warn, and not widen."""
    if array_api_compat.is_jax_array(array) and not importlib.import_module("jax").config.jax_enable_x64:
        return array
    return xp.astype(array, xp.float64)


def positive(name: str, value: float) -> float:
    """Return a positive finite Python float, or raise an InputError."""
    number = real(name, value)
    if not (number > 0 and math.isfinite(number)):
        raise InputError(f"{name} must be a positive finite number, got {value!r}")
    return number


def real(name: str, value: float) -> float:
    """Return a Python float, or raise an InputError, of a tensor too that would lose its gradient."""
    if getattr(value, "requires_grad", False):
        raise InputError(f"{name} has no derivatives, but the tensor given requires grad: pass {name}.item()")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number, got {value!r}") from None


def positive_integer(name: str, value: int) -> int:
    """Return a positive Python int, or raise an InputError."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name} must be a positive integer, got {value!r}")
    return int(value)


def constant(array: Array) -> Array:
    """The same values, whose derivatives by anything are zero."""
    if array_api_compat.is_torch_array(array):
        return array.detach()
    if array_api_compat.is_jax_array(array):
        return importlib.import_module("jax").lax.stop_gradient(array)
    return array


def matvec(matrix: Array, vector: Array) -> Array:
    """Apply matrices ``(..., n, m)`` to vectors ``(..., m)``."""
    return (matrix @ vector[..., None])[..., 0]


def moveaxis(xp: Any, array: Array, source: _Axes, destination: _Axes) -> Array:
    """Move axes, in the form that torch.func.vmap has a rule for: it has none for whole numbers."""
    if isinstance(source, int):
        return xp.moveaxis(array, (source,), (destination,))
    return xp.moveaxis(array, source, destination)


def row_sum(xp: Any, matrix: Array) -> float:
    """The largest row sum of absolute values in matrices ``(..., n, m)``: how far they enlarge an error."""
    return float(to_numpy(xp.max(xp.sum(xp.abs(matrix), axis=-1))))


def dot(xp: Any, a: Array, b: Array) -> Array:
    """Sum of products over the last axis."""
    return xp.sum(a * b, axis=-1)


def safe_sqrt(xp: Any, squared: Array) -> Array:
    """Square roots whose derivative at 0 is 0, where that of a plain root would be infinite."""
    positive = squared > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, squared, xp.ones_like(squared))), 0 * squared)


def outer(vector: Array) -> Array:
    """Rank-one matrices ``v vᵀ``, ``(..., n, n)``, from ``(..., n)``."""
    return vector[..., :, None] * vector[..., None, :]


def diagonal_matrix(xp: Any, diagonal: Array) -> Array:
    """Diagonal matrices ``(..., n, n)`` from ``(..., n)``."""
    return diagonal[..., None] * identity(xp, diagonal)


def identity(xp: Any, like: Array) -> Array:
    """Return the identity ``(n, n)`` on the dtype and device of vectors ``(..., n)``."""
    return xp.eye(like.shape[-1], dtype=like.dtype, device=array_api_compat.device(like))
