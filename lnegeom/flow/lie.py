"""Lie groups with left-invariant metrics."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lnegeom._array import InputError, real
from lnegeom.flow.checks import real_array
from lnegeom.flow.domain import register_domain
from lnegeom.flow.spaces import Matrix, OnePoint

MILNOR = {
    "SU(2)": (2.0, 2.0, 2.0),
    "SL(2)": (-2.0, 2.0, 2.0),
    "E(2)": (2.0, 2.0, 0.0),
    "Sol": (2.0, -2.0, 0.0),
    "Nil": (2.0, 0.0, 0.0),
    "R3": (0.0, 0.0, 0.0),
}
"""Milnor's constants λ of the unimodular groups of dimension 3: ``[F₂,F₃] = λ₁F₁`` and cyclic."""


@register_domain
@dataclass(frozen=True, init=False)
class LieGroup(OnePoint):
    """A Lie group with left-invariant metrics, by its structure constants in a left-invariant frame.

    Parameters
    ----------
    structure : array_like
        ``c[k, i, j]`` with ``[F_i, F_j] = c^k_ij F_k``, shape ``(n, n, n)``: antisymmetric in i, j, and of a
        Lie algebra (Jacobi's identity).

    Raises
    ------
    InputError
        If the constants have the wrong shape, are not antisymmetric, or fail Jacobi's identity.

    Examples
    --------
    >>> import numpy as np
    >>> from lnegeom.flow import LieGroup
    >>> sphere = LieGroup.named("SU(2)")  # F is the frame of the unit 3-sphere: Ric = 2 g
    >>> sphere.ricci(np.eye(3)).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]]
    """

    structure: tuple[tuple[tuple[float, ...], ...], ...]

    def __init__(self, structure: Any):
        c = _structure(structure)
        object.__setattr__(self, "structure", tuple(tuple(map(tuple, plane)) for plane in c.tolist()))

    @classmethod
    def unimodular(cls, constants: Sequence[float]) -> Self:
        """A unimodular group of dimension 3 in Milnor's frame: ``[F₂,F₃] = λ₁F₁`` and cyclic.

        The signs of λ decide the group; any three numbers are a Lie algebra.
        """
        if not isinstance(constants, Sequence | np.ndarray) or len(constants) != 3:
            raise InputError(f"constants must be three numbers λ₁, λ₂, λ₃; got {constants!r}")
        c = np.zeros((3, 3, 3))
        for k, value in enumerate(constants):
            i, j = (k + 1) % 3, (k + 2) % 3
            c[k, i, j], c[k, j, i] = real("constants", value), -real("constants", value)
        return cls(c)

    @classmethod
    def named(cls, name: str) -> Self:
        """A unimodular group of dimension 3 by its name, with constants λ of −2, 0 or 2.

        SU(2) is Bianchi's class IX with λ = (2, 2, 2), whose Berger metrics have two equal entries; SL(2) is
        VIII with (−2, 2, 2); E(2) is VII₀ with (2, 2, 0); Sol is VI₀ with (2, −2, 0); Nil is II with (2, 0,
        0); R3 is I.

        Raises
        ------
        InputError
            If there is no group of this name.
        """
        if not isinstance(name, str) or name not in MILNOR:
            raise InputError(f"unknown group {name!r}: expected one of {', '.join(MILNOR)}")
        return cls.unimodular(MILNOR[name])

    @property
    def dim(self) -> int:
        """Dimension n."""
        return len(self.structure)

    @functools.cached_property
    def _constants(self) -> tuple[Matrix, Matrix]:
        """The structure constants, and the traces ``tr ad_a``."""
        c = np.array(self.structure)
        return c, np.einsum("kak->a", c)

    def ricci(self, g: Matrix) -> Matrix:
        """Ricci tensor of a left-invariant metric, in the frame.

        In an orthonormal frame e and with ``⟨H, X⟩ = tr ad_X``, ``Ric(X, X) = −¼ |ad_X + ad_Xᵀ|² + ¼
        Σ⟨[e_i,e_j], X⟩² − ⟨[H,X], X⟩``. Reference: A. L. Besse, "Einstein Manifolds" (1987), Corollary 7.38,
        whose terms ``−½ Σ|[X,e_i]|² − ½ tr(ad_X²)`` are the first one; as a square it loses nothing where
        they cancel, as they do the more the longer a flow has run.

        Parameters
        ----------
        g : numpy.ndarray
            Symmetric positive definite, shape ``(n, n)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(n, n)``.
        """
        c, trace = self._constants
        inverse = np.linalg.inv(g)
        lowered = np.tensordot(g, c, 1)  # ⟨F_k, [F_i, F_j]⟩
        # S_a[k, j] = ⟨F_k, [F_a, F_j]⟩ + ⟨F_j, [F_a, F_k]⟩, and its indices raised.
        stretch = np.swapaxes(lowered, 0, 1) + np.transpose(lowered, (1, 2, 0))
        stretches = np.tensordot(inverse @ stretch @ inverse, stretch, ((1, 2), (1, 2)))
        components = np.tensordot(inverse @ lowered @ inverse, lowered, ((1, 2), (1, 2)))
        drift = np.tensordot(lowered, inverse @ trace, (1, 0))  # ⟨F_a, [H, F_b]⟩
        ricci: Matrix = 0.25 * (components - stretches) - 0.5 * (drift + drift.T)
        return ricci

    def to_json(self) -> dict[str, Any]:
        """Plain data: the argument of `LieGroup`."""
        return {"structure": self.structure}


def _structure(structure: Any) -> Matrix:
    c = real_array(structure, "structure", "an array c[k, i, j] of real numbers")
    if c.ndim != 3 or len(set(c.shape)) != 1 or c.size == 0 or not np.all(np.isfinite(c)):
        raise InputError(f"structure must be finite and of shape (n, n, n), got shape {c.shape}")
    scale = max(1.0, float(np.max(np.abs(c))))
    if np.max(np.abs(c + np.swapaxes(c, 1, 2))) > 1e-12 * scale:
        raise InputError(
            "structure must be antisymmetric, c[k, i, j] = −c[k, j, i]: it lists brackets [F_i, F_j]"
        )
    twice = np.einsum("lim,mjk->lijk", c, c)  # [F_i, [F_j, F_k]]
    jacobi = twice + np.moveaxis(twice, 1, 3) + np.moveaxis(twice, 3, 1)
    defect = float(np.max(np.abs(jacobi)))
    if defect > 1e-10 * scale**2:
        raise InputError(
            f"structure fails Jacobi's identity by {defect:.3g}: these brackets are of no Lie algebra"
        )
    return c
