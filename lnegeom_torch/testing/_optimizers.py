"""Check an optimizer: every law that applies to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from lnegeom import InputError
from lnegeom.testing._check import Measures, random_vectors, run
from lnegeom.testing._law import applying
from lnegeom_torch.testing._check import stacked
from lnegeom_torch.testing._optimizer_laws import LAWS as OF_STEPS
from lnegeom_torch.testing._runs import Built
from lnegeom_torch.testing._stack_laws import LAWS as OF_STACKS

__all__ = ["check_optimizer", "optimizer_laws"]

LAWS = {**OF_STEPS, **OF_STACKS}

_GRADIENTS = 4


def optimizer_laws(build: Callable[..., torch.optim.Optimizer]) -> list[str]:
    """Names of the laws that an optimizer must obey, for ``pytest.mark.parametrize`` and `check_optimizer`.

    Parameters
    ----------
    build : callable
        As for `check_optimizer`. Which of torch's options the optimizer has among its `defaults` says which
        laws apply.

    Raises
    ------
    InputError
        If what it builds is no optimizer.

    Examples
    --------
    >>> import torch
    >>> from lnegeom_torch.testing import optimizer_laws
    >>> "fused" in optimizer_laws(torch.optim.SGD), "fused" in optimizer_laws(torch.optim.ASGD)
    (True, False)
    """
    return list(applying(LAWS, _built(build, torch.ones(2, 2)), 0))


def check_optimizer(
    build: Callable[..., torch.optim.Optimizer],
    weights: Any,
    *,
    tolerance: float | None = None,
    laws: Iterable[str] | None = None,
) -> None:
    """Hold an optimizer to what torch asks of its own, and report every law that it breaks.

    Parameters
    ----------
    build : callable
        ``build(params, **options)``: the optimizer's class, or a function that gives it what else it needs,
        such as ``partial(ManifoldSGD, lr=0.1, metric=LNE())``. The options are torch's own, of those that the
        optimizer has: maximize, foreach, fused, differentiable. Its step must do without a closure.
    weights : Tensor
        At least two weights, stacked: ``(B, *shape)``, x in the report; each becomes a parameter. Gradients
        are random ones that depend on the weights alone.
    tolerance : float, optional
        Relative tolerance of every law. Left out, it is 1e-9 (for float32 weights 1e-3), and 1e-6 where
        derivatives are taken.
    laws : list of str, optional
        Which laws, of those that `optimizer_laws` lists; left out, all of them.

    Raises
    ------
    LawError
        An AssertionError that names each law broken, where, and what usually causes it.
    InputError
        If a law is unknown or does not apply, or an argument is none of the above.

    Examples
    --------
    >>> from functools import partial
    >>> import torch
    >>> from lnegeom_torch import LNE, ManifoldSGD
    >>> from lnegeom_torch.testing import check_optimizer
    >>> weights = torch.randn(2, 4, 3, dtype=torch.float64)
    >>> check_optimizer(partial(ManifoldSGD, lr=0.1, momentum=0.9, metric=LNE(tau=2.0)), weights)
    """
    __tracebackhide__ = True
    x = stacked(weights, "weights", least=2)
    built = _built(build, x[0])
    measures = Measures(built, {}, x=x, gradients=torch.stack(random_vectors(x, _GRADIENTS)))
    run(built, LAWS, measures, tolerance, laws, built.name)


def _built(build: Any, like: torch.Tensor) -> Built:
    if isinstance(build, torch.optim.Optimizer) or not callable(build):
        raise InputError(f"expected what builds an optimizer, such as torch.optim.SGD, got {build!r}")
    return Built(build, like)
