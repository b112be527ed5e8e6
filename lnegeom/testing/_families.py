"""Laws of exponential families, and the check that holds a family to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import array_api_compat
import numpy as np

from lnegeom._array import InputError, as_floating, to_numpy
from lnegeom.divergences import KL, Bregman
from lnegeom.families import ExponentialFamily, FisherRaoFamily
from lnegeom.families._base import check_family as checked
from lnegeom.testing import _potentials
from lnegeom.testing._check import Measures, near, points_of, random_vectors, rolled, run
from lnegeom.testing._law import Law, Pair, applying

DIGITS = 1e5  # that a distance of 1e-7 may lack
NEAR = 1e-4  # points no further apart have a distance of too few digits to be differentiated


def parameters(m: Measures) -> Iterator[Pair]:
    """Back from the usual parameters, and from the mean parameters, θ is θ."""
    family, theta = m.thing, m.native("x")
    yield to_numpy(family.natural(*family.parameters(theta))), m["x"]
    yield to_numpy(family.from_mean_parameters(family.mean_parameters(theta))), m["x"]


def kullback_leibler(m: Measures) -> Iterator[Pair]:
    """KL[p : q] is the Bregman divergence of the log-partition with its arguments exchanged."""
    p, q = m.native("x"), m.native("q")
    bregman = Bregman(m.thing.log_partition)
    yield to_numpy(KL(m.thing)(p, q)), to_numpy(bregman(q, p))


def normalised(m: Measures) -> Iterator[Pair]:
    """The density sums to 1 over the events with their weights."""
    found = np.sum(m["density"] * m["weights"], axis=-1)
    yield found, np.ones_like(found)


def mean_of_the_statistic(m: Measures) -> Iterator[Pair]:
    """E t(x) over the events with their weights is ∇A(θ)."""
    statistic = to_numpy(m.thing.statistic(m.native("events")))
    yield (m["density"] * m["weights"]) @ statistic, m["gradient"]


def distance(m: Measures) -> Iterator[Pair]:
    """The distance is symmetric, 0 from p to p, and no longer than the way round by a third point."""
    p, q, r = (m.native(name) for name in ("x", "q", "r"))
    d = m.thing.distance
    there = to_numpy(d(p, q))
    yield there, to_numpy(d(q, p))
    yield to_numpy(d(p, p)), np.zeros_like(there)
    yield np.maximum(to_numpy(d(p, r)) - there - to_numpy(d(q, r)), 0), np.zeros_like(there)


def eikonal(m: Measures) -> Iterator[Pair]:
    """The gradient of the distance from q has length 1 in the Fisher metric."""
    squares = np.ones(len(m["x"]))  # of pairs too near to be differentiated too
    if len(m["apart"]):
        slope, p = m.native("jet of distance").first, _taken("x", m)
        squares[m["apart"]] = to_numpy(slope * KL(m.thing).metric().sharp(p, slope)).sum(axis=-1)
    yield squares, np.ones_like(squares)


def near_distance(m: Measures) -> Iterator[Pair]:
    """Of near points the distance is the length of their difference in the Fisher metric."""
    p = m.native("x")
    end = p + 1e-7 * (1 + abs(p)) * m.native("v")
    length = KL(m.thing).metric().norm(p, end - p)  # as rounded
    ratio = to_numpy(m.thing.distance(p, end) / length)
    yield ratio, np.ones_like(ratio), DIGITS


def no_distance(family: Any, n: int) -> str | None:
    """Why there is no closed form to check."""
    return None if isinstance(family, FisherRaoFamily) else "its distance has no closed form"


OF_EVENTS = {
    "normalised": Law(
        normalised,
        "`_log_base_measure` or the log-partition lacks a factor; or the events do not fill the support, or "
        "lack weights",
    ),
    "mean of the statistic": Law(
        mean_of_the_statistic, "`_statistic` is not what θ multiplies, or its components are in another order"
    ),
}
LAWS = {
    **_potentials.LAWS,
    "parameters": Law(parameters, "`natural` and `_parameters` are not each other's inverse"),
    "Kullback–Leibler": Law(
        kullback_leibler, "the closed form of `_kl` has its arguments exchanged, or lacks a term"
    ),
    "distance": Law(distance, "the closed form of `_distance` takes p and q differently", no_distance),
    "distance's gradient": Law(
        eikonal,
        "the closed form of `_distance` is that of another metric, or off by a factor",
        no_distance,
        slopes=True,
        error="error of distance",
    ),
    "near distance": Law(
        near_distance, "`_distance` loses digits: an arccosh or arccos of what is nearly 1", no_distance
    ),
}


def _density(m: Measures) -> Any:
    return np.exp(to_numpy(m.thing.log_density(m.native("x")[:, None, :], m.native("events"))))


def _apart(m: Measures) -> Any:
    return np.flatnonzero(np.max(np.abs(m["x"] - m["q"]), axis=-1) > NEAR)


def _taken(name: str, m: Measures) -> Any:
    """Those of an array's points that are apart from their partners."""
    array = m.native(name)
    xp = array_api_compat.array_namespace(array)
    return xp.take(array, xp.asarray(m["apart"], device=array_api_compat.device(array)), axis=0)


