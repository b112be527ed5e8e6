"""Ricci flows: on tori, boxes, homogeneous spaces and warped products; decay, exact solutions, and RF-DNN's
flow.
"""

from lnegeom.flow.box_flow import box
from lnegeom.flow.box_grid import BoxGrid
from lnegeom.flow.closeness import closeness, rank_one_closeness
from lnegeom.flow.decay import DecayRate, decay_rate
from lnegeom.flow.discrete import (
    discrete_flow_residual,
    relative_flow_residual,
    squared_norm_of_differences,
)
from lnegeom.flow.exact import cigar, king_conformal
from lnegeom.flow.homogeneous_flow import homogeneous
from lnegeom.flow.lie import LieGroup
from lnegeom.flow.normalised import normalise
from lnegeom.flow.rotational_flow import dumbbell, rotational
from lnegeom.flow.singular import singular_time
from lnegeom.flow.solution import Solution
from lnegeom.flow.spaces import EinsteinSpace, ProductSpace
from lnegeom.flow.torus.conformal import conformal
from lnegeom.flow.torus.evolve import ricci, ricci_deturck
from lnegeom.flow.torus.grid import TorusGrid
from lnegeom.flow.torus.initial import perturbed_flat, plane_wave
from lnegeom.flow.torus.invariants import measure
from lnegeom.flow.torus.lichnerowicz import spectrum
from lnegeom.flow.warped import WarpedGrid

__all__ = [
    "BoxGrid",
    "DecayRate",
    "EinsteinSpace",
    "LieGroup",
    "ProductSpace",
    "Solution",
    "TorusGrid",
    "WarpedGrid",
    "box",
    "cigar",
    "closeness",
    "conformal",
    "decay_rate",
    "discrete_flow_residual",
    "dumbbell",
    "homogeneous",
    "king_conformal",
    "measure",
    "normalise",
    "perturbed_flat",
    "plane_wave",
    "rank_one_closeness",
    "relative_flow_residual",
    "ricci",
    "ricci_deturck",
    "rotational",
    "singular_time",
    "spectrum",
    "squared_norm_of_differences",
]
