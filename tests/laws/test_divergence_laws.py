"""Laws of divergences, on every divergence."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given
from hypothesis import strategies as st
from torch.func import jacfwd

import lnegeom


@pytest.mark.parametrize("species", zoo.DIVERGENCES, ids=repr)
class TestDivergence:
    @given(data=st.data())
    def test_not_negative_and_zero_on_the_diagonal(self, species, data):
        p, q = data.draw(species.points()), data.draw(species.points())
        assert np.all(species.thing(p, q) >= -1e-12)
        np.testing.assert_allclose(species.thing(p, p), 0, atol=1e-12)

    @given(data=st.data())
    def test_bounded_below_by_a_multiple_of_the_distance(self, species, data):
        # Zero only on the diagonal: on the compact set that the zoo draws from, D ≥ c |p − q|².
        p, q = data.draw(species.points()), data.draw(species.points())
        assert np.all(species.thing(p, q) >= 1e-3 * np.sum((p - q) ** 2, axis=-1) - 1e-12)

    @given(data=st.data())
    def test_metric_is_its_second_derivative(self, species, data):
        x = data.draw(species.points(batch=()))
        point = torch.from_numpy(x)
        second = jacfwd(jacfwd(lambda p: species.thing(p, point)))(point)
        np.testing.assert_allclose(species.thing.metric().matrix(x), second, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("species", zoo.FAMILIES, ids=repr)
@given(data=st.data())
def test_kl_is_bregman_of_the_log_partition_with_swapped_arguments(species, data):
    p, q = data.draw(species.points()), data.draw(species.points())
    bregman = lnegeom.Bregman(species.thing.log_partition)
    np.testing.assert_allclose(lnegeom.KL(species.thing)(p, q), bregman(q, p), rtol=1e-9, atol=1e-11)


@given(p=zoo.cube(3), q=zoo.cube(3), r=zoo.cube(3))
def test_bregman_three_point_identity(p, q, r):
    divergence = lnegeom.Hyperbolic(tau=0.8)
    gradient = divergence.potential.gradient
    cross = np.sum((p - q) * (gradient(r) - gradient(q)), axis=-1)
    np.testing.assert_allclose(divergence(p, r), divergence(p, q) + divergence(q, r) - cross, atol=1e-12)
