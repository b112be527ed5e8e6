"""Fisher metrics and curvature of families far out, against the general formula with fifty digits."""

import mpmath
import numpy as np
import pytest
from conftest import assert_agree

import lnegeom
from lnegeom import families

DIGITS = 50


def curvature(hessian, third):
    """Inverse, symbols, Ricci and scalar of a Hessian metric by its general formula, in mpmath."""
    g = np.array([[mpmath.mpf(v) for v in row] for row in hessian])
    t = np.array(third) + mpmath.mpf(0)
    inverse = np.array((mpmath.matrix(g.tolist()) ** -1).tolist(), dtype=object).reshape(g.shape)
    up = np.einsum("ia,ajk->ijk", inverse, t)  # T^i_jk
    first = np.einsum("qjk,kql->jl", up, up)
    trace = np.einsum("kqk->q", np.einsum("kjl,lq->kqj", up, inverse))
    ricci = (first - np.einsum("jlq,q->jl", t, trace)) / 4
    return inverse, up / 2, ricci, np.sum(inverse * ricci)


def psi(order, x):
    return mpmath.psi(order, x)


def gamma(point):
    a, rate = mpmath.mpf(point[0]), -mpmath.mpf(point[1])
    hessian = [[psi(1, a), 1 / rate], [1 / rate, a / rate**2]]
    corner = [[0, 1 / rate**2], [1 / rate**2, 2 * a / rate**3]]
    return hessian, [[[psi(2, a), 0], [0, 1 / rate**2]], corner]


def dirichlet(point):
    x = [mpmath.mpf(float(v)) for v in point]
    n, total = len(x), sum(x)
    unit = range(n)
    hessian = [[(i == j) * psi(1, x[i]) - psi(1, total) for j in unit] for i in unit]
    return hessian, [
        [[(i == j == k) * psi(2, x[i]) - psi(2, total) for k in unit] for j in unit] for i in unit
    ]


def normal(point):
    v = -1 / (2 * mpmath.mpf(point[1]))
    m = mpmath.mpf(point[0]) * v
    corner = [[2 * v**2, 8 * m * v**2], [8 * m * v**2, 24 * m**2 * v**2 + 8 * v**3]]
    return [[v, 2 * m * v], [2 * m * v, 4 * m**2 * v + 2 * v**2]], [[[0, 2 * v**2], corner[0]], corner]


def von_mises_fisher(point):
    """On the first axis; derivatives of the mean resultant length by its differential equation."""
    n, kappa = len(point), mpmath.mpf(float(point[0]))
    length = mpmath.besseli(mpmath.mpf(n) / 2, kappa) / mpmath.besseli(mpmath.mpf(n) / 2 - 1, kappa)
    slope = 1 - length**2 - (n - 1) * length / kappa
    bend = -2 * length * slope - (n - 1) * (slope / kappa - length / kappa**2)
    hessian = np.diag([slope] + [length / kappa] * (n - 1))
    third = np.zeros((n, n, n), dtype=object)
    third[0, 0, 0] = bend
    for i in range(1, n):
        third[0, i, i] = third[i, 0, i] = third[i, i, 0] = (slope - length / kappa) / kappa
    return hessian.tolist(), third


def relative(value, expected):
    """The largest error of an entry, next to itself; next to 1e-300 where it is zero."""
    expected = np.asarray(expected, dtype=object)
    return max(
        abs(float((mpmath.mpf(float(v)) - e) / (abs(e) + mpmath.mpf("1e-300"))))
        for v, e in zip(np.ravel(value), expected.ravel(), strict=True)
    )


def errors(family, exact, point):
    with mpmath.workdps(DIGITS + 25):
        metric = lnegeom.Fisher(family)
        hessian, third = exact(point)
        inverse, symbols, ricci, scalar = curvature(hessian, third)
        found = {
            "matrix": relative(metric.matrix(point), hessian),
            "inverse": relative(metric.inverse(point), inverse),
            "symbols": relative(metric.christoffel(point), symbols),
            "ricci": relative(metric.ricci(point), ricci),
            "scalar": relative(metric.scalar_curvature(point), scalar),
        }
        determinant = mpmath.det(mpmath.matrix(hessian))
        found["logdet"] = float(abs(metric.logdet(point) - mpmath.log(determinant)))
        return found


@pytest.mark.parametrize("shape", [*10.0 ** np.arange(-6, 13, 3), 15.9, 16.1])
def test_gamma(shape):
    found = errors(families.Gamma(), gamma, families.Gamma().natural(shape, 3.0))
    assert max(found.values()) < 1e-12, found


@pytest.mark.parametrize("mean", [0.7, 1e3, 1e6, 1e9])
def test_normal(mean):
    found = errors(families.Normal(), normal, families.Normal().natural(mean, 0.8))
    assert max(found.values()) < 1e-12, found


