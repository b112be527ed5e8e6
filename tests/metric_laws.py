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


def measure(metric, n, lean=False):
    """What the laws speak of, as a function of points, two vectors, and the jet of new coordinates.

    A `lean` one leaves out what is made of the rest by contractions alone, for compilers.
    """

    def evaluate(x, v, w, a, b):
        flat = metric.flat(x, v)
        found = {"x": x, "v": v, "w": w, "a": a, "flat": flat, "sharp of flat": metric.sharp(x, flat)}
        for name in ("matrix", "inverse", "logdet", "christoffel", "riemann", "ricci", "scalar_curvature"):
            found[name] = getattr(metric, name)(x)
        found["christoffel_apply"] = metric.christoffel_apply(x, v, w)
        found["ricci_apply"] = metric.ricci_apply(x, v)
        found["inner"] = metric.inner(x, v, w)
        if not metric.signature[1]:
            found["norm"] = metric.norm(x, v)
        if not lean:
            found |= contracted(metric, n, x, v, w)
        if n > 3:
            scaled = lnegeom.Conformal(lnegeom.LogCosh(0.7), metric)
            found["weyl"], found["scaled weyl"] = lnegeom.weyl(metric, x), lnegeom.weyl(scaled, x)
        found |= slopes(metric, x[:1, :])
        return found | {"riemann elsewhere": elsewhere(metric, n, x[0, :], a, b)}

    return evaluate


def contracted(metric, n, x, v, w):
    """Functions of `lnegeom.curvature` that are contractions."""
    found = {
        "lowered christoffel": lnegeom.christoffel(metric, x, lowered=True),
        "lowered riemann": lnegeom.riemann(metric, x, lowered=True),
        "einstein": lnegeom.einstein(metric, x),
        "kretschmann": lnegeom.kretschmann(metric, x),
    }
    return found | ({"sectional": lnegeom.sectional_curvature(metric, x, v, w)} if n > 1 else {})


