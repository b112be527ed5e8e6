"""The laws of metrics, connections and curvature, as equations between numbers of `lnegeom.testing._measure`.

`measure` evaluates on arrays of any library all that the laws speak of; each law then looks at the numbers,
with formulas of its own. Derivatives along the chart are `lnegeom.derivatives`': automatic for torch and JAX,
differences for the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lnegeom.metrics import Metric
from lnegeom.testing._law import Law, Numbers, Pair, applying
from lnegeom.testing._measure import measure
from lnegeom.testing._report import hold, named

__all__ = ["LAWS", "check", "measure"]


def symmetric(m: Any) -> Iterator[Pair]:
    """g_ij = g_ji and Ric_ij = Ric_ji."""
    yield m["matrix"], np.swapaxes(m["matrix"], -1, -2), smaller(m["matrix"])
    yield m["ricci"], np.swapaxes(m["ricci"], -1, -2)


def of_its_signature(m: Any) -> Iterator[Pair]:
    """The matrix has as many positive and negative eigenvalues as its signature says."""
    eigenvalues = np.linalg.eigvalsh(m["matrix"])
    for sign, count in zip((1, -1), m["signature"], strict=True):
        if count is not None:
            yield np.sum(sign * eigenvalues > 0, axis=-1), np.full(len(eigenvalues), count)


def inverse_and_determinant(m: Any) -> Iterator[Pair]:
    """The inverse times g is δ, and logdet is log |det g|."""
    g = m["matrix"]
    yield g @ m["inverse"], np.broadcast_to(np.eye(g.shape[-1]), g.shape)
    yield m["logdet"], np.linalg.slogdet(g)[1]


def musical(m: Any) -> Iterator[Pair]:
    """Vectors: flat(v) = g v, sharp(flat(v)) = v, inner(v, w) = g(v, w)."""
    low = smaller(m["matrix"])
    yield m["flat"], np.einsum("...ij,...j->...i", m["matrix"], m["v"]), low
    yield m["sharp of flat"], np.broadcast_to(m["v"], m["flat"].shape)
    yield m["inner"], np.einsum("...i,...i->...", m["flat"], m["w"]), low
    yield m["inner"], np.einsum("...ij,...i,...j->...", m["matrix"], m["v"], m["w"])


def length(m: Any) -> Iterator[Pair]:
    """The norm squared is g(v, v)."""
    yield m["norm"] ** 2, np.einsum("...i,...i->...", m["flat"], m["v"]), smaller(m["matrix"])


def without_torsion(m: Any) -> Iterator[Pair]:
    """Γ^k_ij = Γ^k_ji, and christoffel_apply is their contraction."""
    gamma = m["christoffel"]
    yield gamma, np.swapaxes(gamma, -1, -2)
    yield m["christoffel_apply"], np.einsum("...kij,...i,...j->...k", gamma, m["v"], m["w"])


def lowered(m: Any) -> Iterator[Pair]:
    """With their indices down, symbols and Riemann tensor are g times what they are."""
    yield m["lowered christoffel"], np.einsum("...kl,...lij->...kij", m["matrix"], m["christoffel"])
    yield m["lowered riemann"], down(m)


def down(m: Any) -> Numbers:
    """The Riemann tensor with its indices down."""
    return np.asarray(np.einsum("...ra,...asmv->...rsmv", m["matrix"], m["riemann"]))


def parallel_metric(m: Any) -> Iterator[Pair]:
    """∇_a g_ij = 0."""
    found = covariant(m, "matrix", m["matrix"])
    yield found, np.zeros_like(found), smaller(m["matrix"])[: len(found)]


def riemann_symmetries(m: Any) -> Iterator[Pair]:
    """R_rsmv = −R_srmv = R_mvrs."""
    low = down(m)
    yield low, -np.einsum("...rsmv->...srmv", low)
    yield low, np.einsum("...rsmv->...mvrs", low)


def first_bianchi(m: Any) -> Iterator[Pair]:
    """R_rsmv + R_rmvs + R_rvsm = 0."""
    low = down(m)
    yield low + np.einsum("...rsmv->...rmvs", low), -np.einsum("...rsmv->...rvsm", low)


def second_bianchi(m: Any) -> Iterator[Pair]:
    """∇_a R_rsmv, cyclic in a, m, v, vanishes."""
    slope = covariant(m, "riemann", down(m))
    size = np.maximum(smaller(m["matrix"])[: len(slope)], np.max(np.abs(slope), axis=(1, 2, 3, 4, 5)))
    cyclic = slope + np.einsum("...jmkli->...ijklm", slope) + np.einsum("...miklj->...ijklm", slope)
    yield cyclic, np.zeros_like(cyclic), size


def contractions(m: Any) -> Iterator[Pair]:
    """Ric_sv = R^r_srv, R = g^sv Ric_sv, and ricci_apply is Ric v."""
    ricci = np.einsum("...rsrv->...sv", m["riemann"])
    yield m["ricci"], ricci
    yield m["ricci_apply"], np.einsum("...ij,...j->...i", ricci, m["v"])
    scalar = np.einsum("...sv,...sv->...", m["inverse"], ricci)
    yield m["scalar_curvature"], scalar, smaller(m["inverse"])


def compositions(m: Any) -> Iterator[Pair]:
    """Einstein and Kretschmann are what they are of Ricci and Riemann."""
    scalar = np.einsum("...sv,...sv->...", m["inverse"], m["ricci"])
    yield m["einstein"], m["ricci"] - scalar[..., None, None] * m["matrix"] / 2
    up = np.einsum("...ia,...abcd->...ibcd", m["inverse"], down(m))
    up = np.einsum("...jb,...kc,...ld,...ibcd->...ijkl", *[m["inverse"]] * 3, up)
    yield m["kretschmann"], np.einsum("...ijkl,...ijkl->...", down(m), up)


def sectional(m: Any) -> Iterator[Pair]:
    """K(u, v) (|u|² |v|² − ⟨u, v⟩²) = R(u, v, u, v)."""
    g, u, v = m["matrix"], m["v"], m["w"]
    uu, vv, uv = (np.einsum("...ij,...i,...j->...", g, a, b) for a, b in ((u, u), (v, v), (u, v)))
    numerator = np.einsum("...ijkl,...i,...j,...k,...l->...", down(m), u, v, u, v)
    yield m["sectional"] * (uu * vv - uv**2), numerator


def isometry_invariant(m: Any) -> Iterator[Pair]:
    """R_rsmv at the first point, from the matrix alone in other coordinates, transforms as a tensor."""
    expected = down(m)[0]
    for _ in range(4):
        expected = np.moveaxis(np.tensordot(m["a"], expected, axes=(0, 0)), 0, -1)
    yield m["riemann elsewhere"], expected[None], smaller(m["matrix"])[:1]


def weyl_is_trace_free(m: Any) -> Iterator[Pair]:
    """Traces of the Weyl tensor vanish: g^ik C_ijkl = 0."""
    w = m["weyl"]
    yield np.einsum("...ik,...ijkl->...jl", m["inverse"], w), np.zeros_like(m["matrix"])


def weyl_conformally_invariant(m: Any) -> Iterator[Pair]:
    """C^i_jkl of e^{2f} g is that of g."""
    # g and e^{2f} g: with one index up the tensors agree, so with all down they differ by that factor.
    factor = np.cosh(0.7 * m["x"]).prod(axis=-1) ** (2 / 0.7**2)
    yield m["scaled weyl"], factor[..., None, None, None, None] * m["weyl"]


def covariant(m: Any, name: str, tensor: Numbers) -> Numbers:
    """``∇_a T``, a last, of a tensor with all indices down, from the slopes of its components."""
    slope = m[f"slope of {name}"]  # of the first few points
    return np.stack([_covariant(*at) for at in zip(m["christoffel"], slope, tensor, strict=False)])


def _covariant(gamma: Numbers, slope: Numbers, tensor: Numbers) -> Numbers:
    for axis in range(tensor.ndim):
        term = np.tensordot(gamma, np.moveaxis(tensor, axis, 0), axes=(0, 0))  # Γ^c_ai T_…c…: (a, i, …)
        slope = slope - np.moveaxis(np.moveaxis(term, 0, -1), 0, axis)
    return slope


def smaller(tensor: Numbers) -> Numbers:
    """The size ``(B,)`` of tensors, or 1 where that is less: what counts as small in their units."""
    return np.asarray(np.minimum(1.0, np.max(np.abs(tensor), axis=tuple(range(1, tensor.ndim)))))


def no_weyl(metric: Metric, n: int) -> str | None:
    """Why there is no Weyl tensor to speak of."""
    return "at n = 3 the Weyl tensor vanishes, below there is none" if n < 4 else None


def no_length(metric: Metric, n: int) -> str | None:
    """Why vectors have no length."""
    return "indefinite: vectors have no length" if metric.signature[1] else None


def no_planes(metric: Metric, n: int) -> str | None:
    """Why there is no sectional curvature."""
    return "a line has no planes" if n < 2 else None


LAWS = {
    "symmetric": Law(symmetric, "`_matrix` or `_ricci` fills one triangle otherwise than the other"),
    "of its signature": Law(
        of_its_signature, "points where g degenerates are let in by `_local`, or `signature` is wrong"
    ),
    "inverse and determinant": Law(
        inverse_and_determinant, "the closed form of `_inverse` or `_logdet` is not that of `_matrix`"
    ),
    "musical": Law(musical, "the closed form of `_flat` or `_sharp` is not that of `_matrix` or `_inverse`"),
    "length": Law(length, "`norm` is overridden, or `_flat` is not linear", no_length),
    "without torsion": Law(
        without_torsion,
        "a term of `_christoffel` lacks its mirror image in i and j, or `_christoffel_apply` is not its "
        "contraction",
        error="christoffel error",
    ),
    "lowered": Law(
        lowered,
        "`_matrix` is not what `_christoffel` or `_riemann` were made with",
        error="curvature error",
    ),
    "parallel metric": Law(
        parallel_metric,
        "the closed form of `_christoffel` disagrees with the derivatives of `_matrix`: a sign, a factor ½, "
        "or k not first",
        slopes=True,
        error="slope error of matrix",
    ),
    "Riemann's symmetries": Law(
        riemann_symmetries,
        "a term of `_riemann` is missing, or its indices are stored in another order",
        error="curvature error",
    ),
    "first Bianchi": Law(
        first_bianchi,
        "a term of `_riemann` is missing, or its connection has torsion",
        error="curvature error",
    ),
    "second Bianchi": Law(
        second_bianchi,
        "`_riemann` is right only where it was derived (at a centre, say), or belongs to another connection",
        slopes=True,
        error="slope error of riemann",
    ),
    "contractions": Law(
        contractions,
        "the closed form of `_ricci`, `_ricci_apply` or `_scalar_curvature` has another sign, factor or "
        "order of indices than `_riemann`: the trace is over its first and third index",
        error="curvature error",
    ),
    "compositions": Law(compositions, "`_ricci` is not the trace of `_riemann`", error="curvature error"),
    "sectional": Law(
        sectional,
        "`_riemann` or `_inner` is not of this metric",
        no_planes,
        error="curvature error",
    ),
    "isometry invariant": Law(
        isometry_invariant,
        "the closed form of `_riemann` disagrees with the second derivatives of `_matrix`: a sign or a "
        "factor, or terms that vanish in the coordinates where it was derived",
        slopes=True,
        error="elsewhere error",
    ),
    "Weyl trace-free": Law(
        weyl_is_trace_free, "`_ricci` is not the trace of `_riemann`", no_weyl, error="curvature error"
    ),
    "Weyl conformally invariant": Law(
        weyl_conformally_invariant,
        "`_inverse` or `_christoffel` is not that of `_matrix`",
        no_weyl,
        error="curvature error",
    ),
}


def check(
    metric: Metric,
    n: int,
    measured: Mapping[str, Numbers],
    tolerance: float,
    automatic: bool,
    laws: Mapping[str, Law] | None = None,
) -> None:
    """Hold numbers that `measure` gave to every law that applies, or raise a LawError.

    `automatic` says whether derivatives along the chart are automatic, and not differences.
    """
    by_differences = max(tolerance, 1e-8)
    hold(
        named(metric),
        applying(laws or LAWS, metric, n),
        dict(measured) | {"signature": metric.signature},
        lambda law: (by_differences if law.slopes and not automatic else tolerance, 0.0),
        measured["x"],
    )
