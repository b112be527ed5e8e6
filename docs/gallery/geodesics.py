"""Fans of geodesics: one that never ends, one that leaves, and one that meets again in a curve with cusps."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import lnegeom

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#5F5F5F"
FLAT = 0.6
"""The polar half-axis of the ellipsoid, whose equator has radius 1."""


def ellipsoid(x: np.ndarray) -> np.ndarray:
    """The ellipsoid in space at points ``(..., 2)`` of a stereographic chart with its pole on the equator."""
    u, v = x[..., 0], x[..., 1]
    r = u**2 + v**2
    return np.stack([2 * u, 1 - r, 2 * FLAT * v], axis=-1) / (1 + r)[..., None]


def draw(folder: Path, directions: int = 61) -> dict[str, float]:
    """Write geodesics.png; return the distance of the conjugate point along the ellipsoid's equator, and π c.

    The number of directions has to be odd.
    """
    figure = Figure(figsize=(11.5, 4.1), layout="constrained")
    ball, lne, behind = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1, 1, 1.5]})
    _hyperbolic(ball)
    _lne(lne)
    found = _ellipsoid(behind, directions)
    for ax in (ball, lne, behind):
        ax.set_aspect("equal")
        ax.axis("off")
    figure.savefig(folder / "geodesics.png", dpi=110)
    return found


def _fan(
    metric: lnegeom.Metric, x: np.ndarray, angles: np.ndarray, t_end: float, samples: int = 201
) -> lnegeom.Geodesic:
    """Geodesics of unit speed from one point."""
    v = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return lnegeom.geodesic(metric, x, v / metric.norm(x, v)[:, None], t_end, samples=samples)


def _hyperbolic(ax) -> None:
    """Geodesics of the Poincaré disc, and circles at multiples of the distance 0.75."""
    path = _fan(lnegeom.PoincareBall(2), np.array([0.35, 0.2]), np.arange(24) * np.pi / 12, 6.0)
    ax.plot(*np.moveaxis(path.points, (-1, 1), (0, 1)), color=BLUE, linewidth=1)
    circles = _fan(lnegeom.PoincareBall(2), np.array([0.35, 0.2]), np.linspace(0, 2 * np.pi, 201), 6.0)
    ax.plot(*np.moveaxis(circles.points[:, 25::25], -1, 0), color=VERMILION, linewidth=0.9)
    edge = np.linspace(0, 2 * np.pi, 201)
    ax.plot(np.cos(edge), np.sin(edge), color=GREY, linewidth=1.2)
    ax.set_title("Poincaré disc")


def _lne(ax) -> None:
    """Geodesics of LNE, each to where it leaves ``|tanh θ|² < 1``."""
    start, metric = np.array([-0.3, -0.1]), lnegeom.LNE(1.0)
    path = _fan(metric, start, np.arange(32) * np.pi / 16, 3.0, samples=3001)
    for points, reached in zip(path.points, path.reached, strict=True):
        ax.plot(*points[:reached].T, color=BLUE, linewidth=1)
    angles = np.linspace(1e-4, np.pi / 2 - 1e-4, 1001)
    first, second = np.arctanh(np.cos(angles)), np.arctanh(np.sin(angles))
    for signs in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        ax.plot(signs[0] * first, signs[1] * second, color=GREY, linewidth=1.2)
    ax.set(xlim=(-2.4, 2.4), ylim=(-2.4, 2.4), title="LNE")


def _ellipsoid(ax, directions: int) -> dict[str, float]:
    """The half of the ellipsoid opposite to where geodesics start, each to its conjugate point and beyond."""
    metric, start = lnegeom.Pullback(ellipsoid, 2, vectorized=True), np.array([1.0, 0.0])
    angles = (np.arange(directions) + 0.5) * 2 * np.pi / directions  # not to the pole, but to its antipode
    v = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    v /= metric.norm(start, v)[:, None]
    normal = np.stack([-v[:, 1], v[:, 0]], axis=-1)
    path = lnegeom.jacobi_field(metric, start, v, 0 * v, normal, t_end=1.2 * np.pi, samples=401)
    locus = []
    for points, spread in zip(ellipsoid(path.points), _side(path.velocities, path.fields), strict=True):
        k = int(np.argmax(spread[1:] < 0))  # the last sample before neighbours have changed sides
        share = spread[k] / (spread[k] - spread[k + 1])
        locus.append(points[k] + share * (points[k + 1] - points[k]))
        for part, colour in ((slice(0, k + 1), BLUE), (slice(k, None), GREY)):
            x, y, z = points[part].T
            ax.plot(np.where(x < 0, -y, np.nan), z, color=colour, linewidth=0.8, alpha=0.8)
    ax.plot(*(np.array([*locus, locus[0]])[:, 1:] * [-1, 1]).T, color=VERMILION, linewidth=2.2)
    rim = np.linspace(0, 2 * np.pi, 201)
    ax.plot(np.cos(rim), FLAT * np.sin(rim), color=GREY, linewidth=1.2)
    ax.set_title("Ellipsoid, seen from behind")
    along = v[directions // 2]  # of an odd number, the one along the equator
    found = lnegeom.conjugate_point(metric, start, along, t_end=2.0)
    return {"along the equator": found.time, "theory": FLAT * np.pi}


def _side(velocities: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """On which side of a geodesic its neighbour is, and how far, ``(..., T)``."""
    return velocities[..., 0] * fields[..., 1] - velocities[..., 1] * fields[..., 0]


if __name__ == "__main__":
    print(draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")))
