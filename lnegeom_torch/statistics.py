"""What a comparison of methods rests on: paired differences with intervals, and calibration."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lnegeom import InputError

__all__ = ["Difference", "calibration_error", "paired_difference"]


class Difference(NamedTuple):
    """Mean of the paired differences, and half the width of its 95 % interval (None for one pair).

    `simultaneous` is half the width of the interval that holds together with those of the other comparisons:
    in 95 % of cases all true differences are inside.
    """

    mean: float
    half_width: float | None
    simultaneous: float | None

    def __str__(self) -> str:
        return f"{self.mean:+.2f}" + ("" if self.half_width is None else f" ± {self.half_width:.2f}")


def paired_difference(ours: Sequence[float], theirs: Sequence[float], comparisons: int = 1) -> Difference:
    """The mean difference of two methods over the same seeds, with Student's 95 % confidence interval.

    Parameters
    ----------
    ours, theirs : sequence of float
        Seed by seed.
    comparisons : int
        Number of comparisons made at once, over which the simultaneous interval divides its 5 % (Bonferroni).

    Raises
    ------
    InputError
        If the two differ in length, or are empty.

    Examples
    --------
    >>> str(paired_difference([97.0, 98.0, 98.0], [96.0, 97.5, 98.2]))
    '+0.43 ± 1.50'
    """
    if len(ours) != len(theirs) or not ours:
        raise InputError(f"expected pairs, got {len(ours)} and {len(theirs)} numbers")
    from scipy.special import stdtrit  # the quantile of Student's t

    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    count = len(differences)
    if count == 1:
        return Difference(differences[0], None, None)
    error = statistics.stdev(differences) / math.sqrt(count)
    widths = (float(stdtrit(count - 1, 1 - 0.025 / several)) * error for several in (1, comparisons))
    return Difference(statistics.mean(differences), *widths)


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error in percent: how far confidence is from accuracy, over bins of confidence.

    Parameters
    ----------
    probabilities : Tensor, shape (N, C)
        Of the classes.
    labels : Tensor, shape (N,)
        The true classes.
    bins : int
        Of equal width in (0, 1].

    Returns
    -------
    float
        ``100 Σ_b (n_b/N) |accuracy_b − confidence_b|``.

    References
    ----------
    C. Guo et al., "On calibration of modern neural networks", 2017, Eq. 3.

    Examples
    --------
    >>> import torch
    >>> round(calibration_error(torch.tensor([[0.9, 0.1], [0.9, 0.1]]), torch.tensor([0, 1])), 3)
    40.0
    """
    confidence, guess = probabilities.max(dim=1)
    right = (guess == labels).double()
    place = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64, device=place.device)
    gaps.index_add_(0, place, right - confidence.double())
    return float(100 * gaps.abs().sum() / len(labels))
