"""Laws of metrics that are no tensor equations: batches, dtypes, and geodesics in closed form."""

from __future__ import annotations

from collections.abc import Iterator

import array_api_compat
import numpy as np

import lnegeom
from lnegeom._array import to_numpy
from lnegeom.metrics import Metric
from lnegeom.testing._check import in_batches
from lnegeom.testing._law import Law, Pair
from lnegeom.testing._measure import FIELDS, Measured
from lnegeom.testing._tensor_laws import no_length, smaller

OF_A_VECTOR = ("flat", "sharp", "ricci_apply")


def batched(m: Measured) -> Iterator[Pair]:
    """A batch is its points one by one."""
    yield from in_batches(m.metric, FIELDS, m.native("x"))
    yield from in_batches(m.metric, OF_A_VECTOR, m.native("x"), m.native("v"))


def keeps_dtype(m: Measured) -> Iterator[Pair]:
    """Results at float32 points are float32."""
    xp = array_api_compat.array_namespace(m.native("x"))
    x, v = (xp.astype(m.native(name)[:1, :], xp.float32) for name in "xv")
    found = {name: getattr(m.metric, name)(x) for name in FIELDS}
    found |= {name: getattr(m.metric, name)(x, v) for name in OF_A_VECTOR}
    wrong = [f"{name} is {array.dtype}" for name, array in found.items() if array.dtype != xp.float32]
    if wrong:
        raise AssertionError(f"at float32 points {', '.join(wrong)}")
    yield from ()


def riemann_of_christoffel(m: Measured) -> Iterator[Pair]:
    """R^r_smv = ∂_m Γ^r_vs − ∂_v Γ^r_ms + Γ^r_ml Γ^l_vs − Γ^r_vl Γ^l_ms."""
    slope = m["slope of christoffel"]  # (..., r, v, s, m)
    gamma = m["christoffel"][: len(slope)]
    half = np.einsum("...rvsm->...rsmv", slope) + np.einsum("...rml,...lvs->...rsmv", gamma, gamma)
    yield m["riemann"][: len(slope)], half - np.swapaxes(half, -1, -2)


def geodesic_equation(m: Measured) -> Iterator[Pair]:
    """At time t, exp(x, tv) has started at x with velocity v, and γ'' = −Γ(γ', γ')."""
    start, later, speed = m.native("path at first"), m.native("path"), smaller(m["velocity"])
    yield to_numpy(start.value), m["x"]
    yield to_numpy(start.first[..., 0]), m["velocity"], speed
    pull = m.metric.christoffel_apply(later.value, later.first[..., 0], later.first[..., 0])
    yield to_numpy(later.second[..., 0, 0]), -to_numpy(pull), speed**2


def parallel_transport(m: Measured) -> Iterator[Pair]:
    """A vector w carried along γ starts as w, and w' = −Γ(γ', w)."""
    path, carried = m.native("path"), m.native("carried")
    x, w = m.native("x"), m.native("w")
    yield to_numpy(lnegeom.parallel_transport(m.metric, x, 0 * m.native("velocity"), w)), m["w"]
    pull = m.metric.christoffel_apply(path.value, path.first[..., 0], carried.value)
    yield to_numpy(carried.first[..., 0]), -to_numpy(pull), smaller(m["velocity"])


def log_inverts_exp(m: Measured) -> Iterator[Pair]:
    """The logarithm inverts exp: log(x, exp(x, v)) = v."""
    x, v = m.native("x"), m.native("velocity")
    yield (
        to_numpy(lnegeom.log(m.metric, x, lnegeom.exp(m.metric, x, v))),
        m["velocity"],
        smaller(m["velocity"]),
    )


def distance(m: Measured) -> Iterator[Pair]:
    """The distance from x to exp(x, v), and back, is the length of v."""
    x, v = m.native("x"), m.native("velocity")
    y = lnegeom.exp(m.metric, x, v)
    expected = to_numpy(m.metric.norm(x, v))
    yield to_numpy(lnegeom.distance(m.metric, x, y)), expected, np.minimum(1, expected)
    yield to_numpy(lnegeom.distance(m.metric, y, x)), expected, np.minimum(1, expected)


def integrated(metric: Metric, n: int) -> str | None:
    """Why geodesics are right if the Christoffel symbols are."""
    return None if metric.closed_form_geodesics else "its geodesics are integrated from `christoffel`"


LAWS = {
    "Riemann of Christoffel": Law(
        riemann_of_christoffel,
        "the closed form of `_riemann` disagrees with the derivatives of `_christoffel`: a sign, a factor, "
        "or the order of indices",
        slopes=True,
        error="slope error of christoffel",
    ),
    "batched": Law(
        batched,
        "a formula sums or indexes over a leading axis: write x[..., i], axis=-1, and `...` in einsum",
        error="curvature error",
    ),
    "keeps dtype": Law(
        keeps_dtype, "an array is made without dtype=x.dtype, or numpy is called where xp should be"
    ),
    "geodesic equation": Law(
        geodesic_equation,
        "`_exp` is the exponential map of another metric or chart",
        integrated,
        slopes=True,
        error="path error",
    ),
    "log inverts exp": Law(log_inverts_exp, "`_log` is not the inverse of `_exp`", integrated),
    "parallel transport": Law(
        parallel_transport,
        "`_transport` is that of another metric or chart",
        integrated,
        slopes=True,
        error="path error",
    ),
    "distance": Law(
        distance,
        "`_distance` or `_log` is off by a factor such as the radius",
        lambda metric, n: no_length(metric, n) or integrated(metric, n),
    ),
}
