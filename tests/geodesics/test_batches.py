"""Batches: each geodesic as if it were alone, whatever becomes of its neighbours."""

import numpy as np
import pytest
import torch
import zoo

import lnegeom

LNE = lnegeom.LNE(1.0)
FLAT = lnegeom.Hessian(lnegeom.LogCosh(1.0))
RNG = np.random.default_rng(5)
X = RNG.uniform(-0.3, 0.3, (2, 3, 2))
V = RNG.uniform(-0.5, 0.5, (2, 3, 2))
LEAVING = V.copy()
LEAVING[1, 0] = [4.0, 4.0]  # leaves early, in both metrics
each = pytest.mark.parametrize("metric", [LNE, FLAT], ids=["integrated", "closed form"])


def alone(function, *arrays):
    """Results one by one, in the order of `np.ndindex`."""
    return [function(*(array[index] for array in arrays)) for index in np.ndindex(X.shape[:2])]


def close(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@each
def test_paths_are_those_of_single_geodesics(metric):
    together = lnegeom.geodesic(metric, X, LEAVING, samples=5)
    single = alone(lambda x, v: lnegeom.geodesic(metric, x, v, samples=5), X, LEAVING)
    assert together.points.shape == together.velocities.shape == (2, 3, 5, 2)
    assert together.status.tolist() == [["completed"] * 3, ["left", "completed", "completed"]]
    for index, path in zip(np.ndindex(2, 3), single, strict=True):
        count = len(path.times)
        assert together.status[index] == path.status
        assert together.message[index] == path.message
        assert together.reached[index] == path.reached == count
        for found, expected in ((together.points, path.points), (together.velocities, path.velocities)):
            close(found[index][:count], expected)
            close(found[index][count:], np.broadcast_to(expected[-1], (5 - count, 2)))  # the last good state
        np.testing.assert_allclose(together.error[index], path.error, atol=1e-12)


@each
def test_the_times_of_a_batch_end_with_the_last_that_leaves(metric):
    path = lnegeom.geodesic(metric, X[0, :2], [[4.0, 4.0], [2.0, 2.0]], t_end=2.0, samples=41)
    assert (path.status == "left").all()
    assert path.reached[0] < path.reached[1] == len(path.times) < 41
    assert (path.points[0, path.reached[0] :] == path.points[0, path.reached[0] - 1]).all()


@each
def test_exp_log_and_transport_are_those_of_single_geodesics(metric):
    y, single = lnegeom.exp(metric, X, V), alone(lambda x, v: lnegeom.exp(metric, x, v), X, V)
    close(y.reshape(6, 2), single)
    close(lnegeom.log(metric, X, y), V, 1e-8)
    close(lnegeom.distance(metric, X, y), metric.norm(X, V), 1e-8)
    w = RNG.uniform(-1, 1, (4, 2, 1, 2))  # four vectors for each of two rows of geodesics
    moved = lnegeom.parallel_transport(metric, X, V, w)
    assert moved.shape == (4, 2, 3, 2)
    for i, j, k in np.ndindex(4, 2, 3):
        close(moved[i, j, k], lnegeom.parallel_transport(metric, X[j, k], V[j, k], w[i, j, 0]), 1e-9)


def test_batches_broadcast():
    path = lnegeom.geodesic(LNE, X[:, :1], V[:1], samples=2)
    assert path.points.shape == (2, 3, 2, 2)
    close(path.points[1, 2], lnegeom.geodesic(LNE, X[1, 0], V[0, 2], samples=2).points)


def test_large_batches_go_in_pieces():
    metric, x = lnegeom.Conformal(lnegeom.SquaredNorm(), lnegeom.LNE(0.5)), np.full((40_000, 2), 0.2)
    points = lnegeom.exp(metric, x, np.linspace(0, 0.1, 40_000)[:, None] * np.ones(2))
    close(points[[0, -1]], lnegeom.exp(metric, x[:2], [[0.0, 0.0], [0.1, 0.1]]))


def test_differences_have_an_error_for_each_geodesic():
    metric = lnegeom.FromCallable(
        lambda x: (1 + np.cos(5 * x[..., :1, None]) ** 2) * np.eye(2), 2, vectorized=True
    )
    path = lnegeom.geodesic(metric, [[0.0, 0.0], [0.3, 0.0]], [[0.0, 0.0], [1.0, 1.0]], samples=3)
    assert path.error[0] < path.error[1] < 1e-6


class TestJacobi:
    def test_fields_are_those_of_single_geodesics(self):
        slope = RNG.uniform(-1, 1, (2, 3, 2, 2))  # two fields along each
        together = lnegeom.jacobi_field(LNE, X, LEAVING, 0 * slope, slope, samples=3)
        assert together.fields.shape == together.slopes.shape == (2, 3, 3, 2, 2)
        single = alone(
            lambda x, v, w: lnegeom.jacobi_field(LNE, x, v, 0 * w, w, samples=3), X, LEAVING, slope
        )
        for index, field in zip(np.ndindex(2, 3), single, strict=True):
            assert together.status[index] == field.status
            close(together.fields[index][: field.reached], field.fields, 1e-11)
            close(together.slopes[index][: field.reached], field.slopes, 1e-11)

    def test_one_field_for_each_geodesic(self):
        found = lnegeom.jacobi_field(LNE, X[0], V[0], np.zeros(2), V[1], samples=2)
        assert found.fields.shape == (3, 2, 2)
        close(found.fields[2], lnegeom.jacobi_field(LNE, X[0, 2], V[0, 2], [0, 0], V[1, 2], samples=2).fields)

    def test_conjugate_points_of_spheres(self):
        sphere = lnegeom.Sphere(2)
        x, v = np.array([0.3, 0.0]), np.array([[0.0, 1.0], [0.2, 0.4], [0.1, 0.0]])
        found = lnegeom.conjugate_point(sphere, x, v, t_end=4.0)
        expected = np.pi / sphere.norm(x, v)
        assert found.status.tolist() == ["conjugate", "conjugate" if expected[1] < 4 else "none", "none"]
        near = np.isfinite(found.time)
        np.testing.assert_allclose(found.time[near], expected[near], rtol=1e-7)
        np.testing.assert_allclose(
            sphere.embed(found.point[near]), -sphere.embed(x) + 0 * found.time[near, None], atol=1e-5
        )
        assert found.multiplicity.tolist() == near.astype(int).tolist()
        assert (found.reached == np.where(near, found.time, 4.0)).all()

    def test_a_geodesic_that_leaves_has_no_conjugate_point_and_spoils_no_other(self):
        found = lnegeom.conjugate_point(LNE, [0.5, 0.5], [[1.0, 1.0], [0.1, 0.0]], t_end=2.0)
        assert found.status.tolist() == ["left", "none"]
        assert found.reached[0] < 2 == found.reached[1]
        assert np.isfinite(found.point).all()

    def test_logarithms_that_miss_spoil_no_other(self):
        x, y = [[1.7, 0.1], [0.3, 0.1]], [[0.1, 1.7], [0.2, 0.4]]
        found = lnegeom.logarithm(LNE, x, y)
        assert found.status.tolist() == ["missed", "regular"]
        assert found.errors[0] > 1e-6 > found.errors[1]
        close(lnegeom.exp(LNE, x[1], found.velocities[1]), y[1], 1e-8)
        with pytest.raises(
            lnegeom.GeometryError, match=r"at x\[0\]: no geodesic .* take a y nearer to x"
        ) as error:
            lnegeom.log(LNE, x, y)
        assert error.value.index == (0,)


class TestMeans:
    points = RNG.uniform(-0.4, 0.4, (2, 3, 4, 2))
    weights = RNG.uniform(0.5, 1, (3, 4))

    @pytest.mark.parametrize("metric", [lnegeom.PoincareBall(2), LNE], ids=repr)
    def test_means_are_those_of_single_samples(self, metric):
        points = self.points if metric.closed_form_geodesics else self.points[:1, :2]
        together = lnegeom.frechet_mean(metric, points, weights=self.weights[: points.shape[1]])
        assert together.point.shape == (*points.shape[:2], 2)
        assert (together.status == "converged").all()
        for i, j in np.ndindex(points.shape[:2]):
            mean = lnegeom.frechet_mean(metric, points[i, j], weights=self.weights[j])
            close(together.point[i, j], mean.point)
            close(together.variance[i, j], mean.variance)
            assert together.iterations[i, j] == mean.iterations
            assert together.gradient_norm[i, j] == pytest.approx(mean.gradient_norm, abs=1e-12)

    def test_where_to_start_and_how_many_steps_may_be_taken(self):
        start = 0.1 * np.ones(2)
        found = lnegeom.frechet_mean(lnegeom.Sphere(2), self.points[0], start=start, max_iterations=1)
        assert found.iterations.tolist() == [1, 1, 1]
        assert found.status.tolist() == ["stopped"] * 3
        alike = lnegeom.frechet_mean(lnegeom.Sphere(2), self.points[0, 1], start=start, max_iterations=1)
        close(found.point[1], alike.point)

    def test_one_that_overshoots_slows_down_no_other(self):
        ball = lnegeom.PoincareBall(2)
        far = lnegeom.exp(ball, np.array([0.1, 0.0]), 4.0 * np.array([[1.0, 0.0], [-0.5, 0.8], [-0.5, -0.8]]))
        found = lnegeom.frechet_mean(ball, [far, 0.01 * far])
        assert (found.status == "converged").all()
        assert found.iterations[1] < found.iterations[0]

    def test_the_first_sample_without_a_logarithm_is_named(self):
        samples = [[[0.3, 0.1], [0.2, 0.4]], [[1.7, 0.1], [0.1, 1.7]]]
        with pytest.raises(lnegeom.GeometryError, match=r"at points\[1\]: .*no geodesic") as error:
            lnegeom.frechet_mean(LNE, samples)
        assert error.value.index == (1,)


def test_dual_connections_take_batches():
    family = lnegeom.Categorical(3)
    m_connection = lnegeom.KL(family).connections()
    x, v = np.array([0.2, -0.5]), np.array([[0.7, 0.3], [-0.2, 0.1], [6.0, 0.0]])
    path = lnegeom.geodesic(m_connection, x, v, samples=3)
    assert path.status.tolist() == ["completed", "completed", "left"]
    means = family.log_partition.gradient(path.points[:2])
    close(means[:, 1] - means[:, 0], means[:, 2] - means[:, 1], 1e-9)


def test_the_first_point_without_derivatives_is_named():
    metric = lnegeom.NormalizedLNE(0.5)
    with pytest.raises(lnegeom.GeometryError, match=r"at x\[1\]: ") as error:
        lnegeom.exp(metric, [[0.5, 0.5], [0.0, 0.0]], [0.1, 0.0])
    assert error.value.index == (1,)


def test_torch_batches_keep_their_dtype():
    x, v = torch.tensor(X, dtype=torch.float32), torch.tensor(LEAVING, dtype=torch.float32)
    path = lnegeom.geodesic(LNE, x, v, samples=3)
    assert path.points.dtype == path.error.dtype == torch.float32
    assert path.status.shape == path.reached.shape == (2, 3)


def test_zoo_metrics_by_differences_take_batches():
    species = next(s for s in zoo.METRICS if isinstance(s.thing, lnegeom.FromCallable))
    x = species.to_point(RNG.uniform(-1, 1, (2, 3)))
    v = 0.1 * np.ones((2, 3))
    close(lnegeom.exp(species.thing, x, v)[1], lnegeom.exp(species.thing, x[1], v[1]), 1e-7)