@pytest.mark.parametrize("n", [2, 3, 6])
@pytest.mark.parametrize("kappa", [1e-6, 0.4, 19.0, 50.0, 1e4, 1e8])
def test_von_mises_fisher(n, kappa):
    point = np.zeros(n)
    point[0] = kappa
    found = errors(families.VonMisesFisher(n), von_mises_fisher, point)
    assert max(found.values()) < 1e-10, found


def test_von_mises_fisher_in_many_dimensions():
    n, kappa = 300, np.array([3.0, 200.0, 3e4])
    scalar = lnegeom.Fisher(families.VonMisesFisher(n)).scalar_curvature(kappa[:, None] * np.eye(n)[0])
    for value, k in zip(scalar, map(mpmath.mpf, kappa), strict=True):
        with mpmath.workdps(DIGITS):
            m = mpmath.besseli(150, k) / mpmath.besseli(149, k)
            slope = 1 - m**2 - (n - 1) * m / k
            bend = -2 * m * slope - (n - 1) * (slope / k - m / k**2)
            # A warped product m' dκ² + f² dΩ², f² = κ m: by arc length, K = −f''/f along and (1 − f'²)/f².
            f = mpmath.sqrt(k * m)
            rise = (m + k * slope) / (2 * f)
            second = (2 * slope + k * bend) / (2 * f) - rise**2 / f
            along = (rise * bend / (2 * slope**2) - second / slope) / f
            across = (1 - rise**2 / slope) / f**2
            expected = 2 * (n - 1) * along + (n - 1) * (n - 2) * across
            assert abs(value / expected - 1) < 1e-10


@pytest.mark.parametrize("kappa", [0.0, 10.0, 1e4])
def test_the_value_in_a_thousand_dimensions(kappa):
    n, order = 1000, mpmath.mpf(499)
    with mpmath.workdps(DIGITS):
        k = mpmath.mpf(kappa) + mpmath.mpf("1e-30")
        expected = (order + 1) * mpmath.log(2 * mpmath.pi) + mpmath.log(mpmath.besseli(order, k) / k**order)
    value = families.VonMisesFisher(n).log_partition(kappa * np.eye(n)[0])
    np.testing.assert_allclose(value, float(expected), rtol=1e-14)


@pytest.mark.parametrize(
    ("point", "tolerance"),
    [
        ((1e-6, 1e-6), 1e-12),
        ((1e4, 2e4), 1e-12),
        ((1e12, 3e12), 1e-12),
        ((0.02, 0.3, 0.05), 1e-12),
        ((0.5, 2.0, 30.0), 1e-12),
        ((1e12, 1.0, 3e5), 1e-12),
        ((1e-6, 12.0), 1e-14 / 1e-6),
        ((1e-4, 7.0, 1e6), 1e-14 / 1e-4),
    ],
)
def test_dirichlet(point, tolerance):
    found = errors(families.Dirichlet(len(point)), dirichlet, np.array(point))
    assert max(found["inverse"], found["scalar"], found["logdet"]) < tolerance, found
    others = sum(point) - max(point)  # the metric itself is a difference of ψ₁ at the largest and at the sum
    assert max(found["symbols"], found["ricci"]) < tolerance + 1e-15 * sum(point) / others, found
    if len(point) == 2:
        beta = lnegeom.Fisher(families.Beta()).scalar_curvature(np.array(point))
        assert beta == lnegeom.Fisher(families.Dirichlet(2)).scalar_curvature(np.array(point))


def covariance_of_statistic(theta, k):
    """The covariance of ``(x_i, x_i x_j)``, off-diagonal products doubled, of a normal x, by Isserlis."""
    pairs = [(int(i), int(j)) for i, j in zip(*np.triu_indices(k), strict=True)]
    precision = mpmath.matrix(k, k)
    for (i, j), value in zip(pairs, theta[k:], strict=True):
        precision[i, j] = precision[j, i] = -2 * mpmath.mpf(value)
    sigma = precision**-1
    mu = sigma * mpmath.matrix(theta[:k].tolist())

    def entry(a, b):
        if len(a) == len(b) == 1:
            return sigma[a[0], b[0]]
        if len(a) + len(b) == 3:
            (i,), (j, m) = sorted((a, b), key=len)
            return sigma[i, j] * mu[m] + sigma[i, m] * mu[j]
        (i, j), (m, n) = a, b
        value = sigma[i, m] * sigma[j, n] + sigma[i, n] * sigma[j, m]
        return value + sum(sigma[p, q] * mu[r] * mu[s] for p, r in (a, a[::-1]) for q, s in (b, b[::-1]))

    names = [(i,) for i in range(k)] + pairs
    weights = [1 if len(a) == 1 or a[0] == a[1] else 2 for a in names]
    return mpmath.matrix(
        [
            [v * w * entry(a, b) for b, w in zip(names, weights, strict=True)]
            for a, v in zip(names, weights, strict=True)
        ]
    )


