"""Families against scipy.stats, torch.distributions, quadrature and multiple precision."""

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

import lnegeom
from lnegeom import families

COVARIANCE = np.array([[1.0, 0.4], [0.4, 0.7]])
OTHER = np.array([[0.8, -0.1], [-0.1, 1.2]])


# Family, two lists of usual parameters, the frozen scipy distribution of such a list.
SCALAR = {
    "bernoulli": (families.Bernoulli(), [0.3], [0.6], scipy.stats.bernoulli),
    "poisson": (families.Poisson(), [2.5], [4.0], scipy.stats.poisson),
    "exponential": (families.Exponential(), [2.5], [0.7], lambda rate: scipy.stats.expon(scale=1 / rate)),
    "normal": (families.Normal(), [0.3, 0.7], [-1.0, 1.5], scipy.stats.norm),
    "gamma": (families.Gamma(), [2.5, 1.5], [1.2, 0.4], lambda a, b: scipy.stats.gamma(a, scale=1 / b)),
    "beta": (families.Beta(), [2.5, 1.5], [1.2, 3.0], scipy.stats.beta),
    "gamma, small": (
        families.Gamma(),
        [0.4, 3.0],
        [0.7, 1.0],
        lambda a, b: scipy.stats.gamma(a, scale=1 / b),
    ),
}
TORCH = {
    "bernoulli": torch.distributions.Bernoulli,
    "poisson": torch.distributions.Poisson,
    "exponential": torch.distributions.Exponential,
    "normal": torch.distributions.Normal,
    "gamma": torch.distributions.Gamma,
    "gamma, small": torch.distributions.Gamma,
    "beta": torch.distributions.Beta,
}


def expectation(distribution, function):
    """E f(x), by summation or quadrature, of a function of many points with values in the last axis."""
    if isinstance(distribution.dist, scipy.stats.rv_discrete):
        x = np.arange(200.0) if distribution.support()[1] > 1 else np.arange(2.0)
        return np.sum(distribution.pmf(x)[:, None] * function(x), axis=0)
    # In t = P(X ≤ x) singular densities at the ends of the support are tame; tanh-sinh does the rest.
    s = np.linspace(-3.2, 3.2, 1601)
    arg = np.pi / 2 * np.sinh(s)
    weight = (s[1] - s[0]) * np.pi / 4 * np.cosh(s) / np.cosh(arg) ** 2
    low = 1 / (1 + np.exp(-2 * arg))
    x = np.where(arg < 0, distribution.ppf(low), distribution.isf(1 / (1 + np.exp(2 * arg))))
    return np.sum(weight[:, None] * function(x), axis=0)


@pytest.mark.parametrize("name", SCALAR)
class TestScalarFamilies:
    def test_log_density_matches_scipy(self, name):
        family, parameters, _, scipys = SCALAR[name]
        distribution = scipys(*parameters)
        x = distribution.rvs(size=20, random_state=np.random.default_rng(0)).astype(float)
        log = distribution.logpmf if hasattr(distribution.dist, "pmf") else distribution.logpdf
        theta = family.natural(*parameters)
        np.testing.assert_allclose(family.log_density(theta, x), log(x), rtol=1e-11, atol=1e-12)

    def test_moments_of_the_statistic(self, name):
        family, parameters, _, scipys = SCALAR[name]
        theta, distribution = family.natural(*parameters), scipys(*parameters)
        mean = expectation(distribution, family.statistic)
        np.testing.assert_allclose(family.mean_parameters(theta), mean, rtol=1e-8)

        def second(x):
            t = family.statistic(x) - mean
            return np.reshape(t[:, :, None] * t[:, None, :], (len(x), -1))

        fisher = lnegeom.KL(family).metric().matrix(theta)
        np.testing.assert_allclose(fisher.ravel(), expectation(distribution, second), rtol=1e-7)

    def test_kl_matches_summation_and_torch(self, name):
        family, first, second, scipys = SCALAR[name]
        p, q = family.natural(*first), family.natural(*second)
        ratio = expectation(
            scipys(*first), lambda x: (family.log_density(p, x) - family.log_density(q, x))[:, None]
        )
        value = lnegeom.KL(family)(p, q)
        np.testing.assert_allclose(value, ratio[0], rtol=1e-8)
        peers = (TORCH[name](*(torch.tensor(v, dtype=torch.float64) for v in u)) for u in (first, second))
        np.testing.assert_allclose(value, torch.distributions.kl_divergence(*peers), rtol=1e-12)


