"""Geodesics on every array library: its arrays, dtype and batch shape, and numpy's numbers."""

import numpy as np
import pytest
import zoo
from conftest import assert_agree, in_single_precision, to_numpy

import lnegeom
from lnegeom.geodesics._compiled import compiled
from lnegeom.geodesics._host import needs_no_library
from lnegeom.geodesics._ode import Transport

CLOSED = {
    "sphere": (lnegeom.Sphere(3, radius=2.5), zoo.scaled(1.5)),
    "ball": (lnegeom.PoincareBall(3, radius=0.7), zoo.scaled(0.5)),
    "half-space": (lnegeom.HalfSpace(3, radius=0.5), zoo.above),
    "log-cosh": (lnegeom.Hessian(lnegeom.LogCosh(0.8)), zoo.scaled(1.5)),
    "torus": (lnegeom.Torus([1.0, 2.0, 3.0]), zoo.scaled(2.0)),
    "minkowski": (lnegeom.Minkowski(3), zoo.scaled(1.0)),
    "covariances": (lnegeom.SPD(2), zoo.spd(2)),
    "product": (lnegeom.Product(lnegeom.Sphere(2), lnegeom.HalfSpace(1)), zoo.above),
}
DUAL = lnegeom.Hyperbolic(tau=0.7).connections().dual
RNG = np.random.default_rng(2)
UNIT = RNG.uniform(-0.8, 0.8, (2, 1, 3))
V, W = RNG.uniform(-0.2, 0.2, (2, 2, 1, 3))
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def paths(connection, x, v, w):
    path = lnegeom.geodesic(connection, x, v, samples=3)
    return {
        "exp": lnegeom.exp(connection, x, v),
        "transport": lnegeom.parallel_transport(connection, x, v, w),
        "points": path.points,
        "velocities": path.velocities,
    }


@dtypes
@pytest.mark.parametrize(("metric", "to_point"), CLOSED.values(), ids=CLOSED.keys())
def test_closed_forms(metric, to_point, backend, dtype):
    def found(x, v, w, y):
        result = paths(metric, x, v, w) | {
            "log": lnegeom.log(metric, x, y),
            "retract": lnegeom.retract(metric, x, v),
        }
        return result if metric.signature[1] else result | {"distance": lnegeom.distance(metric, x, y)}

    x = to_point(UNIT)
    y = lnegeom.exp(metric, x, -V)
    assert_agree(backend, found, (x, V, W, y), dtype, 1e-4 if dtype == "float32" else 1e-12, (2, 1))


def integrated(connection, x, v, w, y):
    """What is integrated, of a dual connection a part."""
    result = paths(connection, x, v, w) | {"log": lnegeom.log(connection, x, y)}
    if not isinstance(connection, lnegeom.Metric):
        return result
    field = lnegeom.jacobi_field(connection, x, v, 0 * w, w, samples=2)
    point, found = lnegeom.conjugate_point(connection, x, v, t_end=1.0), lnegeom.logarithm(connection, x, y)
    mean = lnegeom.frechet_mean(connection, x[:, 0, :], weights=[1.0, 2.0])
    assert point.status.tolist() == [["none"], ["none"]]
    assert found.status.tolist() == [["regular"], ["regular"]]
    return result | {
        "fields": field.fields,
        "slopes": field.slopes,
        "looked at": point.point,
        "up to": point.reached,
        "logarithm": found.velocities,
        "conjugate": found.conjugate,
        "distance": lnegeom.distance(connection, x, y),
        "retract": lnegeom.retract(connection, x, v),
        "mean": mean.point + 0 * x,
        "variance": mean.variance + 0 * x[..., 0],
    }


CALLS = {
    "LNE-float32": (lnegeom.LNE(0.7), "float32"),
    "LNE-float64": (lnegeom.LNE(0.7), "float64"),
    "dual": (DUAL, "float32"),
}


@pytest.mark.parametrize(("connection", "dtype"), CALLS.values(), ids=CALLS.keys())
def test_integrated(connection, dtype, backend):
    x = UNIT / 2
    y = lnegeom.exp(connection, x, -V)
    expected = integrated(connection, x, V, W, y)
    found = integrated(connection, *(backend.array(array, dtype) for array in (x, V, W, y)))
    tolerance = 1e-5 if dtype == "float32" else 1e-9
    for name, value in expected.items():
        assert backend.owns(found[name]), name
        assert str(found[name].dtype).endswith(dtype), name
        assert tuple(found[name].shape) == value.shape, name
        np.testing.assert_allclose(to_numpy(found[name]), value, rtol=tolerance, atol=tolerance, err_msg=name)


