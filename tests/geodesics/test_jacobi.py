"""Jacobi fields and conjugate points, against differences of exp and spaces where they are known."""

import numpy as np
import pytest

import lnegeom


def unit(metric, x, v):
    return np.asarray(v) / metric.norm(x, v)


@pytest.mark.parametrize(
    ("metric", "growth"),
    [(lnegeom.Sphere(3), np.sin), (lnegeom.PoincareBall(3), np.sinh), (lnegeom.Euclidean(3), lambda t: t)],
    ids=["sphere", "hyperbolic", "flat"],
)
def test_fields_grow_as_constant_curvature_says(metric, growth):
    x = np.array([0.2, 0.1, -0.1])
    v = unit(metric, x, [0.3, -0.5, 0.2])
    w = np.array([1.0, 0.4, 0.0])
    w = unit(metric, x, w - metric.inner(x, w, v) * v)  # unit, and normal to v
    field = lnegeom.jacobi_field(metric, x, v, [np.zeros(3), w], [w, np.zeros(3)], t_end=1.2, samples=4)
    sizes = metric.norm(field.points[:, None], field.fields)
    derivative = {np.sin: np.cos, np.sinh: np.cosh}.get(growth, np.ones_like)
    np.testing.assert_allclose(sizes[:, 0], growth(field.times), atol=1e-8)
    np.testing.assert_allclose(sizes[:, 1], derivative(field.times), atol=1e-8)
    np.testing.assert_allclose(
        metric.norm(field.points, field.slopes[:, 0]), derivative(field.times), atol=1e-8
    )


def test_fields_are_the_derivative_of_exp():
    metric, x = lnegeom.LNE(1.0), np.array([0.3, -0.2, 0.1])
    v, w = np.array([0.3, 0.2, -0.1]), np.array([0.1, 0.5, 0.4])
    field = lnegeom.jacobi_field(metric, x, v, 0 * w, w, samples=2)
    step = 1e-4
    difference = (lnegeom.exp(metric, x, v + step * w) - lnegeom.exp(metric, x, v - step * w)) / (2 * step)
    np.testing.assert_allclose(field.fields[-1], difference, atol=1e-7)
    assert field.status == "completed"
    assert field.error < 1e-8


@pytest.mark.parametrize(("n", "radius"), [(2, 1.0), (3, 2.0)])
def test_antipodes_are_the_first_conjugate_points_of_spheres(n, radius):
    sphere = lnegeom.Sphere(n, radius)
    x = 0.3 * np.eye(n)[0]
    found = lnegeom.conjugate_point(sphere, x, unit(sphere, x, np.eye(n)[1]), t_end=7.0 * radius)
    np.testing.assert_allclose(found.time, np.pi * radius, rtol=1e-8)  # and not the next one, 2π
    np.testing.assert_allclose(sphere.embed(found.point), -sphere.embed(x), atol=1e-5)
    assert found.multiplicity == n - 1
    short = lnegeom.conjugate_point(sphere, x, unit(sphere, x, np.eye(n)[1]), t_end=3.1 * radius)
    assert (short.status, short.time, short.multiplicity) == ("none", np.inf, 0)


def test_no_conjugate_points_where_curvature_is_not_positive():
    for metric in (lnegeom.HalfSpace(2), lnegeom.Euclidean(2)):
        assert lnegeom.conjugate_point(metric, [0.1, 1.0], [0.4, 0.3], t_end=6.0).status == "none"


def test_along_the_equator_of_a_spheroid():
    # An oblate spheroid of half-axes a, a, c has curvature 1/c² along its equator: conjugate at distance π c.
    a, c = 1.0, 0.5

    def embed(x):
        return np.stack([a * np.cos(x[1]) * np.cos(x[0]), a * np.cos(x[1]) * np.sin(x[0]), c * np.sin(x[1])])

    metric = lnegeom.Pullback(embed, 2)
    found = lnegeom.conjugate_point(metric, [0.0, 0.0], [1.0, 0.0], t_end=1.7)
    assert found.multiplicity == 1
    np.testing.assert_allclose(found.time, np.pi * c, rtol=1e-6)


def test_logarithms_say_whether_they_pass_a_conjugate_point():
    # A round sphere whose closed forms are not known to the library, by Mercator's map.
    metric = lnegeom.Conformal(lambda x: -np.log(np.cosh(x[1])))
    short = lnegeom.logarithm(metric, [0.0, 0.2], [1.0, 0.4])
    assert short.status == "regular"
    assert np.isinf(short.conjugate)
    assert short.errors.shape == short.conjugate.shape == short.status.shape == ()
    assert short.errors < 1e-8
    long = lnegeom.logarithm(metric, [0.0, 0.0], [4.0, 0.0])  # along the equator, the longer way round
    np.testing.assert_allclose(long.velocities, [4, 0], atol=1e-7)
    np.testing.assert_allclose(long.conjugate, np.pi / 4, rtol=1e-6)
    assert long.status == "conjugate"


def test_logarithms_of_batches_and_of_equal_points():
    sphere = lnegeom.Sphere(2)
    x, y = np.array([[0.1, 0.2], [0.3, 0.0]]), np.array([0.3, 0.0])
    found = lnegeom.logarithm(sphere, x, y)
    np.testing.assert_array_equal(found.velocities, lnegeom.log(sphere, x, y))
    np.testing.assert_array_equal(found.status, ["regular", "regular"])
    np.testing.assert_array_equal(found.errors, 0)


BAD = {
    "shapes": (
        lambda: lnegeom.jacobi_field(lnegeom.Euclidean(2), [0, 0], [1, 0], np.eye(2), [np.eye(2)]),
        r"start has shape \(2, 2\), slope \(1, 2, 2\): expected both \(n,\) or \(m, n\)",
    ),
    "dimension": (
        lambda: lnegeom.jacobi_field(lnegeom.Euclidean(2), [0, 0], [1, 0], [1, 0, 0], [1, 0, 0]),
        r"start has shape \(3,\): expected \(..., 2\)",
    ),
    "nan": (
        lambda: lnegeom.jacobi_field(lnegeom.Euclidean(2), [0, 0], [1, 0], [1, 0], [np.nan, 0]),
        r"slope\[0\] is nan",
    ),
    "batches": (
        lambda: lnegeom.jacobi_field(
            lnegeom.Euclidean(2), np.zeros((3, 2)), [1, 0], np.zeros((2, 2)), np.zeros((2, 2))
        ),
        r"start has shape \(2, 2\).*: expected both \(3, n\) or \(3, m, n\)",
    ),
    "time": (
        lambda: lnegeom.conjugate_point(lnegeom.Sphere(2), [0.5, 0.5], [1.0, 1.0], t_end=0),
        "t_end must be a positive",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(call, message):
    with pytest.raises(lnegeom.InputError, match=message):
        call()
