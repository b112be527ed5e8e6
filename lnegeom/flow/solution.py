"""The result of a flow: its metrics at the sampled times, and how it ended."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from typing import Literal

import array_api_compat
import numpy as np

from lnegeom._array import Array, InputError, to_numpy
from lnegeom.flow.grid import TorusGrid

FORMAT = "lnegeom.flow.Solution"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Solution:
    """Metrics of a flow on a torus at sampled times.

    Attributes
    ----------
    grid : TorusGrid
    times : array
        Sampled times, shape ``(T,)``, of the library and dtype of the metrics.
    metrics : array
        Metrics, shape ``(T, *grid.shape, n, n)``. All are finite and positive definite.
    status : {"completed", "stopped"}
        Whether the flow reached its end. A stopped flow ends with its last good state.
    message : str
        Why it ended, and when.
    dt : float
        Time step.
    """

    grid: TorusGrid
    times: Array
    metrics: Array
    status: Literal["completed", "stopped"]
    message: str
    dt: float

    def perturbation_norm(self, kind: Literal["l2", "sup"] = "l2", mean_free: bool = True) -> Array:
        """Norm of the perturbation ``h = g − δ`` at each sampled time.

        Parameters
        ----------
        kind : {"l2", "sup"}, default: "l2"
            ``(∫ |h|² dx)^{1/2}``, with the Frobenius norm at each point and the volume of δ; or the supremum
            over the grid of the operator norm (the largest absolute eigenvalue).
        mean_free : bool, default: True
            Take ``h − mean h``, the part that decays: the mean of h over the torus stays, up to O(‖h‖²).

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
        n = self.grid.dim
        h = self.metrics - xp.eye(n, dtype=self.metrics.dtype, device=array_api_compat.device(self.metrics))
        points = tuple(range(1, n + 1))
        if mean_free:
            h = h - xp.mean(h, axis=points, keepdims=True)
        if kind == "sup":
            return xp.max(xp.abs(xp.linalg.eigvalsh(h)), axis=(*points, -1))
        cell = self.grid.volume / float(np.prod(self.grid.shape))
        return xp.sqrt(cell * xp.sum(h * h, axis=(*points, -2, -1)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the solution to exactly this path, as one npz archive with a JSON header (no pickle).

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
            "shape": self.grid.shape,
            "lengths": self.grid.lengths,
            "status": self.status,
            "message": self.message,
            "dt": self.dt,
        }
        with open(path, "wb") as file:  # np.savez would append .npz to a bare name
            np.savez(
                file,
                header=np.array(json.dumps(header)),
                times=to_numpy(self.times),
                metrics=to_numpy(self.metrics),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Solution:
        """Read a solution that `save` wrote: the same numbers and dtype, as numpy arrays.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        InputError
            If the file is not a saved solution, or is of a newer format.
        """
        try:
            # Opened here, since np.load leaves the file open when an archive is damaged.
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
                header = json.loads(str(archive["header"]))
                times, metrics = archive["times"], archive["metrics"]
        except (ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{os.fspath(path)} is not a saved Solution ({error}); write one with save()"
            ) from None
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise InputError(
                f"{os.fspath(path)} holds {header.get('format')} version {header.get('version')}: expected "
                f"{FORMAT} version {VERSION}; load it with the version of lnegeom that wrote it"
            )
        grid = TorusGrid(header["shape"], header["lengths"])
        return cls(grid, times, metrics, header["status"], header["message"], header["dt"])
