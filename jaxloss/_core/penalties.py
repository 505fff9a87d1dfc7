"""Penalties of an error, with slopes that stay exact for tiny errors, for huge errors and at limits of the options."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxloss._core.autodiff import Tangent, along
from jaxloss._core.elementwise import absolute, clamp_min, is_infinite
from jaxloss._core.special import log1p_square
from jaxloss._core.types import Values


@jax.custom_jvp
def log_cosh(x: Values) -> Values:
    """log(cosh(x)), with the derivative tanh(x)."""
    size = jnp.abs(x)
    # cosh(x) - 1 is half of g^2 / (1 + g) with g = e^x - 1, which keeps the digits of a small error. The other form
    # does not overflow for a large error.
    growth = jnp.expm1(jnp.minimum(size, 1.0))
    near = jnp.log1p(jnp.square(growth) / (2 * (1 + growth)))
    return jnp.where(size < 1, near, size - math.log(2) + jnp.log1p(jnp.exp(-2 * size)))


@log_cosh.defjvp
def _log_cosh_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return log_cosh(*primals), jnp.tanh(*primals) * tangents[0]


@jax.custom_jvp
def hypotenuse(x: Values, y: Values) -> Values:
    """sqrt(x^2 + y^2), without overflow; both derivatives are 0 where both numbers are 0."""
    # Not `jnp.hypot`, whose constant inf stops `jax.debug_infs`.
    large, small = jnp.maximum(jnp.abs(x), jnp.abs(y)), jnp.minimum(jnp.abs(x), jnp.abs(y))
    ratio = small / jnp.where((large == 0) | is_infinite(large), 1.0, large)
    return large * jnp.sqrt(1 + jnp.square(jnp.where(is_infinite(large), 0.0, ratio)))


def _hypotenuse_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    x, y = primals
    return hypotenuse(x, y), along(tangents, lambda: _cosine(x, y), lambda: _cosine(y, x))


hypotenuse.defjvp(_hypotenuse_jvp, symbolic_zeros=True)


def _cosine(x: Values, y: Values) -> Values:
    """x / sqrt(x^2 + y^2), for a finite y."""
    finite = jnp.where(is_infinite(x), jnp.sign(x), x)
    length = hypotenuse(finite, jnp.where(is_infinite(x), 0.0, y))
    return finite / jnp.where(length == 0, 1.0, length)


@jax.custom_jvp
def rounded_tip(x: Values, radius: Values) -> Values:
    """sqrt(x^2 + radius^2) - radius, for a positive radius, without cancellation for a small x."""
    infinite = is_infinite(x)
    finite = jnp.where(infinite, 0.0, x)
    near = finite * (finite / (hypotenuse(finite, radius) + radius))
    return jnp.where(infinite, jnp.abs(x), near)


def _rounded_tip_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    x, radius = primals
    value = rounded_tip(x, radius)
    return value, along(tangents, lambda: _cosine(x, radius), lambda: -rounded_tip(x, radius) / hypotenuse(x, radius))


rounded_tip.defjvp(_rounded_tip_jvp, symbolic_zeros=True)


@jax.custom_jvp
def general_penalty(x: Values, alpha: Values) -> Values:
    """Barron's penalty of an error in units of its scale. `alpha` has the shape of x or ()."""
    return _general_penalty(x, alpha)


def _general_penalty_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    x, alpha = primals

    def by_alpha() -> Values:
        def penalty(shape: Values) -> Values:
            return _general_penalty(x, shape)

        return jax.jvp(penalty, (alpha,), (jnp.ones_like(alpha),))[1]

    return general_penalty(x, alpha), along(tangents, lambda: _general_slope(x, alpha), by_alpha)


general_penalty.defjvp(_general_penalty_jvp, symbolic_zeros=True)


