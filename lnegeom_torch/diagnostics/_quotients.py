"""Confidence intervals for quotients of what pairs of samples estimate."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Samples", "covariances", "quotients"]

Matrix = NDArray[np.float64]


class Samples(NamedTuple):
    """What is needed of a layer's samples s of the smoothed gradient: products, (samples,) each, on the host.

    Attributes
    ----------
    along : Tensor
        ``g · s``, with the estimator's gradient g.
    others : Tensor
        ``s · Σ s'`` over all other samples.
    neighbours : Tensor
        ``s · s'`` with the sample before; one fewer.
    """

    along: Tensor
    others: Tensor
    neighbours: Tensor


def covariances(samples: Samples) -> tuple[Matrix, Matrix]:
    """Of the estimates of ``g · ∇`` and ``|∇|²``: all of it, and the part that is due to pairs of samples.

    The second estimate is a mean over pairs. Leaving out one sample at a time counts once what varies with
    single samples, and twice what varies with pairs alone (Efron & Stein 1981), which is most of it in a
    large layer: half of that is taken off, as much as the variance of single pairs says. What is left is a
    difference, and may come out smaller than the part.
    """
    count = len(samples.along)
    along, others, neighbours = (np.asarray(values) for values in samples)
    both = np.cov(along, 2 / (count - 2) * others) / count
    pair = max((np.var(neighbours, ddof=1) - count / 2 * both[1, 1]) / (1 - 2 / count), 0.0)
    pairs = np.diag([0.0, 2 * pair / count**2])
    return both - pairs, pairs


def quotients(
    top: float, bottom: float, slopes: Matrix, spreads: tuple[Matrix, Matrix], reach: float, least: float
) -> tuple[float, float]:
    """The interval from `least` to 1 of the quotients ρ that two estimates do not contradict, after Fieller.

    Those with ``(top − ρ bottom)² ≤ reach² var(top − ρ bottom)``, by the larger of the two variances. Where
    the bottom may be 0, it ends at `least` or 1.

    Parameters
    ----------
    top, bottom : float
        The estimates.
    slopes : array
        Their derivatives by what has the covariances, (2, 2).
    spreads : (array, array)
        From `covariances`.
    reach : float
        Quantile of Student's t.
    least : float
        Where quotients begin; −∞ is allowed.
    """
    held = []
    for spread in spreads:
        own = reach**2 * (slopes @ spread @ slopes.T)
        # a ρ² − 2 b ρ + c ≤ 0
        a, b, c = bottom**2 - own[1, 1], top * bottom - own[0, 1], top**2 - own[0, 0]
        if b * b >= a * c and a != 0:
            root = math.sqrt(b * b - a * c)
            held += [end for end in ((b - root) / a, (b + root) / a) if least <= end <= 1]
        for end in (least, 1.0):
            below = a < 0 if math.isinf(end) else a * end**2 - 2 * b * end + c <= 0
            held += [end] if below else []
    nearest = min(max(top / bottom, least), 1.0)
    return min(held, default=nearest), max(held, default=nearest)