def test_means_in_closed_form(backend):
    points = RNG.uniform(-0.4, 0.4, (2, 4, 1))
    expected = lnegeom.frechet_mean(lnegeom.Hessian(lnegeom.LogCosh(1.0)), points)
    found = lnegeom.frechet_mean(lnegeom.Hessian(lnegeom.LogCosh(1.0)), backend.array(points))
    assert found.status.tolist() == ["converged", "converged"]
    for part in ("point", "variance", "gradient_norm"):
        assert backend.owns(getattr(found, part))
        np.testing.assert_allclose(to_numpy(getattr(found, part)), getattr(expected, part), atol=1e-12)


def test_jax_integrates_in_double_precision_though_its_own_is_single():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    with in_single_precision(jax):
        path = lnegeom.geodesic(
            lnegeom.LNE(1.0), jax.numpy.asarray([0.1, 0.2]), jax.numpy.asarray([0.3, 0.1])
        )
    assert path.status == "completed"
    assert path.points.dtype == "float32"
    expected = lnegeom.geodesic(lnegeom.LNE(1.0), [0.1, 0.2], [0.3, 0.1])
    np.testing.assert_allclose(np.asarray(path.points), expected.points, atol=1e-6)


class Ours(lnegeom.LNE):
    """A user's own class: what its formulas need, the library cannot know."""

    def _christoffel_apply(self, xp, local, u, v):
        seen.add(xp.__name__.split(".")[-1])
        return super()._christoffel_apply(xp, local, u, v)


seen = set()


@pytest.mark.parametrize(
    ("connection", "numpys"),
    [
        (lnegeom.LNE(1.0), True),
        (lnegeom.Warped(lnegeom.Minkowski(2), lnegeom.LNE(0.8), lnegeom.SquaredNorm(), dims=(2, 2)), True),
        (lnegeom.Fisher(lnegeom.Dirichlet(3)), True),
        (DUAL.levi_civita, True),
        (lnegeom.FromGrid(np.eye(2) + np.zeros((4, 4, 1, 1)), lnegeom.flow.TorusGrid((4, 4))), True),
        (Ours(1.0), False),
        (lnegeom.Product(lnegeom.Sphere(2), Ours(1.0), dims=(2, 2)), False),
        (lnegeom.Graph(zoo.bowl), False),
        (lnegeom.FromCallable(lnegeom.LNE(1.0).matrix, 2), False),
        (lnegeom.FromDivergence(lnegeom.Hyperbolic(1.0), 2), False),  # torch would differentiate it exactly
    ],
    ids=repr,
)
def test_which_connections_numpy_alone_can_evaluate(connection, numpys):
    assert needs_no_library(connection) is numpys


def test_what_may_ask_for_the_users_library_gets_it(backend):
    x, v = backend.array([0.3, -0.2]), backend.array([0.1, 0.2])
    seen.clear()
    end = lnegeom.exp(Ours(1.0), x, v)
    assert {"jax": "numpy"}.get(backend.name, backend.name) in seen
    np.testing.assert_allclose(
        to_numpy(end), lnegeom.exp(lnegeom.LNE(1.0), [0.3, -0.2], [0.1, 0.2]), atol=1e-12
    )


def test_compiled_connections_keep_their_checks():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    metric = Ours(1.0)
    call = compiled(metric.christoffel_apply)
    inside, outside, v = (jax.numpy.asarray(a) for a in ([0.3, -0.2], [0.9, 0.9], [0.1, 0.2]))
    np.testing.assert_allclose(
        call(inside, v, v), lnegeom.LNE(1.0).christoffel_apply(inside, v, v), atol=1e-15
    )
    with pytest.raises(lnegeom.GeometryError) as plain:
        metric.christoffel_apply(outside, v, v)
    with pytest.raises(lnegeom.GeometryError) as found:
        call(outside, v, v)
    assert str(found.value) == str(plain.value)
    np.testing.assert_allclose(
        call(inside, v, v), lnegeom.LNE(1.0).christoffel_apply(inside, v, v), atol=1e-15
    )


def test_differences_on_jax_are_not_compiled_and_keep_their_error():
    jax = pytest.importorskip("jax", reason="jax is not installed")
    x, v = np.array([0.3, -0.2, 0.1]), np.array([0.1, 0.05, 0.02])
    metric = lnegeom.FromCallable(zoo.wavy, 3, vectorized=True, derivatives="finite")
    given = jax.numpy.asarray(x)
    assert Transport(metric, given).noise_of(np.concatenate([x, v])[None]) is not None
    automatic = lnegeom.FromCallable(zoo.wavy, 3, vectorized=True)
    assert Transport(automatic, given).noise_of(np.concatenate([x, v])[None]) is None
    found = lnegeom.exp(metric, given, jax.numpy.asarray(v))
    np.testing.assert_allclose(found, lnegeom.exp(metric, x, v), atol=1e-9)