def test_multivariate_normal():
    family = families.MultivariateNormal(2)
    mean, other_mean = np.array([0.3, -1.0]), np.array([1.0, 0.5])
    p, q = family.natural(mean, COVARIANCE), family.natural(other_mean, OTHER)
    peer = scipy.stats.multivariate_normal(mean, COVARIANCE)
    x = peer.rvs(10, random_state=np.random.default_rng(0))
    np.testing.assert_allclose(family.log_density(p, x), peer.logpdf(x), rtol=1e-12)
    peers = (
        torch.distributions.MultivariateNormal(torch.tensor(m), torch.tensor(c))
        for m, c in ((mean, COVARIANCE), (other_mean, OTHER))
    )
    np.testing.assert_allclose(
        lnegeom.KL(family)(p, q), torch.distributions.kl_divergence(*peers), rtol=1e-12
    )
    second = COVARIANCE + np.outer(mean, mean)
    expected = [*mean, second[0, 0], 2 * second[0, 1], second[1, 1]]
    np.testing.assert_allclose(family.mean_parameters(p), expected, rtol=1e-13)


def test_multivariate_normal_of_one_dimension_is_normal():
    many, one = families.MultivariateNormal(1), families.Normal()
    theta = one.natural([0.3, -1.0], [0.7, 2.0])
    for name in ("gradient", "hessian", "third_derivative", "__call__"):
        a, b = getattr(many.log_partition, name)(theta), getattr(one.log_partition, name)(theta)
        np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=name)
    np.testing.assert_allclose(
        many.log_partition.conjugate([0.5, 1.0]), one.log_partition.conjugate([0.5, 1.0]), rtol=1e-14
    )


def test_dirichlet():
    family = families.Dirichlet(3)
    a, b = np.array([0.5, 2.0, 3.5]), np.array([1.5, 1.0, 0.3])
    peer = scipy.stats.dirichlet(a)
    x = peer.rvs(10, random_state=np.random.default_rng(0))
    x /= x.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(family.log_density(a, x), [peer.logpdf(row) for row in x], rtol=1e-11)
    peers = (torch.distributions.Dirichlet(torch.tensor(v)) for v in (a, b))
    value = lnegeom.KL(family)(a, b)
    np.testing.assert_allclose(value, torch.distributions.kl_divergence(*peers), rtol=1e-12)
    beta = lnegeom.KL(families.Beta())(a[:2], b[:2])
    np.testing.assert_allclose(beta, lnegeom.KL(families.Dirichlet(2))(a[:2], b[:2]), rtol=1e-14)