def slopes(metric, x):
    """Derivatives of the metric and of the Riemann tensor with its indices down, from one jet of both."""
    n = x.shape[-1]

    def both(y):
        xp = array_api_compat.array_namespace(y)
        parts = metric.matrix(y), lnegeom.riemann(metric, y, lowered=True)
        return xp.concat([xp.reshape(part, (y.shape[0], -1)) for part in parts], axis=-1)

    xp = array_api_compat.array_namespace(x)
    first = jet(both, x, vectorized=True, order=1).first
    return {
        "slope of matrix": xp.reshape(first[:, : n**2, :], (-1, n, n, n)),
        "slope of riemann": xp.reshape(first[:, n**2 :, :], (-1, n, n, n, n, n)),
    }


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
    `contraction`: whether it speaks of what a lean measure leaves out.
    """

    defects: Callable
    unless: Callable = lambda metric, n: None
    slopes: bool = False
    contraction: bool = False


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
    yield m["christoffel_apply"], np.einsum("...kij,...i,...j->...k", gamma, m["v"], m["w"])


def lowered(m):
    yield m["lowered christoffel"], np.einsum("...kl,...lij->...kij", m["matrix"], m["christoffel"])
    yield m["lowered riemann"], down(m)


def down(m):
    """The Riemann tensor with its indices down."""
    return np.einsum("...ra,...asmv->...rsmv", m["matrix"], m["riemann"])


def parallel_metric(m):
    yield covariant(m, "matrix", m["matrix"]), np.zeros_like(m["slope of matrix"])


def riemann_symmetries(m):
    low = down(m)
    yield low, -np.einsum("...rsmv->...srmv", low)
    yield low, np.einsum("...rsmv->...mvrs", low)


def first_bianchi(m):
    low = down(m)
    yield low + np.einsum("...rsmv->...rmvs", low), -np.einsum("...rsmv->...rvsm", low)


def second_bianchi(m):
    slope = covariant(m, "riemann", down(m))
    size = max(1.0, np.max(np.abs(slope)))
    cyclic = slope + np.einsum("...jmkli->...ijklm", slope) + np.einsum("...miklj->...ijklm", slope)
    yield cyclic / size, np.zeros_like(cyclic)


def contractions(m):
    ricci = np.einsum("...rsrv->...sv", m["riemann"])
    yield m["ricci"], ricci
    yield m["ricci_apply"], np.einsum("...ij,...j->...i", ricci, m["v"])
    scalar = np.einsum("...sv,...sv->...", m["inverse"], ricci)
    yield m["scalar_curvature"], scalar


def compositions(m):
    scalar = np.einsum("...sv,...sv->...", m["inverse"], m["ricci"])
    yield m["einstein"], m["ricci"] - scalar[..., None, None] * m["matrix"] / 2
    up = np.einsum("...ia,...abcd->...ibcd", m["inverse"], down(m))
    up = np.einsum("...jb,...kc,...ld,...ibcd->...ijkl", *[m["inverse"]] * 3, up)
    yield m["kretschmann"], np.einsum("...ijkl,...ijkl->...", down(m), up)


def sectional(m):
    g, u, v = m["matrix"], m["v"], m["w"]
    uu, vv, uv = (np.einsum("...ij,...i,...j->...", g, a, b) for a, b in ((u, u), (v, v), (u, v)))
    numerator = np.einsum("...ijkl,...i,...j,...k,...l->...", down(m), u, v, u, v)
    yield m["sectional"] * (uu * vv - uv**2), numerator


def isometry_invariant(m):
    expected = down(m)[0]
    for _ in range(4):
        expected = np.moveaxis(np.tensordot(m["a"], expected, axes=(0, 0)), 0, -1)
    yield m["riemann elsewhere"], expected


def weyl_is_trace_free(m):
    w = m["weyl"]
    yield np.einsum("...ik,...ijkl->...jl", m["inverse"], w), np.zeros_like(m["matrix"])


def weyl_conformally_invariant(m):
    # g and e^{2f} g: with one index up the tensors agree, so with all down they differ by that factor.
    factor = np.cosh(0.7 * m["x"]).prod(axis=-1) ** (2 / 0.7**2)
    yield m["scaled weyl"], factor[..., None, None, None, None] * m["weyl"]


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


def without_weyl(metric, n):
    return "at n = 3 the Weyl tensor vanishes, below there is none" if n < 4 else None


LAWS = {
    "symmetric": Law(symmetric),
    "of its signature": Law(of_its_signature),
    "inverse and determinant": Law(inverse_and_determinant),
    "musical": Law(musical),
    "length": Law(
        length, lambda metric, n: "indefinite: vectors have no length" if metric.signature[1] else None
    ),
    "without torsion": Law(without_torsion),
    "lowered": Law(lowered, contraction=True),
    "parallel metric": Law(parallel_metric, slopes=True),
    "Riemann's symmetries": Law(riemann_symmetries),
    "first Bianchi": Law(first_bianchi),
    "second Bianchi": Law(second_bianchi, slopes=True),
    "contractions": Law(contractions),
    "compositions": Law(compositions, contraction=True),
    "sectional": Law(
        sectional, lambda metric, n: "a line has no planes" if n < 2 else None, contraction=True
    ),
    "isometry invariant": Law(isometry_invariant, slopes=True),
    "Weyl trace-free": Law(weyl_is_trace_free, without_weyl),
    "Weyl conformally invariant": Law(weyl_conformally_invariant, without_weyl),
}


def check(metric, n, measured, tolerance, automatic, laws=None):
    """Hold numbers to every law that applies, with a tolerance next to the larger of 1 and its terms.

    `automatic` says whether derivatives along the chart are automatic, and not differences.
    """
    measured = measured | {"negative": metric.signature[1]}
    for name, law in (laws or LAWS).items():
        left_out = law.contraction and "einstein" not in measured
        if law.unless(metric, n) is None and not left_out:
            relative = max(tolerance, 1e-8) if law.slopes and not automatic else tolerance
            for found, expected in law.defects(measured):
                allowed = relative * max(1.0, np.max(np.abs(expected)))
                np.testing.assert_allclose(found, expected, rtol=relative, atol=allowed, err_msg=name)
