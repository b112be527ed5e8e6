"""Laws of geodesics, exp, log, distance and transport on every metric of the zoo, at random points."""

import numpy as np
import pytest
import zoo
from conftest import Backend, to_numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom

# Shooting takes half a dozen geodesics, each a hundred differences: where derivatives are differences, one
# random point has to do for each law.
BLACK_HOLES = lnegeom.Schwarzschild | lnegeom.Kerr  # far from exact for another reason, and cheap
DEAR = [s for s in zoo.METRICS if s.tolerance > 1e-10 and not isinstance(s.thing, BLACK_HOLES)]
CHEAP = [s for s in zoo.METRICS if s not in DEAR]
LENGTH = 0.2  # inside a convex ball of every metric in the zoo


def drawn(species, data, count):
    """Points, velocities of length 0.2 there (by coordinates where that may be negative), and two vectors."""
    metric, x = species.thing, data.draw(species.generic_points((count,)))
    v, *w = data.draw(zoo.generic_cube(species.dim, (3, count)))
    size = np.abs(v).max(axis=-1) if metric.signature[1] else metric.norm(x, v)
    return metric, x, LENGTH * v / size[..., None], np.stack(w)


def agree(found, expected, error, scale=1.0):
    """To what integration keeps, 1e-10 a step, or a path's own estimate of its error."""
    tolerance = max(1e-9, 100 * np.max(error))
    np.testing.assert_allclose(
        found, expected, rtol=tolerance, atol=tolerance * max(1.0, np.max(np.abs(scale)))
    )


def transport_is_an_isometry_that_carries_the_velocity_to_itself(metric, x, v, w):
    path = lnegeom.geodesic(metric, x, v, samples=3)
    assert (path.status == "completed").all()
    assert (path.error < 1e-6).all()
    speed = metric.inner(x, v, v)[:, None]
    agree(metric.inner(path.points, path.velocities, path.velocities), speed + np.zeros(3), path.error)
    vectors, y = np.stack([v, *w]), path.points[:, -1]
    moved = lnegeom.parallel_transport(metric, x, v, vectors)
    agree(moved[0], path.velocities[:, -1], path.error, path.velocities)
    before = metric.inner(x, vectors[:, None], vectors)
    agree(metric.inner(y, moved[:, None], moved), before, path.error, before)


def log_inverts_exp_and_distance_is_its_symmetric_length(metric, x, v, w):
    path = lnegeom.geodesic(metric, x, v, samples=2)
    y = path.points[:, -1]
    agree(lnegeom.exp(metric, x, v), y, path.error, y)
    agree(lnegeom.log(metric, x, y), v, path.error, v)
    if not metric.signature[1]:
        agree(lnegeom.distance(metric, y, x), LENGTH, path.error)


def retraction_agrees_with_exp_to_second_order(metric, x, v, w):
    ends = lnegeom.geodesic(metric, x, v, samples=3).points  # at half and all the velocity
    steps = np.stack([0 * v, v / 2, v], axis=1)
    misses = np.abs(ends - lnegeom.retract(metric, x[:, None], steps)).max(axis=-1)
    rounding = 1e-9 * (np.abs(v).max() + np.abs(x).max())
    # 2³ = 8, and fourth-order terms; half of that would be of second order
    assert (misses[:, 1] <= misses[:, 2] / 5 + rounding).all()


LAWS = (
    transport_is_an_isometry_that_carries_the_velocity_to_itself,
    log_inverts_exp_and_distance_is_its_symmetric_length,
    retraction_agrees_with_exp_to_second_order,
)
each_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)


@each_law
@pytest.mark.parametrize("species", CHEAP, ids=repr)
@settings(max_examples=2)
@given(data=st.data())
def test_law(law, species, data):
    law(*drawn(species, data, 2))


@each_law
@pytest.mark.parametrize("species", DEAR, ids=repr)
@settings(max_examples=1)
@given(data=st.data())
def test_law_by_differences(law, species, data):
    law(*drawn(species, data, 1))


