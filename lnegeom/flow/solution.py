"""The result of a flow: its metrics at the sampled times, and how it ended."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import array_api_compat
import numpy as np

from lnegeom._array import Array, InputError, to_numpy
from lnegeom.flow.archive import read_archive, write_archive
from lnegeom.flow.domain import Domain, describe_domain, restore_domain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = "lnegeom.flow.Solution"
VERSION = 2


@dataclass(frozen=True, eq=False)
class Solution:
    """Metrics of a flow at sampled times.

    Attributes
    ----------
    grid : Domain
        Where the metrics live, such as a `TorusGrid`: it has ``dim``, ``shape`` and ``integrate``.
    times : array
        Sampled times, shape ``(T,)``, of the library and dtype of the metrics.
    metrics : array
        Metrics, shape ``(T, *grid.shape, n, n)``. All are finite and positive definite. A loaded solution
        leaves them on disk (a numpy memmap): only the samples that are looked at are read.
    status : {"completed", "stopped"}
        Whether the flow reached its end. A stopped flow ends with its last good state.
    message : str
        Why it ended, and when.
    dt : float
        Time step; where it adapts, the last one.
    invariants : dict of str to array
        Quantities recorded on the way, each of shape ``(T,)``, by name.
    background : array or None
        The metric ``(*grid.shape, n, n)`` from which the perturbation h is measured; None is δ.
    singular_time : float or None
        Estimate of the time at which the curvature blows up, where a stopped flow gives one.
    evaluations : int or None
        How often the right-hand side was evaluated.
    """

    grid: Domain
    times: Array
    metrics: Array
    status: Literal["completed", "stopped"]
    message: str
    dt: float
    invariants: dict[str, Array] = field(default_factory=dict)
    background: Array | None = None
    singular_time: float | None = None
    evaluations: int | None = None

    def perturbation_norm(self, kind: Literal["l2", "sup"] = "l2", mean_free: bool = True) -> Array:
        """Norm of the perturbation ``h = g − background`` at each sampled time.

        Parameters
        ----------
        kind : {"l2", "sup"}, default: "l2"
            ``(∫ |h|² dx)^{1/2}``, with the norm and volume of the background; or the supremum over the points
            of the operator norm (the largest absolute eigenvalue of h against the background).
        mean_free : bool, default: True
            Take ``h − mean h``, the part that decays: the mean of h over the domain's coordinates stays on a
            torus, up to O(‖h‖²).

        Returns
        -------
        array
            Shape ``(T,)``.

        Raises
        ------
        InputError
            If the kind is unknown.

        Examples
        --------
        >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
        >>> grid = TorusGrid((16, 16))
        >>> solution = ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 1.0, samples=3)
        >>> norm = solution.perturbation_norm()
        >>> bool(norm[0] > norm[1] > norm[2])
        True
        """
        if kind not in ("l2", "sup"):
            raise InputError(f'kind must be "l2" or "sup", got {kind!r}')
        xp = array_api_compat.array_namespace(self.metrics)
        return xp.stack(
            [self._norm(xp, self.metrics[t, ...], kind, mean_free) for t in range(self.times.shape[0])]
        )

    def _norm(self, xp: Any, g: Array, kind: str, mean_free: bool) -> Array:
        identity = xp.eye(self.grid.dim, dtype=g.dtype, device=array_api_compat.device(g))
        h = g - (identity if self.background is None else self.background)
        if mean_free:
            components = xp.permute_dims(h, (h.ndim - 2, h.ndim - 1, *range(h.ndim - 2)))
            h = h - self.grid.integrate(components) / self.grid.integrate(xp.ones_like(components[0, 0, ...]))
        density = 1.0
        if self.background is not None:
            # In a frame that is orthonormal for the background, h is L⁻¹ h L⁻ᵀ with L Lᵀ the background.
            inverse = xp.linalg.inv(xp.linalg.cholesky(self.background))
            h = inverse @ h @ xp.matrix_transpose(inverse)
            density = 1 / xp.linalg.det(inverse)
        if kind == "sup":
            return xp.max(xp.abs(xp.linalg.eigvalsh(h)))
        return xp.sqrt(self.grid.integrate(density * xp.sum(h * h, axis=(-2, -1))))

    def plot(self, component: tuple[int, int] = (0, 0)) -> Figure:
        """Draw the solution as its kind asks for: see `lnegeom.plot.plot_solution`."""
        from lnegeom.plot import plot_solution

        return plot_solution(self, component)

    def animate(self, path: str | os.PathLike[str], **options: Any) -> Path:
        """Write the solution as an animated GIF: see `lnegeom.plot.animate`."""
        from lnegeom.plot import animate

        return animate(self, path, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the solution to exactly this path, as one npz archive with a JSON header (no pickle).

        The file is replaced in one go: a write that fails leaves the old one.

        Examples
        --------
        >>> import os, tempfile
        >>> from lnegeom.flow import Solution, TorusGrid, perturbed_flat, ricci_deturck
        >>> grid = TorusGrid((8, 8))
        >>> solution = ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 0.1, samples=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "decay.npz")
        ...     solution.save(path)
        ...     bool((Solution.load(path).metrics == solution.metrics).all())
        True
        """
        header = {
            "format": FORMAT,
            "version": VERSION,
            "grid": describe_domain(self.grid),
            "status": self.status,
            "message": self.message,
            "dt": self.dt,
            "singular_time": self.singular_time,
            "evaluations": self.evaluations,
            "invariants": list(self.invariants),
        }
        arrays = {"times": self.times, "metrics": self.metrics}
        arrays |= {f"invariant-{number}": value for number, value in enumerate(self.invariants.values())}
        if self.background is not None:
            arrays["background"] = self.background
        arrays = {name: to_numpy(value) for name, value in arrays.items()}
        write_archive(Path(path), {"header": np.array(json.dumps(header)), **arrays})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Solution:
        """Read a solution that `save` wrote: the same numbers and dtype, as numpy arrays.

        Only the metrics stay on disk until they are looked at; the file must remain while they are in use.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        InputError
            If the file is not a saved solution, or is of another format.
        """
        arrays = read_archive(Path(path), "Solution", lazy=("metrics",))
        header = json.loads(str(arrays["header"]))
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise InputError(
                f"{os.fspath(path)} holds {header.get('format')} version {header.get('version')}: expected "
                f"{FORMAT} version {VERSION}; load it with the version of lnegeom that wrote it"
            )
        return cls(
            restore_domain(header["grid"]),
            arrays["times"],
            arrays["metrics"],
            header["status"],
            header["message"],
            header["dt"],
            {name: arrays[f"invariant-{number}"] for number, name in enumerate(header["invariants"])},
            arrays.get("background"),
            header["singular_time"],
            header["evaluations"],
        )
