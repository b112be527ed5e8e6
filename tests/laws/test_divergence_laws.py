"""Laws of divergences, on every divergence."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st

import lnegeom
from lnegeom import testing

POINTWISE = ["not negative", "zero only on the diagonal", "symmetric symbols"]


@pytest.mark.parametrize("species", zoo.DIVERGENCES, ids=repr)
class TestDivergence:
    @given(data=st.data())
    def test_laws_at_special_points(self, species, data):
        x = data.draw(species.points(batch=(6,)))
        testing.check_divergence(species.thing, x, tolerance=1e-12, laws=POINTWISE)

    @given(data=st.data())
    def test_bounded_below_by_a_multiple_of_the_distance(self, species, data):
        # Zero only on the diagonal: on the compact set that the zoo draws from, D ≥ c |p − q|².
        p, q = data.draw(species.points()), data.draw(species.points())
        assert np.all(species.thing(p, q) >= 1e-3 * np.sum((p - q) ** 2, axis=-1) - 1e-12)

    @settings(max_examples=5)
    @given(data=st.data())
    def test_metric_is_its_second_derivative(self, species, data):
        x = torch.from_numpy(data.draw(species.points(batch=(2,))))
        laws = ["stationary", "metric"]
        testing.check_divergence(species.thing, x, tolerance=1e-9, laws=laws)

    def test_laws_by_differences(self, species):
        # Third derivatives of the divergence among them, which automatic differentiation takes seconds for.
        x = species.to_point(np.random.default_rng(0).uniform(-1, 1, (2, species.dim)))
        testing.check_divergence(species.thing, x)


@given(p=zoo.cube(3), q=zoo.cube(3), r=zoo.cube(3))
def test_bregman_three_point_identity(p, q, r):
    divergence = lnegeom.Hyperbolic(tau=0.8)
    gradient = divergence.potential.gradient
    cross = np.sum((p - q) * (gradient(r) - gradient(q)), axis=-1)
    np.testing.assert_allclose(divergence(p, r), divergence(p, q) + divergence(q, r) - cross, atol=1e-12)
