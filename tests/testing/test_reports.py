"""What a check says: the report, errors of the test itself, tolerances from the error of differences."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import lnegeom
from lnegeom import testing

X = np.random.default_rng(0).uniform(-0.6, 0.6, (3, 2))


class Half(lnegeom.Sphere):
    """Its author forgot a factor, and has not written the Ricci tensor yet."""

    def _christoffel(self, xp, local):
        return super()._christoffel(xp, local) / 2

    def _ricci(self, xp, local):
        raise NotImplementedError("later")


def report(metric, x, **options):
    with pytest.raises(testing.LawError) as error:
        testing.check_metric(metric, x, **options)
    return error.value


def test_a_report_has_all_that_is_wrong_and_where():
    found = report(Half(2), X)
    assert str(found).startswith("Half [Sphere(2, radius=1.0)] breaks 8 of 22 laws\n\n  symmetric: ")
    laws = {failure.law: failure for failure in found.failures}
    assert set(laws) == {
        *("symmetric", "without torsion", "parallel metric", "Riemann of Christoffel"),
        *("contractions", "compositions", "batched", "keeps dtype"),
    }
    assert laws["contractions"].reason == "NotImplementedError: later"
    slope = laws["parallel metric"]
    k, i, a = slope.entry
    g, gamma = (f(X[slope.index]) for f in (Half(2).matrix, Half(2).christoffel))
    # Half of ∂_a g_ij is left over.
    expected = np.einsum("kl,lij->kij", g, gamma)
    assert slope.found == pytest.approx(expected[k, i, a] + expected[i, k, a], rel=1e-7)
    assert slope.expected == 0
    assert slope.allowed == pytest.approx(1e-8, rel=1e-2)
    assert "`_christoffel` disagrees with the derivatives of `_matrix`" in slope.cause
    assert f"at x[{slope.index}] = [" in str(found)


def test_numbers_that_are_no_numbers_fail():
    class Hollow(lnegeom.Sphere):
        def _logdet(self, xp, local):
            return super()._logdet(xp, local) * float("nan")

    (failure,) = report(Hollow(2), X, laws=["inverse and determinant"]).failures
    assert np.isnan(failure.found)
    assert failure.index == 0


def test_laws_are_chosen_by_name():
    assert "length" not in testing.metric_laws(lnegeom.Minkowski(2))
    assert "sectional" not in testing.metric_laws(lnegeom.LNE(1.0), dim=1)
    assert "distance" not in testing.family_laws(lnegeom.Gamma())
    testing.check_metric(Half(2), X, laws=["inverse and determinant"])
    for laws, message in (
        (["nonsense"], "no law is called 'nonsense': expected some of symmetric, "),
        (["Weyl trace-free"], r"the law 'Weyl trace-free' does not apply to Sphere.*: at n = 3"),
        ("length", r"a list of names, got the text 'length': write \['length'\]"),
        ([], "laws is empty"),
    ):
        with pytest.raises(lnegeom.InputError, match=message):
            testing.check_metric(lnegeom.Sphere(2) if laws == [] else Half(2), X, laws=laws)


def test_mistakes_of_the_test_are_no_failures_of_the_metric():
    ball, family = lnegeom.PoincareBall(2), lnegeom.Normal()
    for call, message in (
        (lambda: testing.check_metric(ball, [[0.1, 0.2], [1.0, 1.0]]), r"x\[1\] has \|x\|\^2 = 2"),
        (lambda: testing.check_metric(ball, [0.1, 0.2, 0.3]), r"x has shape \(3,\): expected \(..., 2\)"),
        (lambda: testing.check_metric(ball.matrix, X), "expected a Metric such as"),
        (lambda: testing.check_metric(ball, X, tolerance=0.0), "tolerance must be between 0 and 1"),
        (lambda: testing.metric_laws(lnegeom.LNE(1.0)), r"LNE\(tau=1.0\) is of any dimension: say which one"),
        (lambda: testing.metric_laws(ball, dim=3), "has dimension 2, not 3"),
        (lambda: testing.check_divergence(lnegeom.Hyperbolic(), X[:1]), "expected at least 2 points"),
        (lambda: testing.check_divergence(ball, X), "expected a Divergence such as"),
        (lambda: testing.check_potential(ball, X), "expected a Potential such as"),
        (lambda: testing.check_family(ball, X), "expected an exponential family such as"),
        (
            lambda: testing.check_family(family, [[0, -1], [1, -1]], laws=["normalised"]),
            "need events: pass events=",
        ),
        (lambda: testing.check_family(family, [[0, -1], [1, -1]], weights=[1.0]), "weights belong to events"),
        (
            lambda: testing.check_family(family, [[0, -1], [1, -1]], events=[0.0, 1.0], weights=[1.0]),
            r"events have shape \(2,\) and weights \(1,\): expected \(Q,\)",
        ),
        (lambda: testing.points(ball.matrix), "expected a metric, divergence, potential or family"),
        (lambda: testing.points(3.0), "expected a metric, divergence, potential or family, got 3.0"),
        (lambda: testing.points(ball, 1.0, 0.0), "the box is empty"),
        (lambda: testing.perturbed_tori(None, 0.5, 0.1), "sizes must satisfy"),
    ):
        with pytest.raises(lnegeom.InputError, match=message):
            call()


def bumpy(x):
    return np.array([[2 + np.sin(5 * x[0]), 0.3 * x[1]], [0.3 * x[1], 1 + x[0] ** 2]])


def test_tolerances_grow_with_the_error_that_differences_tell_of():
    metric = lnegeom.FromCallable(bumpy, dim=2)
    testing.check_metric(metric, X)
    error = metric.derivatives_at(X).error
    # Asked for more digits than differences have, a law fails: the estimate was needed, and is of that size.
    failures = report(metric, X, tolerance=1e-13).failures
    assert 0 < error < 1e-7
    assert max(abs(failure.found - failure.expected) for failure in failures) < 1e-5


def test_a_conformal_metric_counts_the_differences_of_its_base():
    metric = lnegeom.Conformal(lnegeom.SquaredNorm(), lnegeom.FromCallable(bumpy, dim=2))
    testing.check_metric(metric, X)


@pytest.mark.parametrize("make", [torch.from_numpy, lambda x: torch.from_numpy(x).float(), np.float32])
def test_points_of_other_libraries_and_dtypes(make):
    testing.check_metric(lnegeom.PoincareBall(2), make(X))
    assert "parallel metric" in {failure.law for failure in report(Half(2), make(X)).failures}


@given(testing.points(lnegeom.PoincareBall(2), batch=(3,)))
def test_points_are_drawn_from_the_chart(x):
    assert x.shape == (3, 2)
    assert ((x**2).sum(axis=-1) < 1).all()


@given(testing.points(lnegeom.KL(lnegeom.Gamma()), low=[0, -3], high=[2, 1], generic=True))
def test_points_of_a_divergence_are_drawn_from_its_domain(theta):
    assert (theta[:, 0] > 0).all()
    assert (theta[:, 1] < 0).all()


@settings(max_examples=20)
@given(testing.spd_matrices(3, batch=(2,)))
def test_matrices_are_well_conditioned(a):
    np.testing.assert_array_equal(a, np.swapaxes(a, 1, 2))
    assert (np.linalg.cond(a) < 1e3).all()


@settings(max_examples=20)
@given(testing.perturbed_tori(testing.torus_grids((16, 16)), 0.05, 0.3))
def test_tori_are_perturbed_by_as_much_as_asked(start):
    grid, metric = start
    size = np.abs(np.linalg.eigvalsh(metric - np.eye(2))).max()
    assert 0.05 * (1 - 1e-9) <= size <= 0.3 * (1 + 1e-9)
    np.testing.assert_allclose(metric.mean(axis=(0, 1)), np.eye(2), atol=1e-12)
    assert grid.shape == (16, 16)
