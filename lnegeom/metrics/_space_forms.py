"""Geodesics of spaces of constant curvature, in closed form, smooth at v = 0 and at y = x."""

from __future__ import annotations

from typing import Any, NamedTuple

from lnegeom._array import Array, constant, dot, safe_sqrt

# Below these, series in the square take over: their first term left out is under a double's precision.
_SMALL_ANGLE_SQUARED = 1e-3
_SMALL_SINE_SQUARED = 1e-4


class Stereographic:
    """Geodesics of ``g = 4r² δ / (1 + κ|x|²)²``: the sphere for κ = +1, hyperbolic space for κ = −1.

    With the Möbius sum ``x ⊕ p`` and ``s = |v| / (1 + κ|x|²)``, ``exp_x(v) = x ⊕ tan(s) v/|v|`` (tanh for
    κ = −1), and w is carried to ``(λ_x / λ_y) gyr[x, p] w``. Both are written here with ``c = cos s`` and
    ``z = sin(s) v/|v|`` in place of ``p = z / c``, so that the far side of a sphere is like any other.

    References
    ----------
    Ungar, *Analytic Hyperbolic Geometry* (2005), Eqs. 3.6 and 1.27; Bachmann, Bécigneul and Ganea, *Constant
    curvature graph convolutional networks* (2020), Appendix C, for κ of either sign.
    """

    closed_form_geodesics = True
    kappa: int
    radius: float

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        c, z, scale = self._half_way(xp, x, v)
        along = c**2 - 2 * self.kappa * c * dot(xp, x, z) - self.kappa * dot(xp, z, z)
        forward = (1 + self.kappa * dot(xp, x, x)) * c
        return (along[..., None] * x + forward[..., None] * z) / scale[..., None]

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        c, z, scale = self._half_way(xp, x, v)
        xw, zw = dot(xp, x, w), dot(xp, z, w)
        on_x = 2 * dot(xp, x, z) * zw - xw * dot(xp, z, z) - self.kappa * c * zw
        on_z = self.kappa * c * xw - zw * dot(xp, x, x)
        turned = on_x[..., None] * x + on_z[..., None] * z
        return (w + 2 * turned / scale[..., None]) / scale[..., None]

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        gap = y - x
        squared = dot(xp, gap, gap)[..., None]
        at_x, at_y = (1 + self.kappa * dot(xp, p, p)[..., None] for p in (x, y))
        sine2, cosine2 = self._half_angle(xp, x, y)
        stretch = _angle_ratio(xp, self.kappa, sine2, cosine2)[..., None]
        return (gap * at_x + self.kappa * x * squared) / at_y * stretch

    def _distance(self, xp: Any, x: Array, y: Array) -> Array:
        sine2, cosine2 = self._half_angle(xp, x, y)
        sine = safe_sqrt(xp, sine2)
        angle = xp.atan2(sine, safe_sqrt(xp, cosine2)) if self.kappa > 0 else xp.asinh(sine)
        return 2 * self.radius * angle

    def _half_way(self, xp: Any, x: Array, v: Array) -> tuple[Array, Array, Array]:
        """``c``, ``z`` and ``c² |x ⊕ p|²``'s denominator, which is λ_y / λ_x too."""
        scaled = v / (1 + self.kappa * dot(xp, x, x))[..., None]
        c, ratio = cos_and_ratio(xp, self.kappa, dot(xp, scaled, scaled))
        z = ratio[..., None] * scaled
        scale = c**2 - 2 * self.kappa * c * dot(xp, x, z) + dot(xp, x, x) * dot(xp, z, z)
        return c, z, scale

    def _half_angle(self, xp: Any, x: Array, y: Array) -> tuple[Array, Array]:
        """Squared sine and cosine of half the angle between points (hyperbolic for κ = −1)."""
        xx, yy, xy = dot(xp, x, x)[..., None], dot(xp, y, y)[..., None], dot(xp, x, y)[..., None]
        if self.kappa < 0:
            sine2 = dot(xp, y - x, y - x) / ((1 - xx) * (1 - yy))[..., 0]
            return sine2, 1 + sine2
        # 1 + 2xy + xx yy as a sum of squares, which does not cancel for points opposite each other; far out
        # only quotients can be squared
        at_x, at_y = xp.sqrt(1 + xx), xp.sqrt(1 + yy)
        gap = (y - x) / at_x / at_y
        wedge = (xx * y - xy * x) / xp.sqrt(xp.where(xx > 0, xx, xp.ones_like(xx))) / at_x / at_y
        cosine2 = ((1 + xy) / at_x / at_y)[..., 0] ** 2 + dot(xp, wedge, wedge)
        return dot(xp, gap, gap), cosine2


