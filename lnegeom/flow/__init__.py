"""Ricci–DeTurck flow on flat tori, its decay, exact solutions, and RF-DNN's discrete Ricci flow."""

from lnegeom.flow.decay import DecayRate, decay_rate
from lnegeom.flow.discrete import discrete_flow_residual, squared_norm_of_differences
from lnegeom.flow.evolve import ricci_deturck
from lnegeom.flow.exact import king_conformal
from lnegeom.flow.grid import TorusGrid
from lnegeom.flow.initial import perturbed_flat
from lnegeom.flow.solution import Solution

__all__ = [
    "DecayRate",
    "Solution",
    "TorusGrid",
    "decay_rate",
    "discrete_flow_residual",
    "king_conformal",
    "perturbed_flat",
    "ricci_deturck",
    "squared_norm_of_differences",
]