def _distance_jet(m: Measures) -> Any:
    q = _taken("q", m)
    return near(lambda p: m.thing.distance(p, q), _taken("x", m), order=1)


def _distance_error(m: Measures) -> float:
    return float(m.native("jet of distance").error) if len(m["apart"]) else 0.0


TABLE: dict[str, Callable[[Measures], Any]] = {
    **_potentials.TABLE,
    "psi": lambda m: m.thing.log_partition,
    "q": lambda m: rolled(m.native("x")),
    "r": lambda m: rolled(m.native("x"), 2),
    "density": _density,
    "jet of distance": _distance_jet,
    "apart": _apart,
    "error of distance": _distance_error,
}


def family_laws(family: ExponentialFamily, *, events: bool = False) -> list[str]:
    """Names of the laws that a family must obey, for ``pytest.mark.parametrize`` and `check_family`.

    Parameters
    ----------
    family : ExponentialFamily
        Whether it has a distance says which laws apply.
    events : bool
        Whether to include those that `check_family` holds it to if it is given events.

    Examples
    --------
    >>> import lnegeom
    >>> lnegeom.testing.family_laws(lnegeom.Gamma(), events=True)[-4:]
    ['parameters', 'Kullback–Leibler', 'normalised', 'mean of the statistic']
    """
    return list(applying(LAWS | (OF_EVENTS if events else {}), checked(family), family.dim))


def check_family(
    family: ExponentialFamily,
    theta: Any,
    *,
    events: Any = None,
    weights: Any = None,
    tolerance: float | None = None,
    laws: Iterable[str] | None = None,
) -> None:
    """Hold an exponential family to its laws at natural parameters, and report every law that it breaks.

    Its log-partition is held to the laws of potentials; besides, parameters come back, the KL divergence is
    that of Bregman, and a closed form of the distance is one of the Fisher metric. With events, the density
    is a density, and its mean statistic the gradient of the log-partition.

    Parameters
    ----------
    family : ExponentialFamily
        The family.
    theta : array
        At least two natural parameters ``(..., dim)``; each is compared with the next.
    events : array, optional
        All observations, or nodes of a quadrature over them, ``(Q,)`` or ``(Q, event_size)``.
    weights : array, optional
        The weights ``(Q,)`` of the nodes; left out, 1 each, as for discrete observations.
    tolerance, laws
        As in `check_metric`, of the laws that `family_laws` lists.

    Raises
    ------
    LawError, InputError, GeometryError
        As in `check_metric`; also where a law lacks its events, an event is outside the support, or there is
        but one parameter.

    Examples
    --------
    >>> import numpy as np, lnegeom
    >>> theta = np.log([[0.5], [3.0]])
    >>> poisson = lnegeom.Poisson()
    >>> lnegeom.testing.check_family(poisson, theta, events=np.arange(40))
    """
    __tracebackhide__ = True
    theta = points_of(checked(family), theta, least=2)
    family.log_partition(theta)  # a point outside the domain is an error of the test, not of the family
    (v,) = random_vectors(theta, 1)
    measures = Measures(family, TABLE, x=theta, v=v)
    named = None if laws is None else list(laws)
    table = LAWS
    if events is not None:
        measures = Measures(family, TABLE, x=theta, v=v, **_events(family, theta, events, weights))
        table = LAWS | OF_EVENTS
    elif weights is not None:
        raise InputError("weights belong to events: pass both")
    elif OF_EVENTS.keys() & set(named or ()):
        raise InputError("the laws 'normalised' and 'mean of the statistic' need events: pass events=...")
    run(family, table, measures, tolerance, named)


def _events(family: ExponentialFamily, theta: Any, events: Any, weights: Any) -> dict[str, Any]:
    """Events and their weights in the library of the parameters, or an error."""
    xp, _, events, weights = as_floating(
        theta=theta, events=events, weights=1.0 if weights is None else weights
    )
    family.statistic(events)  # an event outside the support is an error of the test too
    axes = 1 if family.event_size is None else 2
    if events.ndim != axes or tuple(weights.shape) not in ((), (events.shape[0],)):
        raise InputError(
            f"events have shape {tuple(events.shape)} and weights {tuple(weights.shape)}: expected (Q,) "
            f"{'' if axes == 1 else f'+ ({family.event_size},) '}and (Q,)"
        )
    return {"events": events, "weights": xp.broadcast_to(weights, (events.shape[0],))}
