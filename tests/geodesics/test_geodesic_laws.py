"""Laws of geodesics, exp, log, distance and transport on every Riemannian metric of the zoo."""

import numpy as np
import pytest
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom

RIEMANNIAN = [s for s in zoo.METRICS if s.thing.signature[1] == 0 and s.dim > 1]
each = pytest.mark.parametrize("species", RIEMANNIAN, ids=repr)
# Shooting takes half a dozen geodesics: these metrics by differences, the least exact, stand for those.
BY_DIFFERENCES = lnegeom.FromCallable | lnegeom.FromDivergence | lnegeom.EstimatedFisher
each_exact = pytest.mark.parametrize(
    "species",
    [s for s in RIEMANNIAN if s.tolerance <= 1e-10 or isinstance(s.thing, BY_DIFFERENCES)],
    ids=repr,
)
one = settings(max_examples=1)


def short(species, data, x):
    """A vector at x, of length 0.2: inside a convex ball of every metric in the zoo."""
    v = data.draw(zoo.cube(species.dim, ()).filter(lambda v: np.abs(v).max() > 0.1))
    return 0.2 * v / species.thing.norm(x, v)


def near(error):
    """Integration to 1e-10 a step, or what the path says that the derivatives of the metric allow."""
    tolerance = max(1e-8, 100 * error)
    return {"rtol": tolerance, "atol": tolerance}


class TestLaws:
    @each
    @one
    @given(data=st.data())
    def test_transport_is_an_isometry_that_carries_the_velocity_to_itself(self, species, data):
        metric, x = species.thing, data.draw(species.points(()))
        v, w = short(species, data, x), data.draw(zoo.cube(species.dim, (2,)))
        path = lnegeom.geodesic(metric, x, v, samples=3)
        assert path.status == "completed"
        assert path.error < 1e-6
        np.testing.assert_allclose(metric.norm(path.points, path.velocities), 0.2, **near(path.error))
        moved = lnegeom.parallel_transport(metric, x, v, np.stack([v, *w]))
        np.testing.assert_allclose(moved[0], path.velocities[-1], **near(path.error))
        before, after = metric.inner(x, w[0], w[1]), metric.inner(path.points[-1], moved[1], moved[2])
        np.testing.assert_allclose(after, before, **near(path.error))

    @each_exact
    @one
    @given(data=st.data())
    def test_log_inverts_exp_and_distance_is_its_symmetric_length(self, species, data):
        metric, x = species.thing, data.draw(species.points(()))
        v = short(species, data, x)
        y = lnegeom.exp(metric, x, v)
        error = lnegeom.geodesic(metric, x, v, samples=2).error
        np.testing.assert_allclose(lnegeom.log(metric, x, y), v, **near(error))
        np.testing.assert_allclose(lnegeom.distance(metric, y, x), 0.2, **near(error))

    @each_exact
    @one
    @given(data=st.data())
    def test_retraction_agrees_with_exp_to_second_order(self, species, data):
        metric, x = species.thing, data.draw(species.points(()))
        v = short(species, data, x)
        misses = [
            np.abs(lnegeom.exp(metric, x, s * v) - lnegeom.retract(metric, x, s * v)).max()
            for s in (0.5, 0.1)
        ]
        scale = np.abs(v).max() + np.abs(x).max()
        assert misses[1] <= misses[0] / 60 + 1e-8 * scale  # 5³ = 125, and fourth-order terms