def _general_slope(x: Values, alpha: Values) -> Values:
    """The derivative in x. The derivative of the formula would cancel all digits of it for a large x."""
    bend, ratio = _bend(x, alpha)
    large, root = ratio > 1, _root(ratio)
    # The slope is x root^(alpha - 2). Where alpha is small, that power of a large root may vanish although the slope
    # does not, so that x and the root are divided first.
    falling = jnp.sign(x) * jnp.sqrt(bend) * _cosine(ratio, jnp.ones_like(ratio)) * root ** (alpha - 1)
    near = x * jnp.exp((alpha - 2) * (log1p_square(jnp.where(large, 0.0, ratio)) / 2))
    return jnp.where(large, jnp.where(alpha > 1, x * root ** (alpha - 2), falling), near)


def _bend(x: Values, alpha: Values) -> tuple[Values, Values]:
    """Barron's b = |alpha - 2| and the error divided by its root.

    The derivative in `alpha` is infinite where b is 0. A floor of b keeps it finite.
    """
    bend = clamp_min(absolute(alpha - 2), 1e-12 if x.dtype == jnp.float64 else 1e-6)
    return bend, absolute(x) / jnp.sqrt(bend)


def _general_penalty(x: Values, alpha: Values) -> Values:
    bend, ratio = _bend(x, alpha)
    log_root = log1p_square(ratio) / 2
    # 0 * inf is NaN, but an exponent of 0 has no effect at any error.
    exponent = alpha * jnp.where((alpha == 0) & is_infinite(x), 0.0, log_root)
    # The formula is b / alpha (e^exponent - 1). Near alpha = 0 the power series of (e^w - 1) / w takes its place. Its
    # derivatives of every order are exact.
    near = jnp.abs(exponent) < 0.5
    w = jnp.where(near, exponent, 0.0)
    series = jnp.zeros_like(w)
    for k in range(16, 0, -1):
        series = series * w + 1 / math.factorial(k)
    small = bend * jnp.where(near, log_root, 0.0) * series
    large = _scaled_power(bend / jnp.where(near, 1.0, alpha), jnp.where(near, 0.0, ratio), alpha)
    return jnp.where(near, small, large)


def _scaled_power(factor: Values, ratio: Values, alpha: Values) -> Values:
    """factor * ((1 + ratio^2)^(alpha / 2) - 1)."""
    # The root of 1 + ratio^2 loses the digits of a small ratio. The logarithm of it loses those of a large one.
    root = _root(ratio)
    # A small `factor` is multiplied first, because the power alone may overflow.
    steep = factor * jnp.where(alpha > 1, root, 1.0) * root ** jnp.where(alpha > 1, alpha - 1, alpha)
    log_root = log1p_square(jnp.where(ratio > 1, 0.0, ratio)) / 2
    return jnp.where(ratio > 1, steep - factor, factor * jnp.expm1(alpha * log_root))


def _root(ratio: Values) -> Values:
    """sqrt(1 + ratio^2), for a ratio above 1."""
    return hypotenuse(jnp.ones_like(ratio), jnp.where(ratio > 1, ratio, 1.0))


@jax.custom_jvp
def well(x: Values) -> Values:
    """1 - e^(-x^2 / 2), and 1 for an infinite x."""
    return -jnp.expm1(-jnp.square(_not_huge(x)) / 2)


@well.defjvp
def _well_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    # JAX's derivative of expm1 adds 1 to it, which loses a small exponential.
    x = _not_huge(primals[0])
    return well(*primals), x * jnp.exp(-jnp.square(x) / 2) * tangents[0]


def _not_huge(x: Values) -> Values:
    """x, clipped far beyond the sizes whose exponential vanishes, so that its square does not overflow."""
    limit = jnp.full_like(x, 1e4)
    return lax.clamp(-limit, x, limit)


@jax.custom_jvp
def biweight(x: Values) -> Values:
    """(1 - (1 - x^2)^3) / 6 up to |x| = 1, and 1/6 beyond."""
    square = jnp.square(_within_one(x))
    return square * (3 - square * (3 - square)) / 6


@biweight.defjvp
def _biweight_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    x = _within_one(primals[0])
    return biweight(*primals), x * jnp.square((1 - x) * (1 + x)) * tangents[0]


def _within_one(x: Values) -> Values:
    one = jnp.ones_like(x)
    return lax.clamp(-one, x, one)
