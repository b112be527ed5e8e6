"""Laws of convex potentials, on every potential; derivatives against automatic differentiation."""

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given
from hypothesis import strategies as st

from lnegeom import testing

LAWS = testing.potential_laws()
BY_DERIVATIVES = ["gradient", "Hessian", "third derivative"]


@pytest.mark.parametrize("species", zoo.POTENTIALS, ids=repr)
class TestPotential:
    @given(data=st.data())
    def test_laws_at_special_points(self, species, data):
        laws = [law for law in LAWS if law not in BY_DERIVATIVES]
        testing.check_potential(species.thing, data.draw(species.points()), tolerance=1e-10, laws=laws)

    @given(data=st.data())
    def test_derivatives_match_automatic_differentiation(self, species, data):
        x = torch.from_numpy(data.draw(species.points(batch=(1,))))
        testing.check_potential(species.thing, x, tolerance=1e-10, laws=BY_DERIVATIVES)

    def test_derivatives_match_differences(self, species):
        x = species.to_point(np.random.default_rng(0).uniform(-1, 1, (2, species.dim)))
        testing.check_potential(species.thing, x)

    def test_conjugate_is_an_involution(self, species):
        assert type(species.thing.conjugate.conjugate) is type(species.thing) or isinstance(
            species.thing, type(species.thing.conjugate.conjugate)
        )
