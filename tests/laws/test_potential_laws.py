"""Laws of convex potentials, on every potential; derivatives against automatic differentiation."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given
from hypothesis import strategies as st
from torch.func import jacfwd

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


@pytest.mark.parametrize("species", zoo.POTENTIALS, ids=repr)
class TestPotential:
    @given(data=st.data())
    def test_fenchel_young_equality(self, species, data):
        psi, x = species.thing, data.draw(species.points())
        eta = psi.gradient(x)
        np.testing.assert_allclose(psi(x) + psi.conjugate(eta), np.sum(x * eta, axis=-1), **TIGHT)

    @given(data=st.data())
    def test_conjugate_inverts_gradient_and_hessian(self, species, data):
        psi, x = species.thing, data.draw(species.points())
        eta = psi.gradient(x)
        np.testing.assert_allclose(psi.conjugate.gradient(eta), x, **TIGHT)
        product = psi.conjugate.hessian(eta) @ psi.hessian(x)
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(species.dim), product.shape), **TIGHT)

    def test_conjugate_is_an_involution(self, species):
        assert type(species.thing.conjugate.conjugate) is type(species.thing) or isinstance(
            species.thing, type(species.thing.conjugate.conjugate)
        )

    @given(data=st.data())
    def test_derivatives_match_automatic_differentiation(self, species, data):
        psi, x = species.thing, data.draw(species.points(batch=()))
        point = torch.from_numpy(x)
        np.testing.assert_allclose(psi.gradient(x), jacfwd(psi)(point), **TIGHT)
        np.testing.assert_allclose(psi.hessian(x), jacfwd(jacfwd(psi))(point), **TIGHT)
        np.testing.assert_allclose(psi.third_derivative(x), jacfwd(psi.hessian)(point), **TIGHT)

    @given(data=st.data())
    def test_hessian_is_positive_definite(self, species, data):
        assert np.all(np.linalg.eigvalsh(species.thing.hessian(data.draw(species.points()))) > 0)