@pytest.mark.parametrize("size", [1, 2, 3])
def test_multivariate_normal(size):
    family, rng = families.MultivariateNormal(size), np.random.default_rng(size)
    root = rng.normal(size=(size, size))
    covariance = root @ root.T + np.eye(size)
    near, far = family.natural([rng.normal(size=size), np.full(size, 1e6)], covariance)
    fisher, scalar = lnegeom.Fisher(family), -size * (size + 1) ** 2 / 4
    np.testing.assert_allclose(fisher.scalar_curvature([near, far]), scalar, rtol=1e-14)
    # By the general formula, from third derivatives, where it loses no digits.
    general = np.einsum("rsrv->sv", fisher.riemann(near))
    np.testing.assert_allclose(fisher.ricci(near), general, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(np.sum(fisher.inverse(near) * general), scalar, rtol=1e-11)
    with mpmath.workdps(DIGITS):
        exact = covariance_of_statistic(far, size)
        inverse = np.array((exact**-1).tolist(), dtype=object)
        assert relative(fisher.inverse(far), inverse) < 1e-12
        assert abs(fisher.logdet(far) - mpmath.log(mpmath.det(exact))) < 1e-12


@pytest.mark.parametrize("rate", [1e-6, 1.0, 1e12])
def test_poisson(rate):
    family = families.Poisson()
    p, q = family.natural(rate), family.natural(3 * rate)
    assert lnegeom.Fisher(family).scalar_curvature(p) == 0
    with mpmath.workdps(DIGITS):
        a, b = mpmath.exp(mpmath.mpf(p[0])), mpmath.exp(mpmath.mpf(q[0]))
        pairs = {
            "kl": (lnegeom.KL(family)(p, q), a * mpmath.log(a / b) - a + b),
            "distance": (family.distance(p, q), 2 * (mpmath.sqrt(b) - mpmath.sqrt(a))),
            "fisher": (lnegeom.Fisher(family).matrix(p)[0, 0], a),
        }
        for name, (value, expected) in pairs.items():
            assert abs(value / expected - 1) < 1e-13, name


def test_derivatives_in_five_dimensions_on_every_library(backend):
    # The value needs Bessel functions that torch and JAX lack; its derivatives do not.
    psi = families.VonMisesFisher(5).log_partition
    theta = np.random.default_rng(0).uniform(-1, 1, (3, 5)) * [[0.01], [4.0], [400.0]]

    def evaluate(x):
        fisher = lnegeom.Hessian(psi)
        found = {"gradient": psi.gradient(x), "third": psi.third_derivative(x)}
        return found | {"scalar": fisher.scalar_curvature(x), "inverse": fisher.inverse(x)}

    assert_agree(backend, evaluate, (theta,), "float64", 1e-11, (3,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", [families.Exponential(), families.Gamma()], ids=repr)
def test_divergence_of_rates_far_apart(family, dtype):
    rates = np.array([1e-8, 1.0, 1e8], dtype)
    shape = () if family.dim == 1 else (np.ones(3, dtype),)
    theta = family.natural(*shape, rates)
    found = lnegeom.KL(family)(theta[:, None], theta)
    assert found.dtype == dtype
    with mpmath.workdps(DIGITS):
        ratio = [[mpmath.mpf(float(b)) / mpmath.mpf(float(a)) for b in rates] for a in rates]
        expected = [[float(r - 1 - mpmath.log(r)) for r in row] for row in ratio]
    np.testing.assert_allclose(found, expected, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("family", [families.Bernoulli(), families.Categorical(3)], ids=repr)
def test_divergence_where_the_reference_is_nearly_certain(family):
    p, q = np.full(family.dim, -700.0), np.full(family.dim, -50.0)
    expected = family.dim * np.exp(-50.0)  # log(1 + Σ e^q) − log(1 + Σ e^p)
    np.testing.assert_allclose(lnegeom.KL(family)(p, q), expected, rtol=1e-14)
    certain = 0.0 if family.dim == 1 else 2.0
    np.testing.assert_allclose(family.log_density(q, certain), -expected, rtol=1e-14)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 0.1])
def test_distances_of_near_points_keep_their_digits(size):
    a, b = np.array([0.4, -0.7]), np.array([0.4 + size, -0.7 - size / 3])
    with mpmath.workdps(DIGITS):
        p, q = ([mpmath.mpf(float(v)) for v in point] for point in (a, b))
        (m, v), (n, w) = ((-x / (2 * y), -1 / (2 * y)) for x, y in (p, q))
        chord = ((m - n) ** 2 / 2 + (mpmath.sqrt(v) - mpmath.sqrt(w)) ** 2) / mpmath.sqrt(v * w)
        normal = 2 * mpmath.sqrt(2) * mpmath.asinh(mpmath.sqrt(chord) / 2)
        roots = [[mpmath.exp(x / 2) for x in (*point, 0)] for point in (p, q)]
        roots = [[x / mpmath.norm(row) for x in row] for row in roots]
        categorical = 4 * mpmath.asin(mpmath.norm([x - y for x, y in zip(*roots, strict=True)]) / 2)
    np.testing.assert_allclose(families.Normal().distance(a, b), float(normal), rtol=4e-15)
    np.testing.assert_allclose(families.Categorical(3).distance(a, b), float(categorical), rtol=4e-15)
