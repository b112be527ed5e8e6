"""What a `Solution` asks of the domain that its metrics live on."""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from lnegeom._array import Array, InputError


class Domain(Protocol):
    """Points that carry a metric each: a torus grid, a box, a warped profile, the frame of a group.

    A class of domains is a frozen, comparable value, and says so to `Solution.load` by ``@register_domain``.
    """

    @property
    def dim(self) -> int:
        """Dimension n of the manifold: a metric is n×n."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the points, ``()`` where one metric stands for all of a homogeneous space."""

    def integrate(self, values: Array) -> Array:
        """``∫ f dx`` in the domain's coordinates of values ``(..., *shape)``: shape ``(...)``."""

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes an equal domain."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Make the domain that `to_json` described."""


@runtime_checkable
class SpectralDomain(Domain, Protocol):
    """A domain whose Laplacian has a known spectrum: there `decay_rate` has a theory to compare with."""

    @property
    def volume(self) -> float:
        """``∫ 1 dx``."""

    @property
    def keeps_mean(self) -> bool:
        """Whether constant perturbations stay (a torus) or decay too (values given on a boundary)."""

    def eigenvalues(self, count: int) -> tuple[float, ...]:
        """First distinct eigenvalues of −Δ, ascending, on the perturbations that decay."""


D = TypeVar("D", bound=type[Domain])
_KINDS: dict[str, type[Domain]] = {}


def register_domain(kind: D) -> D:
    """Class decorator: saved solutions on this kind of domain can be loaded, by the name of its class."""
    _KINDS[kind.__name__] = kind
    return kind


def describe_domain(domain: Domain) -> dict[str, Any]:
    """JSON form of a domain, its kind included."""
    return {"kind": type(domain).__name__, **domain.to_json()}


def restore_domain(data: dict[str, Any]) -> Domain:
    """Return the domain of a JSON form."""
    rest = dict(data)
    kind = rest.pop("kind", None)
    if kind not in _KINDS:
        raise InputError(f"unknown kind of domain {kind!r}: import the module that registers it first")
    return _KINDS[kind].from_json(rest)
