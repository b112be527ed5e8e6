"""Every law of tensors on every metric of the zoo and every backend, at points of hypothesis."""

import functools

import numpy as np
import pytest
import zoo
from conftest import Backend, to_numpy
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from remembering import of_metric, remembering

import lnegeom
from lnegeom.testing import _tensor_laws as metric_laws

each_metric = pytest.mark.parametrize("species", zoo.METRICS, ids=repr)
brief = {"phases": [Phase.explicit, Phase.generate]}  # to shrink an example would take minutes


@functools.cache
def measured(species, library):
    """One function a metric, which JAX compiles once for all examples."""
    return of_metric(lambda metric: metric_laws.measure(metric, species.dim), species.thing, library)


def hold(species, backend, data):
    metric, n = species.thing, species.dim
    x = data.draw(species.generic_points(batch=(2,)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    v, w = rng.uniform(-1, 1, (2, 2, n))
    a = np.eye(n) + 0.4 * rng.uniform(-1, 1, (n, n)) / n
    b = 0.3 * rng.uniform(-1, 1, (n, n, n))
    given = x, v, w, a, b + np.swapaxes(b, -1, -2)
    results = backend.run(measured(species, backend.name), *map(backend.array, given))
    for name, value in results.items():
        assert backend.owns(value), name
        assert str(value.dtype).endswith("float64"), name
    numbers = {name: to_numpy(value) for name, value in results.items()}
    metric_laws.check(metric, n, numbers, species.tolerance, automatic=backend.name in ("torch", "jax"))


@each_metric
@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch", "jax"])
@settings(max_examples=1, **brief)
@given(data=st.data())
def test_laws(species, name, data):
    pytest.importorskip(name, reason=f"{name} is not installed")
    hold(species, Backend(name), data)


def test_no_law_is_waived_without_a_reason():
    waived = {}
    for species in zoo.METRICS:
        for name, law in metric_laws.LAWS.items():
            reason = law.unless(species.thing, species.dim)
            if reason is not None:
                waived.setdefault((name, reason), []).append(species)
    no_weyl = "at n = 3 the Weyl tensor vanishes, below there is none"
    indefinite = [s for s in zoo.METRICS if s.thing.signature[1]]
    assert waived == {
        ("length", "indefinite: vectors have no length"): indefinite,
        ("sectional", "a line has no planes"): [s for s in zoo.METRICS if s.dim == 1],
        **{
            (name, no_weyl): [s for s in zoo.METRICS if s.dim < 4]
            for name in metric_laws.LAWS
            if "Weyl" in name
        },
    }


def test_hypothesis_draws_points_that_differ():
    drawn = []

    @settings(max_examples=5)
    @given(x=zoo.METRICS[0].generic_points(batch=(2,)))
    def draw(x):
        drawn.append(x)

    draw()
    assert len({x.tobytes() for x in drawn}) == len(drawn) >= 4
    assert np.min(np.abs(drawn)) > 1e-4  # and are nothing special


class Wrong(lnegeom.Sphere):
    """A sphere with a mistake in its curvature that vanishes at the origin."""

    def _riemann(self, xp, local):
        return super()._riemann(xp, local) * (1 + xp.sum(local.x**2, axis=-1))[..., None, None, None, None]


class Lopsided(lnegeom.Sphere):
    """A sphere whose Christoffel symbols have a small part that is not symmetric."""

    def _christoffel(self, xp, local):
        symbols = super()._christoffel(xp, local)
        return symbols + 1e-6 * xp.concat([symbols[..., 1:, :], 0 * symbols[..., :1, :]], axis=-2)


@pytest.mark.parametrize(
    ("metric", "laws"),
    [
        (Wrong(3), {"second Bianchi", "contractions", "isometry invariant"}),
        (Lopsided(3), {"without torsion", "parallel metric", "second Bianchi"}),
    ],
)
def test_laws_fail_where_a_metric_is_wrong(metric, laws):
    n, rng = 3, np.random.default_rng(0)
    arrays = rng.uniform(-1, 1, (2, n)), *rng.uniform(-1, 1, (2, 2, n)), np.eye(n), np.zeros((n, n, n))
    for tried in (metric, remembering(metric)):
        assert broken_by(tried, metric_laws.measure(tried, n)(*arrays)) == laws


def broken_by(metric, numbers):
    broken = set()
    for name, law in metric_laws.LAWS.items():
        try:
            metric_laws.check(metric, 3, numbers, 1e-9, automatic=False, laws={name: law})
        except AssertionError:
            broken.add(name)
    return broken
