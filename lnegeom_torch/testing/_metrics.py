"""Check a metric on weights: every law that applies to it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lnegeom import InputError
from lnegeom.testing._check import Measures, random_vectors, run
from lnegeom.testing._law import applying
from lnegeom_torch.metrics import Metric
from lnegeom_torch.testing._acceleration_laws import LAWS as OF_ACCELERATIONS
from lnegeom_torch.testing._acceleration_laws import TABLE as WAYS
from lnegeom_torch.testing._check import stacked
from lnegeom_torch.testing._metric_laws import LAWS as OF_GRADIENTS
from lnegeom_torch.testing._metric_laws import TABLE as GRADIENTS

__all__ = ["check_metric", "metric_laws"]

LAWS = {**OF_GRADIENTS, **OF_ACCELERATIONS}
TABLE = {**GRADIENTS, **WAYS}


def metric_laws(metric: Metric) -> list[str]:
    """Names of the laws that a metric on weights must obey, for ``pytest.mark.parametrize``.

    Parameters
    ----------
    metric : Metric
        Whether it has an acceleration, and tells its eigenvalues, says which laws apply.

    Raises
    ------
    InputError
        If it is no metric of `lnegeom_torch.metrics`.

    Examples
    --------
    >>> import lnegeom_torch
    >>> lnegeom_torch.testing.metric_laws(lnegeom_torch.LNE())[:3]
    ['linear', 'symmetric', 'positive definite']
    """
    return list(applying(LAWS, _checked(metric), 0))


def check_metric(
    metric: Metric, weights: Any, *, tolerance: float | None = None, laws: Iterable[str] | None = None
) -> None:
    """Hold a metric on weights to what the optimizers ask of one, and report every law that it breaks.

    Its natural gradient is turned into the matrix g⁻¹, which the other methods are compared with: the
    acceleration by Hamilton's equations and automatic differentiation, eigenvalues, lists. Gradients and
    velocities are random ones that depend on the weights alone.

    Parameters
    ----------
    metric : Metric
        The metric: a registered subclass of `lnegeom_torch.metrics.Metric`.
    weights : Tensor
        Weights of a layer, stacked: ``(B, *shape)``, x in the report; of some ten entries each, since
        matrices are formed.
    tolerance : float, optional
        Relative tolerance of every law. Left out, it is 1e-9 (for float32 weights 1e-3), 1e-8 or 1e-6 where
        derivatives are taken, and for geodesics ten times the error of eight Runge–Kutta steps in addition.
    laws : list of str, optional
        Which laws, of those that `metric_laws` lists; left out, all of them.

    Raises
    ------
    LawError
        An AssertionError that names each law broken, the weight and entry where it fails worst, what was
        found there and expected, and what usually causes it.
    InputError
        If a law is unknown or does not apply, an argument is none of the above, or the metric refuses the
        weights' shape, or to be used without an optimizer, as `Fisher`, whose statistics are its state.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch import LNE
    >>> from lnegeom_torch.testing import check_metric
    >>> weights = torch.tensor([[[0.3, -0.2], [0.1, 0.4]], [[1.5, 0.2], [-0.7, 0.9]]])
    >>> check_metric(LNE(tau=0.5), weights.double())
    """
    __tracebackhide__ = True
    x = stacked(weights, "weights")
    _checked(metric).check(x[0])
    u, v = random_vectors(x, 2)
    metric.natural_gradient(x[0], u[0])  # what cannot be computed at all is an error of the test
    run(metric, LAWS, Measures(metric, TABLE, x=x, u=u, v=v), tolerance, laws)


def _checked(metric: Any) -> Metric:
    if not isinstance(metric, Metric):
        raise InputError(
            f"expected a metric of lnegeom_torch.metrics such as LNE(tau=1.0), got {metric!r}; "
            "lnegeom.testing.check_metric is for the core's"
        )
    return metric
