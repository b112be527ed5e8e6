"""Dually flat spaces: two affine coordinate systems, Pythagoras, projections."""

from __future__ import annotations

from typing import Any

import numpy as np

from lnegeom._array import (
    Array,
    GeometryError,
    InputError,
    as_floating,
    check_broadcast,
    check_finite,
    check_vectors,
    constant,
    dot,
    holds,
    widened,
)
from lnegeom._newton import minimize
from lnegeom.potentials import Potential
from lnegeom.potentials._base import check_potential

__all__ = ["DuallyFlat"]


class DuallyFlat:
    """The dually flat space of a potential ψ, with coordinates θ and dual coordinates ``η = ∇ψ(θ)``.

    The canonical divergence is ``D[p : q] = ψ(θ_p) + ψ*(η_q) − ⟨θ_p, η_q⟩``, the Bregman divergence. Points
    are given by θ, of shape ``(..., n)``. For a family's log-partition, θ-lines are e-geodesics, η-lines
    m-geodesics, and ``D[p : q] = KL[q : p]``.

    Parameters
    ----------
    potential : Potential
        The potential ψ.

    References
    ----------
    Amari, *Information Geometry and Its Applications* (2016), chapter 1; Amari and Nagaoka, *Methods of
    Information Geometry* (2000), sections 3.3 and 3.4.

    Examples
    --------
    >>> import lnegeom
    >>> from lnegeom.dually_flat import DuallyFlat
    >>> space = DuallyFlat(lnegeom.NegativeEntropy())
    >>> space.dual_coordinates([1.0, 2.0])
    array([1.        , 1.69314718])
    >>> space.from_dual_coordinates(space.dual_coordinates([1.0, 2.0]))
    array([1., 2.])
    """

    def __init__(self, potential: Potential):
        self.potential = check_potential(potential)
        self.dim = potential.dim

    def __repr__(self) -> str:
        return f"DuallyFlat({self.potential!r})"

    def dual_coordinates(self, theta: Any) -> Array:
        """``η = ∇ψ(θ)``, of shape ``(..., n)``."""
        return self.potential.gradient(theta)

    def from_dual_coordinates(self, eta: Any) -> Array:
        """``θ = ∇ψ*(η)``, of shape ``(..., n)``: the Legendre transform undone."""
        return self.potential.conjugate.gradient(eta)

    def divergence(self, p: Any, q: Any) -> Array:
        """Canonical divergence ``ψ(θ_p) + ψ*(η_q) − ⟨θ_p, η_q⟩`` of points in θ, of shape ``(...)``."""
        xp, p, q = self._points(p=p, q=q)
        return self._divergence(xp, p, q)

    def pythagorean_residual(self, p: Any, q: Any, r: Any) -> Array:
        """``D[p : q] + D[q : r] − D[p : r]``, of shape ``(...)``.

        It vanishes where the θ-line from q to p meets the η-line from q to r at a right angle: the
        generalized Pythagorean theorem. In general it is their inner product, `cross`.
        """
        xp, p, q, r = self._points(p=p, q=q, r=r)
        sides = self._divergence(xp, p, q) + self._divergence(xp, q, r)
        return sides - self._divergence(xp, p, r)

    def cross(self, p: Any, q: Any, r: Any) -> Array:
        """``⟨θ_p − θ_q, η_r − η_q⟩``: the inner product at q of the lines to p (in θ) and to r (in η)."""
        xp, p, q, r = self._points(p=p, q=q, r=r)
        gradient = self.potential._gradient
        return dot(xp, p - q, gradient(xp, r) - gradient(xp, q))

    def project(self, point: Any, base: Any, directions: Any, *, affine_in: str) -> Array:
        """Nearest point of a flat set, in θ, of shape ``(..., n)``.

        For ``affine_in="theta"`` the set is ``θ_base + directions s``, and the result minimizes
        ``D[q : point]`` over q in it: the η-line from the point meets the set at a right angle. For ``"eta"``
        the set is ``η_base + directions s``, and the result minimizes ``D[point : q]``: the θ-line does. Each
        is a convex problem with one solution, found by damped Newton steps in float64. In an exponential
        family they are the m-projection (maximum likelihood) and the e-projection.

        Parameters
        ----------
        point, base : array, shape (..., n)
            The point to project and a point of the set, both in θ coordinates.
        directions : array, shape (..., n, m)
            Columns that span the set's directions, in the coordinates where it is affine.
        affine_in : {"theta", "eta"}
            Where the set is affine.

        Raises
        ------
        GeometryError
            If the directions are dependent, or the iteration does not converge at some point.

        Examples
        --------
        The m-projection of a distribution on two bits onto the independent ones is the product of its
        margins:

        >>> import lnegeom
        >>> from lnegeom.dually_flat import DuallyFlat
        >>> bits = lnegeom.Categorical(4)  # 00, 01, 10 and 11 last; independent where θ_00 = θ_01 + θ_10
        >>> space = DuallyFlat(bits.log_partition)
        >>> independent = [[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
        >>> theta = bits.natural([0.4, 0.1, 0.2, 0.3])
        >>> nearest = space.project(theta, [0.0, 0.0, 0.0], independent, affine_in="theta")
        >>> bits.probabilities(nearest).round(6)
        array([0.3, 0.2, 0.3, 0.2])
        """
        if affine_in not in ("theta", "eta"):
            raise InputError(f'affine_in must be "theta" or "eta", got {affine_in!r}')
        xp, point, base, directions = as_floating(point=point, base=base, directions=directions)
        dtype = point.dtype
        wide = [widened(xp, a) for a in (point, base, directions)]
        _, *points = self._points(point=wide[0], base=wide[1])
        _check_directions(xp, wide[2], points[0].shape[-1])
        check_broadcast(point=points[0], base=points[1], directions=wide[2][..., 0])
        shape = np.broadcast_shapes(*(a.shape for a in points), (*wide[2].shape[:-2], 1))
        point, base = (xp.broadcast_to(a, shape) for a in points)
        slope, directions = self.potential._gradient(xp, point), wide[2]
        if affine_in == "eta":
            # θ_q − θ_point is normal to the set, and η_q − η_base has no normal part: so q is also where the
            # θ-flat set of the normals at the point comes nearest to the base. No conjugate is needed.
            directions = _normals(xp, directions)
            base, slope = point, self.potential._gradient(xp, base)
        if directions.shape[-1] == 0:
            return xp.astype(base, dtype, copy=True)
        nearest = minimize(xp, self.potential, base, slope, directions, "point")
        return xp.astype(nearest, dtype)

    def _divergence(self, xp: Any, p: Array, q: Array) -> Array:
        # ψ*(η_q) as ⟨θ_q, η_q⟩ − ψ(θ_q): from η alone it would lose its digits near the dual boundary.
        psi = self.potential
        return psi._value(xp, p) - psi._value(xp, q) - dot(xp, p - q, psi._gradient(xp, q))

    def _points(self, **points: Any) -> tuple[Any, ...]:
        xp, *arrays = as_floating(**points)
        for name, array in zip(points, arrays, strict=True):
            check_vectors(xp, array, name, self.dim or arrays[0].shape[-1])
            self.potential._check_domain(xp, array)
        check_broadcast(**dict(zip(points, arrays, strict=True)))
        return xp, *arrays


def _normals(xp: Any, directions: Array) -> Array:
    """Columns that span what is normal to directions ``(..., n, m)``, ``(..., n, n − m)``.

    How their span turns with the directions, singular vectors of an empty space do not tell.
    """
    normals = constant(xp.linalg.svd(directions)[0][..., directions.shape[-1] :])
    transposed = xp.matrix_transpose(directions)
    return normals - directions @ (xp.linalg.inv(transposed @ directions) @ (transposed @ normals))


def _check_directions(xp: Any, directions: Array, n: int) -> None:
    if directions.ndim < 2 or directions.shape[-2] != n or not 0 < directions.shape[-1] <= n:
        raise GeometryError(
            f"directions has shape {tuple(directions.shape)}: expected (..., {n}, m) with 1 <= m <= {n}, "
            "a direction in each column"
        )
    check_finite(xp, directions, "directions")
    sizes = xp.linalg.svdvals(directions)
    if not holds(xp.all(sizes[..., -1] > 1e-10 * sizes[..., 0])):
        raise GeometryError("directions are dependent: expected columns of full rank; leave some out")
