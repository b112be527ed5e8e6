"""Ricci–DeTurck flow on flat tori, its decay, exact solutions, and RF-DNN's discrete Ricci flow."""

from lnegeom.flow.closeness import closeness, rank_one_closeness
from lnegeom.flow.decay import DecayRate, decay_rate
from lnegeom.flow.discrete import discrete_flow_residual, squared_norm_of_differences
from lnegeom.flow.evolve import ricci, ricci_deturck
from lnegeom.flow.exact import king_conformal
from lnegeom.flow.grid import TorusGrid
from lnegeom.flow.initial import perturbed_flat, plane_wave
from lnegeom.flow.invariants import measure
from lnegeom.flow.lichnerowicz import spectrum
from lnegeom.flow.solution import Solution

__all__ = [
    "DecayRate",
    "Solution",
    "TorusGrid",
    "closeness",
    "decay_rate",
    "discrete_flow_residual",
    "king_conformal",
    "measure",
    "perturbed_flat",
    "plane_wave",
    "rank_one_closeness",
    "ricci",
    "ricci_deturck",
    "spectrum",
    "squared_norm_of_differences",
]