LIBRARIES = ("array_api_strict", "torch", "jax")


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("species", zoo.METRICS, ids=repr)
def test_laws_on_other_libraries(species, name):
    pytest.importorskip(name, reason=f"{name} is not installed")
    metric, rng = species.thing, np.random.default_rng(3)
    x, v = species.to_point(rng.uniform(-1, 1, species.dim)), rng.uniform(-1, 1, species.dim)
    size = np.abs(v).max() if metric.signature[1] else metric.norm(x, v)
    hold(Backend(name), metric, x, SHORT * v / size)


SHORT = 0.02  # one or two steps, few rounds of shooting


def hold(backend, metric, x, v):
    """The laws on arrays of a library, which has to keep its kind and precision; at one point, in one go."""

    def found(function, *arrays, **options):
        result = function(metric, *map(backend.array, arrays), **options)
        parts = [result.points, result.velocities] if isinstance(result, lnegeom.Geodesic) else [result]
        assert all(backend.owns(part) and str(part.dtype).endswith("float64") for part in parts)
        numbers = [to_numpy(part) for part in parts]
        return numbers if len(parts) > 1 else numbers[0]

    points, velocities = found(lnegeom.geodesic, x, v, samples=2)
    y, speed = points[-1], metric.inner(x, v, v)
    agree(metric.inner(points, velocities, velocities), speed + np.zeros(2), 0)
    agree(found(lnegeom.exp, x, v), y, 0, y)
    log = found(lnegeom.log, x, y)
    agree(log, v, 0)
    if not metric.signature[1]:
        distance = found(lnegeom.distance, y, x)
        agree(distance, metric.norm(x, log), 0)
        agree(distance, SHORT, 0)


class Wrong(lnegeom.Sphere):
    """A sphere with a mistake in its geodesics that vanishes at the origin, and along radii."""

    def _exp(self, xp, x, v):
        end = super()._exp(xp, x, v)
        return end * (1 + 0.01 * xp.sum(x * v, axis=-1) ** 2)[..., None]


class Mirrored(lnegeom.LNE):
    """Christoffel symbols with the wrong sign."""

    def _christoffel_apply(self, xp, local, u, v):
        return -super()._christoffel_apply(xp, local, u, v)


class Single(lnegeom.Sphere):
    """A logarithm in single precision."""

    def _log(self, xp, x, y):
        return xp.astype(super()._log(xp, x, y), xp.float32)


class Longer(lnegeom.Sphere):
    """A distance that is not symmetric."""

    def _distance(self, xp, x, y):
        return super()._distance(xp, x, y) * (1 + 1e-6 * xp.sum(x, axis=-1))


class Crooked(lnegeom.Sphere):
    """A logarithm that is not that of exp."""

    def _log(self, xp, x, y):
        return super()._log(xp, x, y) * (1 + 1e-6 * x)


@pytest.mark.parametrize("wrong", [Wrong(2), Mirrored(1.0), Single(2), Longer(2), Crooked(2)], ids=repr)
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_law_fails_on_other_libraries_where_a_metric_is_wrong(wrong, name):
    pytest.importorskip(name, reason=f"{name} is not installed")
    x, v = np.array([0.4, 0.3]), np.array([0.2, 0.1])
    with pytest.raises(AssertionError):
        hold(Backend(name), wrong, x, SHORT * v / wrong.norm(x, v))


@pytest.mark.parametrize("law", LAWS[:2], ids=lambda law: law.__name__)
def test_a_law_fails_where_exp_is_wrong(law):
    metric, x, v = Wrong(2), np.array([[0.5, 0.4]]), np.array([[0.2, 0.1]])
    with pytest.raises(AssertionError):
        law(metric, x, LENGTH * v / metric.norm(x, v)[:, None], np.ones((2, 1, 2)))