class Ball(Stereographic):
    """Hyperbolic space in its ball, where long geodesics inwards from near the edge keep their digits.

    There ``cosh s + x·z`` is a difference of large numbers. With ``e = v/|v|``, ``a = x·e``,
    ``x⊥ = x − a e``, ``t = coth s − 1``, ``b = 1 + a + t`` and ``D = b² + |x⊥|²``, sums of positive terms::

        D y = (b² + 1 − a²) x⊥ + [b (1 + a + a t) − (1 + t) |x⊥|²] e,    λ_x / λ_y = t (t + 2) / D
        D (gyr[x, p] w − w) = 2 (b w·e − w·x⊥) x⊥ − 2 (|x⊥|² w·e + b w·x⊥) e
    """

    kappa = -1

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        far, short, ray = self._by_length(xp, x, v)
        b, q, t = ray.b, ray.q, ray.t
        across = (b**2 + q * (2 - q))[..., None] * ray.across
        along = (b * (q - (1 - q) * t) - (1 + t) * ray.square)[..., None] * ray.axis
        end = (across + along) / ray.scale[..., None]
        # Closer to the edge than rounding can tell, it is put outside, wherever rounding had put it.
        eps = float(xp.finfo(v.dtype).eps)
        within = (1 - dot(xp, x, x)) * ray.shrinking > eps
        end = xp.where(within[..., None], end, (1 + 4 * eps) * end)
        return xp.where(far[..., None], end, super()._exp(xp, x, short))

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        far, short, ray = self._by_length(xp, x, v)
        along, across = dot(xp, w, ray.axis), dot(xp, w, ray.across)
        on_across = (ray.b * along - across)[..., None] * ray.across
        on_axis = (ray.square * along + ray.b * across)[..., None] * ray.axis
        turned = w + 2 * (on_across - on_axis) / ray.scale[..., None]
        turned = ray.shrinking[..., None] * turned
        return xp.where(far[..., None], turned, super()._transport(xp, x, short, w))

    @staticmethod
    def _by_length(xp: Any, x: Array, v: Array) -> tuple[Array, Array, _Ray]:
        """Which velocities are long; the others, with 0 for these; and what the formulas above share."""
        edge, square = 1 - dot(xp, x, x), dot(xp, v, v)
        far = square > edge**2
        long = xp.where(far[..., None], v, xp.ones_like(v))
        most = constant(xp.max(xp.abs(long), axis=-1))  # squares of huge entries would overflow
        scaled = long / most[..., None]
        size = xp.sqrt(dot(xp, scaled, scaled))
        axis = scaled / size[..., None]
        a = dot(xp, x, axis)
        across = x - a[..., None] * axis
        width = dot(xp, across, across)
        q = xp.where(a < 0, (edge + width) / (1 + xp.abs(a)), 1 + a)
        t = 2 / xp.expm1(xp.clip(2 * most * size / edge, max=80.0))  # beyond, all end outside
        b = q + t
        short = xp.where(far[..., None], xp.zeros_like(v), v)
        return far, short, _Ray(axis, across, width, q, t, b, b**2 + width)


class _Ray(NamedTuple):
    axis: Array  # e
    across: Array  # x⊥
    square: Array  # |x⊥|²
    q: Array  # 1 + a, from 1 − a² = 1 − |x|² + |x⊥|² where a < 0
    t: Array
    b: Array
    scale: Array  # D

    @property
    def shrinking(self) -> Array:
        """``λ_x / λ_y``: what becomes of lengths in the chart, and of 1 − |x|²."""
        return self.t * (self.t + 2) / self.scale


