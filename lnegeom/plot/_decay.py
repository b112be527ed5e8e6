"""The decay of a perturbation against time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from lnegeom._array import InputError, to_numpy
from lnegeom.flow.decay import Decaying, DecayRate, decay_rate
from lnegeom.flow.domain import SpectralDomain
from lnegeom.flow.solution import Solution
from lnegeom.plot._style import BLUE, VERMILION, new_axes, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_decay(solution: Solution, ax: Axes | None = None, of: Decaying = "norm") -> Axes:
    """Plot the L² norm of the perturbation against time, on a logarithmic axis: of what decays.

    On a torus that is the mean-free part, in a box with values given on its boundary all of it; under plain
    Ricci flow only the curvature decays.

    A dashed line of the linear theory's slope, minus the eigenvalue of the lowest shell of modes that is
    there, goes through the fit's window (shaded); or one of slope −λ₁ through the last sample, where the run
    is too short to fit a rate. The legend gives the fitted rate.

    Parameters
    ----------
    solution : Solution
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    of : {"norm", "max_riemann"}, default: "norm"
        The perturbation's norm, or the recorded ``sup |Rm|``: see `lnegeom.flow.decay_rate`.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is missing.
    InputError
        If the perturbation is zero throughout, or lives on no torus or box.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> from lnegeom.flow import TorusGrid, perturbed_flat, ricci_deturck
    >>> from lnegeom.plot import plot_decay
    >>> grid = TorusGrid((16, 16))
    >>> ax = plot_decay(ricci_deturck(perturbed_flat(grid, 0.1, seed=0), grid, 10.0))
    >>> ax.get_yscale()
    'log'
    """
    domain = solution.grid
    if not isinstance(domain, SpectralDomain):
        raise InputError(f"the decay on {domain!r} has no theory to draw: expected a torus or a box")
    times = to_numpy(solution.times)
    curvature = of == "max_riemann"
    norm = to_numpy(
        solution.invariants[of]
        if curvature
        else solution.perturbation_norm("l2", mean_free=domain.keeps_mean)
    )
    shown = norm > 0
    if not shown.any():
        raise InputError("the perturbation is zero at all times: there is no decay to plot")
    fit = _fit(solution, of)
    if ax is None:
        ax = new_axes(figsize=(5.4, 3.6))
    theory, shell = (fit.theory, fit.shell) if fit else (domain.eigenvalues(1)[0], 1)
    anchor = int(np.argmin(np.abs(times - sum(fit.window) / 2))) if fit else int(np.flatnonzero(shown)[-1])
    line = norm[anchor] * np.exp(-theory * (times - times[anchor]))
    if fit:
        ax.axvspan(*fit.window, color=BLUE, alpha=0.08, linewidth=0, label="window of the fit")
    ax.plot(times[shown], norm[shown], color=BLUE, linewidth=2, label=_label(fit))
    ax.plot(
        times, line, color=VERMILION, linewidth=1.5, linestyle=(0, (5, 3)),
        label=rf"theory $e^{{-\lambda_{{{shell}}} t}}$, $\lambda_{{{shell}}} = {theory:.6g}$",
    )  # fmt: skip
    ax.set(
        yscale="log",
        xlabel="time $t$",
        ylabel=r"$\sup |Rm|$" if curvature else norm_name(domain),
        title="Decay to a flat metric",
        xlim=(float(times[0]), float(times[-1])),
    )
    tidy(ax)
    ax.legend(frameon=False, fontsize="small")
    return ax


def norm_name(domain: SpectralDomain) -> str:
    """Of the norm of what decays."""
    return r"$\|h - \overline{h}\|_{L^2}$" if domain.keeps_mean else r"$\|h\|_{L^2}$"


def _fit(solution: Solution, of: Decaying) -> DecayRate | None:
    try:
        return decay_rate(solution, of)
    except InputError:  # too short to fit: the curve is still worth drawing
        return None


def _label(fit: DecayRate | None) -> str:
    if fit is None:
        return "flow (too short to fit a rate)"
    # As many digits as the standard error supports, six at most.
    digits = min(6, max(0, 1 - math.floor(math.log10(fit.standard_error)))) if fit.standard_error > 0 else 6
    return f"flow, fitted rate {fit.rate:.{digits}f}"