def test_categorical_log_density():
    family = families.Categorical(3)
    theta = family.natural([0.5, 0.2, 0.3])
    np.testing.assert_allclose(family.log_density(theta, [0, 1, 2]), np.log([0.5, 0.2, 0.3]), rtol=1e-14)


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("kappa", [0.5, 6.0, 80.0])
def test_von_mises_fisher(n, kappa):
    family = families.VonMisesFisher(n)
    mu = np.ones(n) / np.sqrt(n)
    theta = family.natural(mu, kappa)
    peer = scipy.stats.vonmises_fisher(mu, kappa)
    x = peer.rvs(10, random_state=np.random.default_rng(0))
    np.testing.assert_allclose(family.log_density(theta, x), peer.logpdf(x), rtol=1e-12)

    # Along μ the density of c = ⟨μ, x⟩ is proportional to e^{κc} (1 − c²)^{(n−3)/2}; c = cos φ.
    def moment(power, sharpness):
        weight = lambda phi: np.exp(sharpness * (np.cos(phi) - 1)) * np.sin(phi) ** (n - 2)  # noqa: E731
        f = lambda phi: weight(phi) * np.cos(phi) ** power  # noqa: E731
        peak = [3 / np.sqrt(sharpness)] if sharpness > 10 else None
        options = {"epsabs": 0, "epsrel": 1e-12, "points": peak, "limit": 200}
        return scipy.integrate.quad(f, 0, np.pi, **options)[0]

    mean = moment(1, kappa) / moment(0, kappa)
    variance = moment(2, kappa) / moment(0, kappa) - mean**2
    np.testing.assert_allclose(family.mean_parameters(theta), mean * mu, rtol=1e-11)
    fisher = lnegeom.KL(family).metric().matrix(theta)
    np.testing.assert_allclose(mu @ fisher @ mu, variance, rtol=2e-9)
    other = np.linalg.qr(np.c_[mu, np.eye(n)[:, : n - 1]])[0][:, 1]
    np.testing.assert_allclose(other @ fisher @ other, mean / kappa, rtol=1e-11)  # E⟨other, x⟩²
    q = family.natural(other, 2.0)
    normalizer = np.log(moment(0, 2.0)) + 2.0 - np.log(moment(0, kappa)) - kappa
    np.testing.assert_allclose(lnegeom.KL(family)(theta, q), kappa * mean + normalizer, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("kappa", [0.0, 1e-5, 0.3, 3.999999, 4.000001, 50.0, 5000.0])
def test_von_mises_fisher_in_multiple_precision(n, kappa):
    theta = np.zeros(n)
    theta[0] = kappa
    psi = families.VonMisesFisher(n).log_partition
    with mpmath.workdps(60):
        nu, k = mpmath.mpf(n) / 2 - 1, mpmath.mpf(kappa) + mpmath.mpf("1e-25")

        def log_partition(x):
            return (nu + 1) * mpmath.log(2 * mpmath.pi) + mpmath.log(mpmath.besseli(nu, x) / x**nu)

        value = float(log_partition(k))
        ratio = mpmath.besseli(nu + 1, k) / mpmath.besseli(nu, k)
        along = float(1 - ratio**2 - (2 * nu + 1) / k * ratio)
    np.testing.assert_allclose(psi(theta), value, rtol=1e-13)
    np.testing.assert_allclose(psi.gradient(theta)[0], float(ratio), rtol=1e-13, atol=1e-24)
    np.testing.assert_allclose(psi.hessian(theta)[0, 0], along, rtol=3e-15 * (100 + kappa) ** 2)


@pytest.mark.parametrize(
    ("family", "theta"),
    [
        (families.Normal(), [0.3, -0.7]),
        (families.Categorical(3), [0.1, 0.4]),
        (families.Bernoulli(), [0.1]),
        (families.Poisson(), [0.4]),
        (families.Exponential(), [-0.4]),
    ],
    ids=repr,
)
def test_the_distance_of_a_point_to_itself_has_the_gradient_zero(family, theta):
    p = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(family.distance(p, p.detach()), p)
    assert torch.equal(slope, torch.zeros_like(p))


def test_fisher_rao_distances_in_closed_form():
    # Bernoulli and Poisson by quadrature of √g; normal by the half-plane's formula at two known points.
    for family, a, b in ((families.Bernoulli(), -1.0, 2.5), (families.Poisson(), -1.0, 1.5)):
        speed = lambda t, psi=family.log_partition: np.sqrt(psi.hessian([t])[0, 0])  # noqa: E731
        expected = scipy.integrate.quad(speed, a, b, epsabs=1e-13)[0]
        np.testing.assert_allclose(family.distance([a], [b]), expected, rtol=1e-11)
    normal = families.Normal()
    p = normal.natural(0.0, 1.0)
    np.testing.assert_allclose(normal.distance(p, normal.natural(0.0, np.e)), np.sqrt(2), rtol=1e-14)
    semicircle = normal.distance(normal.natural(-1.0, 1 / np.sqrt(2)), normal.natural(1.0, 1 / np.sqrt(2)))
    np.testing.assert_allclose(semicircle, 2 * np.sqrt(2) * np.log(1 + np.sqrt(2)), rtol=1e-14)
    categorical = families.Categorical(3)
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])
    angle = 2 * np.arccos(np.sum(np.sqrt(p * q)))
    np.testing.assert_allclose(
        categorical.distance(categorical.natural(p), categorical.natural(q)), angle, rtol=1e-13
    )
    # A coin is a categorical variable with two outcomes.
    two = families.Categorical(2)
    np.testing.assert_allclose(
        families.Bernoulli().distance([0.7], [-3.0]), two.distance([0.7], [-3.0]), rtol=1e-13
    )
    assert np.isclose(families.Bernoulli().distance([3000.0], [-3000.0]), np.pi, rtol=1e-14)


def draws(distribution, count=20_000):
    return distribution.rvs(size=count, random_state=np.random.default_rng(0)).astype(float)


SAMPLED = {
    **{
        name: (family, family.natural(*first), scipys(*first))
        for name, (family, first, _, scipys) in SCALAR.items()
    },
    "categorical": (
        families.Categorical(3),
        families.Categorical(3).natural([0.5, 0.2, 0.3]),
        scipy.stats.rv_discrete(values=([0, 1, 2], [0.5, 0.2, 0.3])),
    ),
    "multivariate normal": (
        families.MultivariateNormal(2),
        families.MultivariateNormal(2).natural([0.3, -1.0], COVARIANCE),
        scipy.stats.multivariate_normal([0.3, -1.0], COVARIANCE),
    ),
    "dirichlet": (families.Dirichlet(3), np.array([0.8, 2.0, 3.5]), scipy.stats.dirichlet([0.8, 2.0, 3.5])),
    "von mises-fisher": (
        families.VonMisesFisher(4),
        families.VonMisesFisher(4).natural(np.ones(4) / 2, 3.0),
        scipy.stats.vonmises_fisher(np.ones(4) / 2, 3.0),
    ),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_samples_of_scipy_have_the_mean_and_covariance_of_the_statistic(name):
    family, theta, distribution = SAMPLED[name]
    x = draws(distribution)
    if name == "dirichlet":
        x /= x.sum(axis=-1, keepdims=True)
    t = family.statistic(x)
    mean, fisher = family.mean_parameters(theta), lnegeom.Fisher(family).matrix(theta)
    spread = np.sqrt(np.diag(fisher) / len(t))
    assert np.all(np.abs(t.mean(axis=0) - mean) < 5 * spread)
    products = (t - mean)[:, :, None] * (t - mean)[:, None, :]
    assert np.all(np.abs(products.mean(axis=0) - fisher) < 5 * products.std(axis=0) / np.sqrt(len(t)) + 1e-12)
