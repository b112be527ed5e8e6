"""Calls of every public function of the numeric engine, for the tests that run them on every backend.

A group's call maps arrays to results by name; `Graph.derivatives_at/first` is a part of what that function
returns. What is public and in no group must stand in `EXCEPTIONS`, with the reason.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import array_api_compat
import numpy as np
import zoo

import lnegeom
from lnegeom import (
    connections,
    curvature,
    derivatives,
    divergences,
    dually_flat,
    eguchi,
    families,
    geodesics,
    metrics,
    operators,
    potentials,
    tensors,
)

MODULES = (
    lnegeom,
    operators,
    tensors,
    curvature,
    connections,
    dually_flat,
    eguchi,
    divergences,
    metrics,
    potentials,
    families,
    geodesics,
    derivatives,
)


def public_functions():
    """Names such as `curvature.ricci` and `Metric.sharp` of all public functions and methods."""
    names = set()
    for module in MODULES:
        for thing in (getattr(module, entry) for entry in module.__all__):
            if inspect.isclass(thing):
                members = inspect.getmembers(thing, callable)
                names |= {f.__qualname__ for name, f in members if is_public(name) and of_ours(f)}
            elif inspect.isfunction(thing):
                names.add(f"{thing.__module__.split('.')[1]}.{thing.__name__}")
    return names


def is_public(name):
    return not name.startswith("_") or name == "__call__"


def of_ours(function):
    return inspect.isroutine(function) and (getattr(function, "__module__", None) or "").startswith("lnegeom")


@dataclass(frozen=True, eq=False)
class Group:
    """`call` maps the arrays to results that have the arrays' `batch` axes in front.

    `traced`: whether JAX may compile it. `differentiable`: whether gradients reach its inputs.
    """

    call: Callable
    arrays: tuple
    batch: tuple = ()
    traced: bool = True
    differentiable: bool = True
    tolerance: float = 1e-10
    single: float = 2e-3


def uniform(seed, low, high, *shape):
    return np.random.default_rng(seed).uniform(low, high, shape)


def symmetric(array, *axes):
    return (array + np.swapaxes(array, *axes)) / 2


# --- fields of three variables, in any library -------------------------------------------------------------


def hill(x):
    xp = array_api_compat.array_namespace(x)
    return xp.sin(x[0]) * x[1] + x[2] ** 2


def wind(x):
    xp = array_api_compat.array_namespace(x)
    return xp.stack([xp.sin(x[1]) + x[0], x[0] * x[2], xp.cos(x[0]) * x[1]])


def stress(x):
    xp = array_api_compat.array_namespace(x)
    a, b, c = x[0], x[1], x[2]
    rows = [[xp.sin(b), a * c, b * b], [a * c, xp.cos(a), a + c], [b * b, a + c, xp.exp(a / 5) * b]]
    return xp.stack([xp.stack(row) for row in rows])


GRAPH = lnegeom.Graph(lnegeom.LogCosh(1.0), sign=-1)
SURFACE = lnegeom.Pullback(zoo.ellipsoid, 2, lnegeom.Sphere(3), vectorized=True)
IN_FLAT_SPACE = lnegeom.Pullback(zoo.ellipsoid, 2, vectorized=True)


def of_metrics(x, v, w):
    at = ("matrix", "inverse", "logdet", "christoffel", "riemann", "ricci", "scalar_curvature")
    found = {f"Metric.{name}": getattr(GRAPH, name)(x) for name in at}
    found |= {
        f"Metric.{name}": getattr(GRAPH, name)(x, v) for name in ("sharp", "flat", "norm", "ricci_apply")
    }
    found |= {f"Metric.{name}": getattr(GRAPH, name)(x, v, w) for name in ("inner", "christoffel_apply")}
    lne = lnegeom.LNE(0.7)
    found |= {f"LNE.{name}": getattr(lne, name)(x, v) for name in ("sharp", "ricci_apply")}
    found |= {"LNE.christoffel_apply": lne.christoffel_apply(x, v, w)}
    return found | {"LNE.scalar_curvature": lne.scalar_curvature(x)}


def of_spaces(x):
    sphere, matrices = lnegeom.Sphere(3, radius=1.5), lnegeom.SPD(2)
    plane = lnegeom.FromCallable(zoo.expanding, 2, negative=1)
    estimated = lnegeom.EstimatedFisher.by_quadrature(zoo.logistic, 2, points=100)
    y = sphere.embed(x)
    point = x + as_like(x, [2.0, 0.0, 2.0])
    jets = {
        "JetMetric": plane.derivatives_at(x[..., :2]),
        "Graph": lnegeom.Graph(hill).derivatives_at(x),
        "Conformal": lnegeom.Conformal(hill).derivatives_at(x),
        "Warped": lnegeom.Warped(lnegeom.LNE(0.7), sphere, hill_on(2), dims=(3, 3)).derivatives_at(twice(x)),
        "Product": lnegeom.Product(lnegeom.Graph(hill), sphere, dims=(3, 3)).derivatives_at(twice(x))[0],
        "Pullback": SURFACE.derivatives_at(x[..., :2]),
    }
    found = {
        f"{name}.derivatives_at/{part}": getattr(jet, part) for name, jet in jets.items() for part in PARTS
    }
    return found | {
        "Sphere.embed": y,
        "Sphere.project": sphere.project(y),
        "Torus.wrap": lnegeom.Torus([0.3, 1.0, 2.0]).wrap(x),
        "SPD.to_matrix": matrices.to_matrix(point),
        "SPD.from_matrix": matrices.from_matrix(matrices.to_matrix(point)),
        "EstimatedFisher.error": estimated.error(x[..., :2]),
    }


PARTS = ("value", "first", "second")


def as_like(x, value):
    return array_api_compat.array_namespace(x).asarray(
        value, dtype=x.dtype, device=array_api_compat.device(x)
    )


def twice(x):
    return array_api_compat.array_namespace(x).concat([x, x], axis=-1)


def hill_on(height):
    return lambda x: height + hill(x)


def of_derivatives(x):
    found = derivatives.jet(stress, x)
    result = {f"derivatives.jet/{part}": getattr(found, part) for part in PARTS}
    result["derivatives.gradient"] = derivatives.gradient(hill, x)
    return result | {"derivatives.evaluate": derivatives.evaluate(stress, x)}


def of_curvature(x, u, v):
    metric = lnegeom.Conformal(lnegeom.LogCosh(0.7), lnegeom.LNE(0.3))
    names = ("christoffel", "riemann", "ricci", "scalar_curvature", "einstein", "kretschmann", "weyl")
    found = {f"curvature.{name}": getattr(curvature, name)(metric, x) for name in names}
    found["curvature.christoffel/lowered"] = curvature.christoffel(metric, x, lowered=True)
    found["curvature.riemann/lowered"] = curvature.riemann(metric, x, lowered=True)
    return found | {"curvature.sectional_curvature": curvature.sectional_curvature(metric, x, u, v)}


def of_operators(x):
    found = {
        "covariant_derivative": operators.covariant_derivative(GRAPH, wind, x, "^"),
        "divergence": operators.divergence(GRAPH, wind, x),
        "gradient": operators.gradient(GRAPH, hill, x),
        "hessian": operators.hessian(GRAPH, hill, x),
        "laplacian": operators.laplacian(GRAPH, hill, x),
        "lie_derivative": operators.lie_derivative(wind, stress, x, "__"),
        "killing_residual": operators.killing_residual(GRAPH, wind, x),
        "rough_laplacian": operators.rough_laplacian(GRAPH, stress, x),
        "lichnerowicz_laplacian": operators.lichnerowicz_laplacian(GRAPH, stress, x),
    }
    return {f"operators.{name}": value for name, value in found.items()}


def of_submanifolds(x):
    return {"operators.second_fundamental_form": operators.second_fundamental_form(SURFACE, x)}


def of_residuals(x):
    names = ("gauss_residual", "codazzi_residual")
    return {f"operators.{name}": getattr(operators, name)(IN_FLAT_SPACE, x) for name in names}


def of_tensors(inverse, dg, ddg, dgamma, vector, slope, bend):
    xp = array_api_compat.array_namespace(inverse)
    gamma = tensors.christoffel(xp, inverse, dg)
    found = {
        "apply_first": tensors.apply_first(xp, inverse, dg),
        "lowered_christoffel": tensors.lowered_christoffel(xp, dg),
        "christoffel": gamma,
        "christoffel_derivative": tensors.christoffel_derivative(xp, inverse, dg, ddg),
        "covariant": tensors.covariant(xp, gamma, vector, slope, "^"),
        "derivation": tensors.derivation(xp, inverse, slope, "^_"),
        "second_covariant": tensors.second_covariant(xp, gamma, dgamma, (vector, slope, bend), "_"),
        "lowered_riemann": tensors.lowered_riemann(xp, inverse, dg, ddg),
        "ricci": tensors.ricci(xp, inverse, dg, ddg),
    }
    return {f"tensors.{name}": value for name, value in found.items()}


def of_connections(x, u, v, jacobian, hessian):
    xp = array_api_compat.array_namespace(x)
    connection = lnegeom.KL(lnegeom.Categorical(4)).connections().alpha(0.5)
    names = ("lowered", "christoffel", "cubic", "curvature", "torsion", "duality_residual")
    found = {f"DualConnections.{name}": getattr(connection, name)(x) for name in names}
    found["DualConnections.christoffel_apply"] = connection.christoffel_apply(x, u, v)
    found["DualConnections.embedding_curvature"] = connection.embedding_curvature(x, jacobian, hessian)
    return found | {"DualConnections.is_dually_flat": xp.astype(connection.is_dually_flat(x), x.dtype)}


def of_dual_coordinates(p, q, r):
    space = lnegeom.DuallyFlat(lnegeom.LogSumExp())
    eta = space.dual_coordinates(p)
    found = {
        "dual_coordinates": eta,
        "from_dual_coordinates": space.from_dual_coordinates(eta),
        "divergence": space.divergence(p, q),
        "pythagorean_residual": space.pythagorean_residual(p, q, r),
        "cross": space.cross(p, q, r),
    }
    return {f"DuallyFlat.{name}": value for name, value in found.items()}


def of_projections(p, q, directions):
    space = lnegeom.DuallyFlat(lnegeom.LogSumExp())
    return {
        f"DuallyFlat.project/{where}": space.project(p, q, directions, affine_in=where)
        for where in ("theta", "eta")
    }


def of_potentials(x, y):
    psi, separable = lnegeom.LogSumExp(), lnegeom.LogCosh(0.7)
    names = ("gradient", "hessian", "third_derivative")
    found = {f"Potential.{name}": getattr(psi, name)(x) for name in names}
    found["Potential.__call__"] = psi(x)
    found["SeparablePotential.hessian_diagonal"] = separable.hessian_diagonal(x)
    skewed = lnegeom.CallableDivergence(zoo.skewed, 2)
    return found | {
        "Divergence.__call__": lnegeom.Hyperbolic(0.7)(x, y),
        "Divergence.__call__/callable": skewed(x[..., :2], y[..., :2]),
    }


def of_families(a, b, direction):
    xp, one = array_api_compat.array_namespace(a), lnegeom.Normal()
    weights = xp.exp(direction)
    chances = weights / xp.sum(weights, axis=-1, keepdims=True)
    covariance = xp.stack(
        [xp.stack([1 + a, a * b / 4], axis=-1), xp.stack([a * b / 4, 1 + b], axis=-1)], axis=-2
    )
    unit = direction / xp.linalg.vector_norm(direction, axis=-1, keepdims=True)
    p, q = one.natural(a, b), one.natural(b, a)
    found = {
        "Bernoulli": lnegeom.Bernoulli().natural(a / 4),
        "Beta": lnegeom.Beta().natural(a, b),
        "Categorical": lnegeom.Categorical(3).natural(chances),
        "Dirichlet": lnegeom.Dirichlet(3).natural(weights),
        "Exponential": lnegeom.Exponential().natural(a),
        "Gamma": lnegeom.Gamma().natural(a, b),
        "MultivariateNormal": lnegeom.MultivariateNormal(2).natural(direction[..., :2], covariance),
        "Normal": p,
        "Poisson": lnegeom.Poisson().natural(a),
        "VonMisesFisher": lnegeom.VonMisesFisher(3).natural(unit, a),
    }
    found = {f"{name}.natural": value for name, value in found.items()}
    return found | {
        "Categorical.probabilities": lnegeom.Categorical(4).probabilities(direction),
        "ExponentialFamily.parameters/0": one.parameters(p)[0],
        "ExponentialFamily.parameters/1": one.parameters(p)[1],
        "ExponentialFamily.mean_parameters": one.mean_parameters(p),
        "ExponentialFamily.from_mean_parameters": one.from_mean_parameters(one.mean_parameters(p)),
        "ExponentialFamily.statistic": one.statistic(a),
        "ExponentialFamily.log_density": one.log_density(p, b),
        "FisherRaoFamily.distance": one.distance(p, q),
    }


def of_closed_geodesics(x, y, v, w):
    sphere = lnegeom.Sphere(3)
    path = lnegeom.geodesic(sphere, x[0, :], v, samples=3)
    found = {
        "exp": lnegeom.exp(sphere, x, v),
        "log": lnegeom.log(sphere, x, y),
        "distance": lnegeom.distance(sphere, x, y),
        "parallel_transport": lnegeom.parallel_transport(sphere, x, v, w),
        "retract": lnegeom.retract(GRAPH, x, v),
        "geodesic/points": path.points,
        "geodesic/velocities": path.velocities,
    }
    return {f"geodesics.{name}": value for name, value in found.items()}


def of_integrated_geodesics(x, v, w):
    metric = lnegeom.LNE(0.5)
    field = lnegeom.jacobi_field(metric, x[0, :], v / 5, w, w, samples=2)
    found = {
        "exp/integrated": lnegeom.exp(metric, x[0, :], v / 5),
        "parallel_transport/integrated": lnegeom.parallel_transport(metric, x[0, :], v / 5, w),
        "geodesic/integrated": field.points,
        "jacobi_field": field.fields,
        "distance/integrated": lnegeom.distance(metric, x[0, :], x[1, :]),
    }
    return {f"geodesics.{name}": value for name, value in found.items()}


def of_found_points(x, v):
    sphere = lnegeom.Sphere(2)
    found = {
        "frechet_mean": lnegeom.frechet_mean(sphere, x).point,
        "conjugate_point": lnegeom.conjugate_point(sphere, x[0, :], 3 * v, 2.0).point,
        "logarithm": lnegeom.logarithm(sphere, x[0, :], x[1, :]).velocities,
    }
    return {f"geodesics.{name}": value for name, value in found.items()}


POINT = uniform(0, 0.1, 0.5, 2, 1, 3)
PAIR = uniform(1, -0.4, 0.4, 2, 2, 3)
VECTORS = tuple(uniform(2, -1, 1, 2, 3))
JETS = (
    np.eye(3) + symmetric(uniform(3, -0.2, 0.2, 2, 3, 3), -1, -2),
    symmetric(uniform(4, -1, 1, 2, 3, 3, 3), -2, -3),
    symmetric(symmetric(uniform(5, -1, 1, 2, 3, 3, 3, 3), -3, -4), -1, -2),
    uniform(6, -1, 1, 2, 3, 3, 3, 3),
    uniform(7, -1, 1, 2, 3),
    uniform(8, -1, 1, 2, 3, 3),
    uniform(9, -1, 1, 2, 3, 3, 3),
)
# In numpy and the strict library derivatives are differences: third ones keep five digits.
GROUPS = {
    "metrics": Group(of_metrics, (POINT, *VECTORS), (2, 1)),
    "spaces": Group(of_spaces, (POINT,), (2, 1), tolerance=1e-7),
    "derivatives": Group(of_derivatives, (PAIR[0],), (2,), tolerance=1e-7),
    "curvature": Group(of_curvature, (uniform(10, 0.1, 0.5, 2, 1, 3), *uniform(11, -1, 1, 2, 3)), (2, 1)),
    "operators": Group(of_operators, (PAIR[0],), (2,), tolerance=1e-7),
    "submanifolds": Group(of_submanifolds, (PAIR[0, :1, :2],), (1,), tolerance=1e-7),
    "residuals": Group(  # which vanish, and so do their gradients
        of_residuals, (PAIR[0, :1, :2],), (1,), differentiable=False, tolerance=1e-4
    ),
    "tensors": Group(of_tensors, JETS, (2,)),
    "connections": Group(
        of_connections, (PAIR[0], *VECTORS, uniform(12, -1, 1, 3, 2), uniform(13, -1, 1, 3, 2, 2)), (2,)
    ),
    "dual coordinates": Group(of_dual_coordinates, (*PAIR, PAIR[0] / 2), (2,)),
    "projections": Group(
        of_projections, (*PAIR, uniform(14, -1, 1, 3, 2)), (2,), traced=False, differentiable=False
    ),
    "potentials": Group(of_potentials, tuple(PAIR), (2,)),
    "families": Group(of_families, (*uniform(15, 0.5, 1.5, 2, 2), uniform(16, -1, 1, 2, 3)), (2,)),
    "closed geodesics": Group(of_closed_geodesics, (*PAIR, *VECTORS)),
    "integrated geodesics": Group(
        of_integrated_geodesics,
        (PAIR[0, :, :2], *(v[:2] for v in VECTORS)),
        traced=False,
        tolerance=1e-6,
    ),
    "found points": Group(  # conjugate points have no derivatives, those of others are in tests/geodesics
        of_found_points,
        (PAIR[0, :, :2], VECTORS[0][:2]),
        traced=False,
        differentiable=False,
        tolerance=1e-6,
    ),
}

WITH_CONNECTIONS = "Bregman", "CallableDivergence", "Divergence", "Euclidean", "KL"
EXCEPTIONS = dict.fromkeys(
    [
        *(f"{kind}.{name}" for kind in WITH_CONNECTIONS for name in ("metric", "connections")),
        *(f"{kind}.alpha" for kind in ("DualConnections", "EguchiConnections", "HessianConnections")),
        *(f"EstimatedFisher.by_{rule}" for rule in ("quadrature", "sum", "monte_carlo")),
        "connections.metric_of",
    ],
    "returns an object, no array: what the object computes is in a group",
) | {"derivatives.check_source": "takes a text and returns it"}
