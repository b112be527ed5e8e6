"""Which shell of modes, of one eigenvalue of −Δ, is the lowest that a perturbation holds."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.torus.grid import TorusGrid

Field = NDArray[np.float64]

SAME = 1e-9
"""Eigenvalues that differ by less than this share are of one shell."""
ROUNDING = 1e-12
"""Sizes below this share of ``|k|² |h|`` are rounding errors: all that a pure gauge has of curvature."""


class Shell(NamedTuple):
    """Modes of one eigenvalue.

    Attributes
    ----------
    number : int
        1 for the lowest of the domain.
    eigenvalue : float
        Of −Δ.
    following : float
        The domain's next eigenvalue.
    modes : numpy.ndarray
        ``(K, n)``, those of its modes that are there: wavevectors on a torus, positive wavenumbers in a box.
    """

    number: int
    eigenvalue: float
    following: float
    modes: Field


def lowest_shell(h: Field, domain: SpectralDomain, share: float, of_curvature: bool = False) -> Shell:
    """The lowest shell that makes up more than a share of a perturbation ``(*shape, n, n)`` in L².

    With `of_curvature`, of its linearised curvature: of ``|k|² P h P`` with P the projection across k.
    A perturbation that is zero, or flat in that, is taken for one of all modes of the lowest shell.
    """
    k, coefficients = _waves(h, domain)
    squares = np.sum(k**2, axis=-1)
    rounding = ROUNDING * math.sqrt(float(np.sum(np.abs(squares[:, None, None] * coefficients) ** 2)))
    if of_curvature:
        P = np.eye(domain.dim) - k[:, :, None] * k[:, None, :] / squares[:, None, None]
        coefficients = squares[:, None, None] * (P @ coefficients @ P)
    sizes = np.sqrt(np.sum(np.abs(coefficients) ** 2, axis=(1, 2)))
    there = sizes > max(share * math.sqrt(float(np.sum(sizes**2))), rounding)
    found = float(np.min(squares[there])) if there.any() else domain.eigenvalues(1)[0]
    count = 2
    while (values := domain.eigenvalues(count))[-1] <= found * (1 + SAME):
        count *= 2
    number = int(np.argmin(np.abs(np.array(values) - found)))
    eigenvalue = values[number]
    in_it = np.abs(squares - eigenvalue) <= SAME * eigenvalue
    modes = k[in_it & there] if there.any() else k[in_it]
    return Shell(number + 1, eigenvalue, values[number + 1], modes)


def next_eigenvalue(shell: Shell, h: Field, domain: SpectralDomain, share: float) -> float:
    """The eigenvalue that is left longest beside a shell, of a perturbation's modes at the beginning.

    Beside the lowest shell, the domain's second. A higher one is the lowest for some symmetry's sake, which
    leaves out others too: beside it, the next that h holds a share of, or else its harmonic, 4λ.
    """
    if shell.number == 1:
        return shell.following
    k, coefficients = _waves(h, domain)
    squares = np.sum(k**2, axis=-1)
    sizes = np.sqrt(np.sum(np.abs(coefficients) ** 2, axis=(1, 2)))
    there = (sizes > share * np.max(sizes)) & (squares > (1 + SAME) * shell.eigenvalue)
    return float(np.min(squares[there], initial=4 * shell.eigenvalue))


def _waves(h: Field, domain: Any) -> tuple[Field, NDArray[Any]]:
    """Wavevectors ``(K, n)``, not zero, and coefficients ``(K, n, n)`` of the components."""
    points = tuple(range(domain.dim))
    if isinstance(domain, TorusGrid):
        axes = [np.fft.fftfreq(size, 1 / size) for size in domain.shape]
        dual = 2 * math.pi * np.linalg.inv(np.array(domain.lattice)).T
        k = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, domain.dim) @ dual
        waves = np.fft.fftn(h, axes=points) / math.prod(domain.shape)
        return k[1:], waves.reshape(-1, *h.shape[-2:])[1:]
    box: BoxGrid = domain
    axes, coefficients = [], h
    for axis, (x, length) in enumerate(zip(box.axes(), box.lengths, strict=True)):
        # Waves that the grid resolves, fitted by least squares: its points are not evenly spaced.
        numbers = math.pi / length * np.arange(1, len(x) // 2 + 1)
        fit = np.linalg.pinv(np.sin(np.outer(x, numbers)))
        coefficients = np.moveaxis(np.tensordot(fit, coefficients, ((1,), (axis,))), 0, axis)
        axes.append(numbers)
    k = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, box.dim)
    return k, coefficients.reshape(-1, *h.shape[-2:])