class UpperHalf:
    """Geodesics of ``g = r² δ / x_n²`` above a hyperplane: lines and half-circles at right angles to it.

    From ``x = (a, h)`` with velocity ``v = (b, k)``, ``s = |v| / h``, ``D = cosh s − (k/h) sinh(s)/s``::

        exp_x(v) = (a + b sinh(s)/(s D), h / D)
    """

    closed_form_geodesics = True
    radius: float

    def _exp(self, xp: Any, x: Array, v: Array) -> Array:
        ratio, scale, _ = self._stretch(xp, x, v)
        foot = x[..., :-1] + v[..., :-1] * (ratio / scale)[..., None]
        return xp.concat([foot, (x[..., -1] / scale)[..., None]], axis=-1)

    def _transport(self, xp: Any, x: Array, v: Array, w: Array) -> Array:
        # The plane of v and the vertical turns by an angle φ: with e = b/|b|, `bend` is (cos φ − 1)/|b|² and
        # `lean` is sin φ / |b|, both smooth at b = 0.
        ratio, scale, versine = self._stretch(xp, x, v)
        h, b, k = x[..., -1], v[..., :-1], v[..., -1]
        bend = -versine / (h**2 * scale)
        lean = (k / h**2 * versine - ratio / h) / scale
        flat, up = w[..., :-1], w[..., -1]
        along = dot(xp, b, flat)
        foot = flat + b * (along * bend - up * lean)[..., None]
        height = along * lean + up * (1 + dot(xp, b, b) * bend)
        return xp.concat([foot, height[..., None]], axis=-1) / scale[..., None]

    def _log(self, xp: Any, x: Array, y: Array) -> Array:
        h, end = x[..., -1], y[..., -1]
        gap = y - x
        foot = gap[..., :-1]
        sine2 = dot(xp, gap, gap) / (4 * h * end)
        stretch = _angle_ratio(xp, -1, sine2, 1 + sine2)
        height = (dot(xp, foot, foot) + gap[..., -1] * (end + h)) / (2 * end) * stretch
        return xp.concat([foot * (h / end * stretch)[..., None], height[..., None]], axis=-1)

    def _distance(self, xp: Any, x: Array, y: Array) -> Array:
        gap = y - x
        return 2 * self.radius * xp.asinh(safe_sqrt(xp, dot(xp, gap, gap) / (4 * x[..., -1] * y[..., -1])))

    @staticmethod
    def _stretch(xp: Any, x: Array, v: Array) -> tuple[Array, Array, Array]:
        """``sinh(s)/s``, ``D``, and ``(cosh s − 1)/s²``."""
        h, k = x[..., -1], v[..., -1]
        square = dot(xp, v, v) / h**2
        c, ratio = cos_and_ratio(xp, -1, square)
        half = cos_and_ratio(xp, -1, square / 4)[1]
        # Straight up the terms cancel: D = e^{−s} + (s − k/h) sinh(s)/s, s − k/h = |b|²/h²/(s + k/h).
        steep = (k > 0) & (square > _SMALL_ANGLE_SQUARED)
        s = xp.sqrt(xp.where(steep, square, xp.ones_like(square)))
        rise = dot(xp, v[..., :-1], v[..., :-1]) / h**2 / (s + xp.abs(k / h))
        scale = xp.where(steep, xp.exp(-s) + rise * ratio, c - k / h * ratio)
        return ratio, scale, half**2 / 2


def stereographic_length(xp: Any, x: Array) -> Array:
    """``√(1 + |x|²)`` of points ``(..., n)``, as ``(..., 1)``, with no overflow in between."""
    most = xp.max(xp.abs(x), axis=-1)[..., None]
    most = xp.where(most > 1, most, xp.ones_like(most))
    scaled = x / most
    return most * xp.sqrt((1 / most) ** 2 + dot(xp, scaled, scaled)[..., None])


def cos_and_ratio(xp: Any, kappa: int, square: Array) -> tuple[Array, Array]:
    """``cos s`` and ``sin(s)/s``, or cosh s and sinh(s)/s for κ = −1, as smooth functions of s²."""
    small = square < _SMALL_ANGLE_SQUARED
    t = -kappa * xp.where(small, square, 0 * square)
    s = xp.sqrt(xp.where(small, xp.ones_like(square), square))
    cosine, sine = (xp.cos, xp.sin) if kappa > 0 else (xp.cosh, xp.sinh)
    series = 1 + t / 2 * (1 + t / 12 * (1 + t / 30 * (1 + t / 56)))
    ratio = 1 + t / 6 * (1 + t / 20 * (1 + t / 42 * (1 + t / 72)))
    return xp.where(small, series, cosine(s)), xp.where(small, ratio, sine(s) / s)


def _angle_ratio(xp: Any, kappa: int, sine2: Array, cosine2: Array) -> Array:
    """``s / (sin s cos s)`` of the squares, hyperbolic for κ = −1."""
    small = sine2 < _SMALL_SINE_SQUARED
    t = kappa * xp.where(small, sine2, 0 * sine2)
    one = xp.ones_like(sine2)
    sine, cosine = xp.sqrt(xp.where(small, one, sine2)), xp.sqrt(xp.where(small, one, cosine2))
    angle = xp.atan2(sine, cosine) if kappa > 0 else xp.asinh(sine)
    series = 1 + 2 * t / 3 * (1 + 4 * t / 5 * (1 + 6 * t / 7 * (1 + 8 * t / 9)))
    return xp.where(small, series, angle / (sine * cosine))
