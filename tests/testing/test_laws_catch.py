"""Every law of `lnegeom.testing` is seen failing on an object that is wrong, by name, and on no right one."""

import copy

import numpy as np
import pytest
from mutants import altered, caught, names, times

import lnegeom
from lnegeom import testing

SPHERE, BALL = lnegeom.Sphere(3), lnegeom.PoincareBall(2)
SPHERES = lnegeom.Product(lnegeom.Sphere(2), lnegeom.Sphere(2))
COSH, HYPERBOLIC = lnegeom.LogCosh(0.7), lnegeom.Hyperbolic(0.7)


def lopsided(result, *args):
    return result + 1e-6 * np.triu(np.ones(result.shape[-2:]), 1)


def summed_over_the_batch(result, *args):
    return np.sum(result) + 0 * result


def uneven(result, xp, local):
    return result * (1 + np.sum(local.x**2, axis=-1))[..., None, None, None, None]


def random_tensor(result, *args):
    return result + 1e-6 * np.random.default_rng(0).normal(size=result.shape[-4:])


class Other(lnegeom.LogCosh):
    @property
    def conjugate(self):
        return lnegeom.LogCosh(2 * self.tau).conjugate


class Indefinite(lnegeom.Sphere):
    signature = (2, 1)


METRICS = [
    (altered(SPHERE, "_matrix", lopsided), "symmetric"),
    (Indefinite(3), "of its signature"),
    (altered(SPHERE, "_inverse", times(1 + 1e-6)), "inverse and determinant"),
    (altered(SPHERE, "_logdet", times(1 + 1e-6)), "inverse and determinant"),
    (altered(SPHERE, "_sharp", times(1 + 1e-6)), "musical"),
    (altered(SPHERE, "inner", times(2)), "musical"),
    (altered(SPHERE, "norm", times(2)), "length"),
    (altered(SPHERE, "_christoffel", lopsided), "without torsion"),
    (altered(SPHERE, "_christoffel_apply", times(2)), "without torsion"),
    (altered(SPHERE, "_christoffel", times(1 + 1e-6)), "parallel metric"),
    (altered(lnegeom.Sphere(3, radius=1e-4), "_christoffel", times(1 + 1e-6)), "parallel metric"),
    (altered(SPHERE, "_christoffel", times(1 + 1e-6)), "Riemann of Christoffel"),
    (altered(SPHERE, "matrix", times(2)), "lowered"),
    (altered(SPHERE, "_riemann", random_tensor), "Riemann's symmetries"),
    (altered(SPHERE, "_riemann", random_tensor), "first Bianchi"),
    (altered(SPHERE, "_riemann", uneven), "second Bianchi"),
    (altered(SPHERE, "_riemann", times(1 + 1e-6)), "isometry invariant"),
    (altered(SPHERE, "_ricci", times(-1)), "contractions"),
    (altered(SPHERE, "_scalar_curvature", times(1 + 1e-6)), "contractions"),
    (altered(SPHERE, "ricci", times(2)), "compositions"),
    (altered(SPHERE, "riemann", times(2)), "sectional"),
    (altered(SPHERES, "_ricci", times(1.01)), "Weyl trace-free"),
    (altered(SPHERES, "_inverse", times(1.01)), "Weyl conformally invariant"),
    (altered(SPHERE, "_logdet", summed_over_the_batch), "batched"),
    (altered(SPHERE, "_matrix", lambda result, *args: result.astype(float)), "keeps dtype"),
    (altered(BALL, "_exp", lambda end, xp, x, v: end + 1e-6 * v**2), "geodesic equation"),
    (altered(BALL, "_log", times(1 + 1e-6)), "log inverts exp"),
    (altered(BALL, "_transport", lambda result, xp, x, v, w: w + 0 * result), "parallel transport"),
    (altered(BALL, "_distance", times(1 + 1e-6)), "distance"),
]

POTENTIALS = [
    (altered(COSH, "_value", times(1 + 1e-6)), "gradient"),
    (altered(COSH, "_gradient", times(1 + 1e-6)), "Hessian"),
    (altered(COSH, "_third_diagonal", times(1 + 1e-6)), "third derivative"),
    (altered(COSH, "_hessian_diagonal", times(-1)), "convex"),
    (altered(COSH, "_value", lambda result, *args: result + 1e-6), "Fenchel–Young"),
    (Other(0.7), "conjugate"),
    (Other(0.7), "involution"),
    (altered(COSH, "_hessian_solve", times(1 + 1e-6)), "operator"),
    (altered(COSH, "_value", summed_over_the_batch), "batched"),
]

