"""The laws of metrics, connections and curvature, listed once: held on every metric and every backend.

`measure` evaluates on arrays of any library all that the laws speak of; each law then looks at the numbers,
with formulas of its own. Derivatives along the chart are the library's under test: automatic for torch and
JAX, differences for the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

import array_api_compat
import numpy as np

import lnegeom
from lnegeom.derivatives import jet


def measure(metric, n):
    """What the laws speak of, as a function of points, two vectors, and the jet of new coordinates."""
    negative = metric.signature[1]
    scaled = lnegeom.Conformal(lnegeom.LogCosh(0.7), metric)

    def lowered_riemann(x):
        return lnegeom.riemann(metric, x, lowered=True)

    def evaluate(x, v, w, a, b):
        flat = metric.flat(x, v)
        found = {"x": x, "v": v, "w": w, "a": a, "flat": flat, "sharp of flat": metric.sharp(x, flat)}
        for name in ("matrix", "inverse", "logdet", "christoffel", "riemann", "ricci", "scalar_curvature"):
            found[name] = getattr(metric, name)(x)
        found["lowered christoffel"] = lnegeom.christoffel(metric, x, lowered=True)
        found["lowered riemann"] = lowered_riemann(x)
        found["christoffel_apply"] = metric.christoffel_apply(x, v, w)
        found["ricci_apply"] = metric.ricci_apply(x, v)
        found["inner"] = metric.inner(x, v, w)
        found["einstein"], found["kretschmann"] = lnegeom.einstein(metric, x), lnegeom.kretschmann(metric, x)
        if not negative:
            found["norm"] = metric.norm(x, v)
        if n > 1:
            found["sectional"] = lnegeom.sectional_curvature(metric, x, v, w)
        if n > 2:
            found["weyl"] = lnegeom.weyl(metric, x)
        if n > 3:
            found["scaled weyl"], found["scaled matrix"] = lnegeom.weyl(scaled, x), scaled.matrix(x)
        for name, tensor in (("matrix", metric.matrix), ("riemann", lowered_riemann)):
            found[f"slope of {name}"] = jet(tensor, x[:1, :], vectorized=True, order=1).first
        return found | {"riemann elsewhere": elsewhere(metric, n, x[0, :], a, b)}

    return evaluate


def elsewhere(metric, n, x, a, b):
    """Curvature at the origin of new coordinates y, ``x = x₀ + A y + ½ B(y, y)``."""

    def pulled(y):
        xp = array_api_compat.array_namespace(y)
        bend = b @ y
        jacobian = a + bend
        return xp.matrix_transpose(jacobian) @ metric.matrix(x + a @ y + bend @ y / 2) @ jacobian

    there = lnegeom.FromCallable(pulled, n, negative=metric.signature[1])
    return lnegeom.riemann(there, 0 * x, lowered=True)


@dataclass(frozen=True)
class Law:
    """`defects` yields pairs that should be equal; `unless` says why a metric of dimension n needs not obey.

    `slopes`: whether it speaks of derivatives along the chart, which differences give to some nine digits.
    """

    defects: Callable
    unless: Callable = lambda metric, n: None
    slopes: bool = False


def symmetric(m):
    yield m["matrix"], np.swapaxes(m["matrix"], -1, -2)
    yield m["ricci"], np.swapaxes(m["ricci"], -1, -2)


def of_its_signature(m):
    negative = np.sum(np.linalg.eigvalsh(m["matrix"]) < 0, axis=-1)
    yield negative, np.full_like(negative, m["negative"])


def inverse_and_determinant(m):
    g = m["matrix"]
    yield g @ m["inverse"], np.broadcast_to(np.eye(g.shape[-1]), g.shape)
    yield m["logdet"], np.linalg.slogdet(g)[1]


def musical(m):
    yield m["flat"], np.einsum("...ij,...j->...i", m["matrix"], m["v"])
    yield m["sharp of flat"], np.broadcast_to(m["v"], m["flat"].shape)
    yield m["inner"], np.einsum("...ij,...i,...j->...", m["matrix"], m["v"], m["w"])


def length(m):
    yield m["norm"] ** 2, np.einsum("...i,...i->...", m["flat"], m["v"])


def without_torsion(m):
    gamma = m["christoffel"]
    yield gamma, np.swapaxes(gamma, -1, -2)
    yield m["lowered christoffel"], np.einsum("...kl,...lij->...kij", m["matrix"], gamma)
    yield m["christoffel_apply"], np.einsum("...kij,...i,...j->...k", gamma, m["v"], m["w"])


def parallel_metric(m):
    yield covariant(m, "matrix", m["matrix"]), np.zeros_like(m["slope of matrix"])


def riemann_symmetries(m):
    low = m["lowered riemann"]
    yield low, np.einsum("...ra,...asmv->...rsmv", m["matrix"], m["riemann"])
    yield low, -np.einsum("...rsmv->...srmv", low)
    yield low, np.einsum("...rsmv->...mvrs", low)


def first_bianchi(m):
    low = m["lowered riemann"]
    yield low + np.einsum("...rsmv->...rmvs", low), -np.einsum("...rsmv->...rvsm", low)


def second_bianchi(m):
    slope = covariant(m, "riemann", m["lowered riemann"])
    size = max(1.0, np.max(np.abs(slope)))
    cyclic = slope + np.einsum("...jmkli->...ijklm", slope) + np.einsum("...miklj->...ijklm", slope)
    yield cyclic / size, np.zeros_like(cyclic)


def contractions(m):
    ricci = np.einsum("...rsrv->...sv", m["riemann"])
    yield m["ricci"], ricci
    yield m["ricci_apply"], np.einsum("...ij,...j->...i", ricci, m["v"])
    scalar = np.einsum("...sv,...sv->...", m["inverse"], ricci)
    yield m["scalar_curvature"], scalar
    yield m["einstein"], ricci - scalar[..., None, None] * m["matrix"] / 2
    up = np.einsum("...ia,...abcd->...ibcd", m["inverse"], m["lowered riemann"])
    up = np.einsum("...jb,...kc,...ld,...ibcd->...ijkl", *[m["inverse"]] * 3, up)
    yield m["kretschmann"], np.einsum("...ijkl,...ijkl->...", m["lowered riemann"], up)


def sectional(m):
    g, u, v = m["matrix"], m["v"], m["w"]
    uu, vv, uv = (np.einsum("...ij,...i,...j->...", g, a, b) for a, b in ((u, u), (v, v), (u, v)))
    numerator = np.einsum("...ijkl,...i,...j,...k,...l->...", m["lowered riemann"], u, v, u, v)
    yield m["sectional"] * (uu * vv - uv**2), numerator


def isometry_invariant(m):
    expected = m["lowered riemann"][0]
    for _ in range(4):
        expected = np.moveaxis(np.tensordot(m["a"], expected, axes=(0, 0)), 0, -1)
    yield m["riemann elsewhere"], expected


def weyl_is_trace_free(m):
    w = m["weyl"]
    yield np.einsum("...ik,...ijkl->...jl", m["inverse"], w), np.zeros_like(m["matrix"])
    if w.shape[-1] == 3:
        yield w, np.zeros_like(w)


def weyl_conformally_invariant(m):
    own, scaled = (
        np.einsum("...ia,...ajkl->...ijkl", np.linalg.inv(m[f"{kind}matrix"]), m[f"{kind}weyl"])
        for kind in ("", "scaled ")
    )
    yield scaled, own


def covariant(m, name, tensor):
    """``∇_a T``, a last, of a tensor with all indices down, from the slopes of its components."""
    return np.stack(
        [_covariant(*at) for at in zip(m["christoffel"][:1], m[f"slope of {name}"], tensor[:1], strict=True)]
    )


def _covariant(gamma, slope, tensor):
    for axis in range(tensor.ndim):
        term = np.tensordot(gamma, np.moveaxis(tensor, axis, 0), axes=(0, 0))  # Γ^c_ai T_…c…: (a, i, …)
        slope = slope - np.moveaxis(np.moveaxis(term, 0, -1), 0, axis)
    return slope


LAWS = {
    "symmetric": Law(symmetric),
    "of its signature": Law(of_its_signature),
    "inverse and determinant": Law(inverse_and_determinant),
    "musical": Law(musical),
    "length": Law(
        length, lambda metric, n: "indefinite: vectors have no length" if metric.signature[1] else None
    ),
    "without torsion": Law(without_torsion),
    "parallel metric": Law(parallel_metric, slopes=True),
    "Riemann's symmetries": Law(riemann_symmetries),
    "first Bianchi": Law(first_bianchi),
    "second Bianchi": Law(second_bianchi, slopes=True),
    "contractions": Law(contractions),
    "sectional": Law(sectional, lambda metric, n: "a line has no planes" if n < 2 else None),
    "isometry invariant": Law(isometry_invariant, slopes=True),
    "Weyl trace-free": Law(weyl_is_trace_free, lambda metric, n: "defined from n = 3 on" if n < 3 else None),
    "Weyl conformally invariant": Law(
        weyl_conformally_invariant,
        lambda metric, n: "at n = 3 it vanishes, below there is none" if n < 4 else None,
    ),
}


def check(metric, n, measured, tolerance, automatic, laws=None):
    """Hold numbers to every law that applies, with a tolerance next to the larger of 1 and its terms.

    `automatic` says whether derivatives along the chart are automatic, and not differences.
    """
    measured = measured | {"negative": metric.signature[1]}
    for name, law in (laws or LAWS).items():
        if law.unless(metric, n) is None:
            relative = max(tolerance, 1e-8) if law.slopes and not automatic else tolerance
            for found, expected in law.defects(measured):
                allowed = relative * max(1.0, np.max(np.abs(expected)))
                np.testing.assert_allclose(found, expected, rtol=relative, atol=allowed, err_msg=name)
