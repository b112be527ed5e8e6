"""What the laws of metrics speak of, each number under its name, computed when a law asks for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

import lnegeom
from lnegeom._array import Array, from_numpy, matvec, row_sum
from lnegeom.derivatives import Jet, jet
from lnegeom.metrics import Conformal, FromCallable, Metric
from lnegeom.testing._check import Measures

FIELDS = ("matrix", "inverse", "logdet", "christoffel", "riemann", "ricci", "scalar_curvature")
REACH = 0.2  # of geodesics: where there is one logarithm, unless curvature is large
TIME = 0.7  # on the way, where no term vanishes
CONTRACTED = ("lowered christoffel", "lowered riemann", "einstein", "kretschmann")


class Measured(Measures):
    """Numbers of a metric at points x ``(B, n)``, with vectors v and w there and a change of coordinates.

    New coordinates y have the jet ``x = x₀ + A y + ½ B(y, y)`` at the first point. What speaks of derivatives
    along the chart is for the first `few` points.
    """

    def __init__(self, metric: Metric, x: Array, v: Array, w: Array, a: Array, b: Array, few: int = 1):
        super().__init__(metric, QUANTITIES, x=x, v=v, w=w, a=a, b=b)
        self.metric = metric
        self.few = few

    def __getitem__(self, name: str) -> Any:
        return self.metric.signature if name == "signature" else super().__getitem__(name)


def measure(metric: Metric, n: int) -> Callable[..., dict[str, Array]]:
    """All that the laws of `_tensor_laws` speak of, as a function of x, v, w, A and B."""
    names = [*"xvwa", *FIELDS, "flat", "sharp of flat", "christoffel_apply", "ricci_apply", "inner"]
    names += [] if metric.signature[1] else ["norm"]
    names += [*CONTRACTED, *(["sectional"] if n > 1 else [])]
    names += ["weyl", "scaled weyl"] if n > 3 else []
    names += ["slope of matrix", "slope of riemann", "riemann elsewhere"]

    def evaluate(*arrays: Array) -> dict[str, Array]:
        measured = Measured(metric, *arrays)
        return {name: measured.native(name) for name in names}

    return evaluate


def _of_points(name: str, m: Measured) -> Array:
    return getattr(m.metric, name)(m.native("x"))


def _of_vectors(name: str, vectors: str, m: Measured) -> Array:
    return getattr(m.metric, name)(m.native("x"), *(m.native(v) for v in vectors))


def _of_curvature(name: str, m: Measured, **options: bool) -> Array:
    return getattr(lnegeom, name)(m.metric, m.native("x"), **options)


def _scaled_weyl(m: Measured) -> Array:
    scaled = lnegeom.Conformal(lnegeom.LogCosh(0.7), m.metric)
    return lnegeom.weyl(scaled, m.native("x"))


def _jet_of(function: Callable[[Array], Array], m: Measured) -> Jet:
    return jet(function, m.native("x")[: m.few, :], vectorized=True, order=1)


def _matrix_jet(m: Measured) -> Jet:
    return _jet_of(m.metric.matrix, m)


def _riemann_jet(m: Measured) -> Jet:
    return _jet_of(lambda y: lnegeom.riemann(m.metric, y, lowered=True), m)


def _christoffel_jet(m: Measured) -> Jet:
    return _jet_of(m.metric.christoffel, m)


def _first(name: str, m: Measured) -> Array:
    return m.native(name).first


def _metric_elsewhere(m: Measured) -> FromCallable:
    """The metric in the new coordinates."""
    x, a, b = m.native("x")[:1, :], m.native("a"), m.native("b")

    def pulled(y: Array) -> Array:
        xp = array_api_compat.array_namespace(y)
        bend = (b @ y[..., None, :, None])[..., 0]  # B^k_ij y^j
        jacobian = a + bend
        point = x[0, :] + matvec(a + bend / 2, y)
        return xp.matrix_transpose(jacobian) @ m.metric.matrix(point) @ jacobian

    negative = m.metric.signature[1]
    return FromCallable(pulled, x.shape[-1], negative=negative, vectorized=True)


def _elsewhere(m: Measured) -> Array:
    """Curvature at the origin of the new coordinates, ``(1, r, s, m, v)``."""
    return lnegeom.riemann(m.native("metric elsewhere"), 0 * m.native("x")[:1, :], lowered=True)


def _velocity(m: Measured) -> Array:
    """The vector v, cut to where a logarithm reaches: its length and its entries are at most `REACH`."""
    v, size = m.native("v"), np.abs(m["v"]).max(axis=-1)
    if not m.metric.signature[1]:
        size = np.maximum(size, m["norm"])
    return v * from_numpy(REACH / size[:, None], v)


def _along(time: float, carried: bool, m: Measured) -> Jet:
    """The jet at a time of the geodesics with these velocities, or of the vector w carried along them."""
    x, v, w = m.native("x"), m.native("velocity"), m.native("w")

    def path(t: Array) -> Array:  # (..., 1) to (..., B, n)
        step = t[..., None] * v
        return lnegeom.parallel_transport(m.metric, x, step, w) if carried else lnegeom.exp(m.metric, x, step)

    # By differences, which every library's geodesics bear.
    return jet(path, from_numpy([time], x), vectorized=True, derivatives="finite")


# Estimated errors that differences leave, 0.0 where there are none.


def _christoffel_error(m: Measured) -> float:
    x = m.native("x")
    return float(m.metric._christoffel_error(array_api_compat.array_namespace(x), x))


def _curvature_error(m: Measured) -> float:
    error = jet_error(m.metric, m.native("x"))
    inverse = m.native("inverse")
    return error * (1 + row_sum(array_api_compat.array_namespace(inverse), inverse)) if error else 0.0


def jet_error(metric: Metric, x: Array) -> float:
    """The largest error that the second derivatives behind a metric tell of."""
    tell = getattr(metric, "derivatives_at", None)
    found = tell(x) if tell else None
    jets = found if isinstance(found, tuple) else (found,)
    inner = jet_error(metric.base, x) if isinstance(metric, Conformal) else 0.0
    return max(inner, *(0.0 if one is None else float(one.error) for one in jets))


def _slope_error(name: str, m: Measured) -> float:
    connection = float(np.max(np.abs(m["christoffel"])))
    return float(m.native(name).error + (1 + connection) * m.native("curvature error"))


def _path_error(m: Measured) -> float:
    return max(float(m.native(name).error) for name in ("path at first", "path", "carried"))


def _elsewhere_error(m: Measured) -> float:
    there, origin = m.native("metric elsewhere"), 0 * m.native("x")[:1, :]
    return jet_error(there, origin) + float(m.native("curvature error"))


QUANTITIES: dict[str, Callable[[Measured], Any]] = {
    **{name: partial(_of_points, name) for name in FIELDS},
    "flat": partial(_of_vectors, "flat", "v"),
    "sharp of flat": lambda m: m.metric.sharp(m.native("x"), m.native("flat")),
    "inner": partial(_of_vectors, "inner", "vw"),
    "norm": partial(_of_vectors, "norm", "v"),
    "christoffel_apply": partial(_of_vectors, "christoffel_apply", "vw"),
    "ricci_apply": partial(_of_vectors, "ricci_apply", "v"),
    "lowered christoffel": partial(_of_curvature, "christoffel", lowered=True),
    "lowered riemann": partial(_of_curvature, "riemann", lowered=True),
    "einstein": partial(_of_curvature, "einstein"),
    "kretschmann": partial(_of_curvature, "kretschmann"),
    "sectional": lambda m: lnegeom.sectional_curvature(m.metric, m.native("x"), m.native("v"), m.native("w")),
    "weyl": partial(_of_curvature, "weyl"),
    "scaled weyl": _scaled_weyl,
    "matrix jet": _matrix_jet,
    "riemann jet": _riemann_jet,
    "christoffel jet": _christoffel_jet,
    "slope of matrix": partial(_first, "matrix jet"),
    "slope of riemann": partial(_first, "riemann jet"),
    "slope of christoffel": partial(_first, "christoffel jet"),
    "velocity": _velocity,
    "path at first": partial(_along, 0.0, False),
    "path": partial(_along, TIME, False),
    "carried": partial(_along, TIME, True),
    "metric elsewhere": _metric_elsewhere,
    "riemann elsewhere": _elsewhere,
    "christoffel error": _christoffel_error,
    "curvature error": _curvature_error,
    "slope error of matrix": partial(_slope_error, "matrix jet"),
    "slope error of riemann": partial(_slope_error, "riemann jet"),
    "slope error of christoffel": partial(_slope_error, "christoffel jet"),
    "path error": _path_error,
    "elsewhere error": _elsewhere_error,
}