DIVERGENCES = [
    (altered(HYPERBOLIC, "_value", times(-1)), "not negative"),
    (altered(HYPERBOLIC, "_value", lambda d, xp, p, q: (p - q)[..., 0] ** 2), "zero only on the diagonal"),
    (altered(HYPERBOLIC, "_value", lambda d, xp, p, q: d + 1e-6 * (p - q)[..., 0]), "stationary"),
    (altered(HYPERBOLIC, "_value", times(1 + 1e-6)), "metric"),
    (altered(HYPERBOLIC, "connections", lambda pair: pair.dual), "connections"),
    (
        altered(HYPERBOLIC, "connections", lambda pair: altered(pair, "lowered", lopsided)),
        "symmetric symbols",
    ),
    (altered(HYPERBOLIC, "connections", lambda pair: lnegeom.Hyperbolic(0.701).connections()), "dual"),
    (altered(HYPERBOLIC, "_value", summed_over_the_batch), "batched"),
]

NORMAL = lnegeom.Normal()
FAMILIES = [
    (altered(NORMAL, "_parameters", lambda found, *args: (found[0], 2 * found[1])), "parameters"),
    (altered(NORMAL, "_kl", times(1 + 1e-6)), "Kullback–Leibler"),
    (altered(NORMAL, "_log_base_measure", lambda found, *args: found + 1e-6), "normalised"),
    (altered(NORMAL, "_statistic", lambda found, *args: found[..., ::-1]), "mean of the statistic"),
    (altered(NORMAL, "_distance", lambda d, xp, p, q: d * (1 + 1e-6 * p[..., 0])), "distance"),
    (altered(NORMAL, "_distance", times(1 + 1e-6)), "distance's gradient"),
    (altered(NORMAL, "_distance", lambda d, *args: np.arccosh(np.cosh(d))), "near distance"),
]


def points(n, count=3):
    return np.random.default_rng(0).uniform(-0.6, 0.6, (count, n))


def natural(count=3):
    rng = np.random.default_rng(0)
    return NORMAL.natural(rng.uniform(-1, 1, count), rng.uniform(0.5, 2, count))


# Rows of the last two share a coordinate: a divergence that speaks of it alone vanishes between them.
PAIRS = np.array([[0.3, -0.2], [0.1, 0.5], [0.1, -0.4]])
NODES = np.linspace(-25, 25, 1001)
EVENTS = {"events": NODES, "weights": np.full(1001, 0.05)}


@pytest.mark.parametrize(("wrong", "law"), METRICS, ids=names(METRICS))
def test_metrics(wrong, law):
    caught(testing.check_metric, wrong, law, points(wrong.dim))


@pytest.mark.parametrize(("wrong", "law"), POTENTIALS, ids=names(POTENTIALS))
def test_potentials(wrong, law):
    caught(testing.check_potential, wrong, law, points(2))


@pytest.mark.parametrize(("wrong", "law"), DIVERGENCES, ids=names(DIVERGENCES))
def test_divergences(wrong, law):
    caught(testing.check_divergence, wrong, law, PAIRS)


@pytest.mark.parametrize(("wrong", "law"), FAMILIES, ids=names(FAMILIES))
def test_families(wrong, law):
    caught(testing.check_family, wrong, law, natural(), **(EVENTS if law in OF_EVENTS else {}))


OF_EVENTS = {"normalised", "mean of the statistic"}


def test_every_law_is_seen_failing():
    listed = {
        "metrics": (METRICS, {*testing.metric_laws(SPHERES), *testing.metric_laws(BALL)}),
        "potentials": (POTENTIALS, set(testing.potential_laws())),
        "divergences": (DIVERGENCES, set(testing.divergence_laws())),
        "families": (
            FAMILIES,
            set(testing.family_laws(NORMAL, events=True)) - set(testing.potential_laws()),
        ),
    }
    for kind, (table, laws) in listed.items():
        assert {law for _, law in table} == laws, kind


def test_the_same_laws_hold_of_the_things_themselves():
    for metric in (SPHERE, BALL, SPHERES, lnegeom.Sphere(3, radius=1e-4), lnegeom.Sphere(3, radius=1e4)):
        testing.check_metric(metric, points(metric.dim))
    testing.check_potential(COSH, points(2))
    testing.check_divergence(HYPERBOLIC, PAIRS)
    testing.check_family(NORMAL, natural(), **EVENTS)


def test_a_wrong_log_partition_is_caught_in_its_family():
    wrong = copy.copy(NORMAL)
    wrong.log_partition = altered(NORMAL.log_partition, "_gradient", times(1 + 1e-6))
    caught(testing.check_family, wrong, "Hessian", natural())
