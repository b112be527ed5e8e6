"""The metric of a user's function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from lnegeom._array import Array, GeometryError, InputError, positive_integer
from lnegeom.derivatives import Derivatives, Jet, check_source, evaluate, jet
from lnegeom.derivatives._recorded import with_record
from lnegeom.metrics._checks import check_matrix, check_negative
from lnegeom.metrics._jet import JetMetric


class _Local(NamedTuple):
    x: Array
    matrix: Array


class FromCallable(JetMetric):
    """A metric from a function that maps one point ``(n,)`` to its matrix ``(n, n)``.

    Batching and derivatives are the library's: `torch.func` for torch arrays, JAX for JAX arrays, else
    finite differences of eighth order with an error estimate (`lnegeom.derivatives.jet`). What was used at a
    point, and the estimate, `derivatives_at` tells; differences that do not settle are refused.

    Parameters
    ----------
    function : callable
        Maps a point to a symmetric matrix, in the library of the points it will be given.
    dim : int
        The dimension n.
    negative : int
        How many eigenvalues are negative: 0 for a Riemannian metric, 1 for a Lorentzian one.
    derivatives : {"auto", "torch", "jax", "finite"}
        Where derivatives come from.
    vectorized : bool
        Whether the function maps points ``(..., n)`` to matrices ``(..., n, n)`` at once, which spares
        finite differences a loop over points.
    trace : bool
        Whether to record derivatives by torch or JAX at the first call, and replay the record at later ones.

    Raises
    ------
    InputError
        If an argument is out of range.
    GeometryError
        At a point where the matrix has the wrong shape, is not finite or symmetric, or does not have the
        signature; and for its derivatives, where finite differences of the function do not settle.

    Notes
    -----
    With `trace`, each call costs a fraction, and the first one about a second: torch's transforms take
    milliseconds of Python at any number of points, which a record spares, and JAX compiles for each shape of
    them. It is for metrics evaluated hundreds of times, as in geodesics, flows and training. In return

    - the function must not branch on values, nor take numbers out of tensors: it is refused;
    - it must depend on the point alone. Each call by torch compares it to the record at the first point, and
      refuses where they differ; JAX goes by its record. Tensors that the function closes over may change in
      place, as in an optimizer's step, and gradients flow to them as they do to points;
    - within torch.func's transforms and torch.compile, derivatives are taken as without it;
    - gradients by torch are those of the operations recorded, whatever `no_grad` or backward pass of its own
      the function has.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> sphere = lnegeom.FromCallable(lambda x: np.diag([1.0, np.sin(x[0]) ** 2]), dim=2)
    >>> round(float(sphere.scalar_curvature([1.0, 0.3])), 8)
    2.0
    """

    def __init__(
        self,
        function: Callable[[Array], Array],
        dim: int,
        *,
        negative: int = 0,
        derivatives: Derivatives = "auto",
        vectorized: bool = False,
        trace: bool = False,
    ):
        if not callable(function):
            raise InputError(f"expected a function of a point, got {function!r}")
        self.function = with_record(function, trace, derivatives)
        self.dim: int = positive_integer("dim", dim)
        self.negative = check_negative(negative, self.dim)
        self.derivatives = check_source(derivatives)
        self.vectorized = vectorized

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", repr(self.function))
        return f"FromCallable({name}, dim={self.dim})"

    @property
    def signature(self) -> tuple[int, int]:
        """Numbers of positive and negative eigenvalues."""
        return self.dim - self.negative, self.negative

    def _local(self, xp: Any, x: Array) -> _Local:
        matrix = evaluate(self.function, x, derivatives=self.derivatives, vectorized=self.vectorized)
        if tuple(matrix.shape) != (*x.shape, self.dim):
            raise GeometryError(
                f"the function returned shape {tuple(matrix.shape)} for points {tuple(x.shape)}: expected "
                f"({self.dim}, {self.dim}) at each point"
            )
        matrix = xp.astype(matrix, x.dtype, copy=False)
        remedy = (
            "correct the function, or its domain, or give its number of negative eigenvalues as negative="
        )
        check_matrix(xp, matrix, self.negative, remedy=remedy)
        return _Local(x, matrix)

    def _matrix(self, xp: Any, local: _Local) -> Array:
        return local.matrix

    def _jet(self, xp: Any, local: _Local) -> tuple[Array, Array]:
        found = self._derived(xp, local)
        return found.first, found.second

    def _first(self, xp: Any, local: _Local) -> Array:
        return self._differentiated(local, 1).first

    def _first_error(self, xp: Any, local: _Local) -> float:
        return self._differentiated(local, 1).error

    def _derived(self, xp: Any, local: _Local) -> Jet:
        return self._differentiated(local, 2)

    def _differentiated(self, local: _Local, order: Literal[1, 2]) -> Jet:
        return jet(
            self.function,
            local.x,
            derivatives=self.derivatives,
            vectorized=self.vectorized,
            order=order,
        )
