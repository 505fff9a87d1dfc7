"""Elementwise functions that choose and document their value or derivative at a kink or a limit.

JAX's own derivatives differ from PyTorch's at kinks: `grad(abs)(0)` is 1, and `grad(maximum(x, 0))(0)` is 1/2. They are
NaN where infinity meets zero. Every loss takes its kinks and edges from this file.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.autodiff import Tangent, along
from jaxloss._core.dtypes import limits
from jaxloss._core.types import Values

TINY = 9.999999960041972e-13
"""PyTorch's 1e-12. It is rounded to float32 there, also for float64 inputs."""


@jax.custom_jvp
def absolute(x: Values) -> Values:
    """|x| with the derivative sign(x): 0 at 0."""
    return jnp.abs(x)


@absolute.defjvp
def _absolute_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    (x,), (x_dot,) = primals, tangents
    return absolute(x), jnp.sign(x) * x_dot


def clamp_min(x: Values, floor: Values | float = 0.0) -> Values:
    """max(x, floor), with the derivative 1 at equality. NaN stays NaN."""
    return jnp.where((x < floor) | jnp.isnan(floor), floor, x)


def hinge(x: Values) -> Values:
    """max(x, 0), with the derivative 0 at equality. NaN stays NaN."""
    return jnp.where(x <= 0, 0.0, x)


def is_infinite(x: Values) -> Bool[Array, "..."]:
    """Whether a number is inf or -inf. `jnp.isinf` makes a constant inf, at which `jax.debug_infs` stops."""
    return jnp.abs(x) > limits(x.dtype).max


@jax.custom_jvp
def times(factor: Values, x: Values) -> Values:
    """factor * x, where 0 * inf is 0: a term with weight 0 adds nothing, whatever its value.

    Its derivatives treat 0 * inf in the same way. NaN stays NaN.
    """
    return jnp.where((factor == 0) & is_infinite(x), 0.0, factor * x)


@partial(times.defjvp, symbolic_zeros=True)
def _times_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    factor, x = primals
    return times(factor, x), along(tangents, lambda: jnp.where((factor == 0) & is_infinite(x), 0.0, x), lambda: factor)


@jax.custom_jvp
def softplus(x: Values) -> Values:
    """log(1 + exp(x)), accurate for large |x|; inf at inf, 0 at -inf. Its derivative is the sigmoid."""
    # The exponential of -|x| never overflows, and log1p keeps the digits of a small one.
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return softplus(*primals), _sigmoid(*primals) * tangents[0]


@jax.custom_jvp
def _sigmoid(x: Values) -> Values:
    """The sigmoid. Its derivative is s(x) * s(-x): on the right 1 - s(x) would lose all digits."""
    return jax.nn.sigmoid(x)


@_sigmoid.defjvp
def _sigmoid_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return _sigmoid(*primals), _sigmoid(*primals) * _sigmoid(-primals[0]) * tangents[0]


def overflow_safe_mean(x: Values, axis: int) -> Values:
    """The mean over an axis (kept as 1) of numbers whose sum may overflow: each is divided before the sum."""
    return jnp.sum(x * (1 / x.shape[axis]), axis, keepdims=True)


@jax.custom_jvp
def log1mexp(x: Values) -> Values:
    """log(1 - exp(x)) of a negative x, accurate at both ends; -inf at 0, NaN above 0."""
    # Near 0 the difference cancels in 1 - exp(x), and expm1 keeps it. Far below 0 it cancels in the logarithm.
    near = x > -math.log(2)
    close = jnp.log(-jnp.expm1(jnp.where(near, x, -1.0)))
    return jnp.where(near, close, jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x))))


@log1mexp.defjvp
def _log1mexp_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    (x,), (x_dot,) = primals, tangents
    # exp(x) / expm1(x) does not overflow at -inf, where 1 / expm1(-x) passes through infinity.
    return log1mexp(x), jnp.exp(x) / jnp.expm1(x) * x_dot


EXCESS_TERMS = 14
"""The terms of the exponential's series for |x| < 0.5: the next one is below the rounding of float64."""


@jax.custom_jvp
def exp_excess(x: Values) -> Values:
    """exp(x) - 1 - x, which is about x**2 / 2, accurate near 0. Its derivative is expm1(x)."""
    near = jnp.abs(x) < 0.5
    small = jnp.where(near, x, 0.0)
    # x**2 (1/2! + x/3! + x**2/4! + ...), by Horner's rule. Elsewhere expm1 overflows before 1000: no inf - inf arises.
    series = jnp.zeros_like(x)
    for power in range(EXCESS_TERMS + 1, 1, -1):
        series = series * small + 1 / math.factorial(power)
    return jnp.where(near, small * small * series, jnp.expm1(x) - jnp.minimum(x, 1e3))


@exp_excess.defjvp
def _exp_excess_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return exp_excess(*primals), jnp.expm1(primals[0]) * tangents[0]


@jax.custom_jvp
def log1p_square(x: Values) -> Values:
    """log(1 + x**2), without the overflow of the square. Its derivative is 2 x / (1 + x**2)."""
    large = jnp.abs(x) > 1
    outside = jnp.abs(jnp.where(large, x, 1.0))
    inside = jnp.where(large, 0.0, x)
    return jnp.where(large, 2 * jnp.log(outside) + jnp.log1p(jnp.square(1 / outside)), jnp.log1p(jnp.square(inside)))


@log1p_square.defjvp
def _log1p_square_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    (x,), (x_dot,) = primals, tangents
    large = jnp.abs(x) > 1
    inverse = 1 / jnp.where(large, x, 1.0)
    inside = jnp.where(large, 0.0, x)
    slope = jnp.where(large, 2 * inverse / (1 + jnp.square(inverse)), 2 * inside / (1 + jnp.square(inside)))
    return log1p_square(x), slope * x_dot


STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
STIRLING_FROM = 8.0
"""From here on the series is exact to the rounding of float64."""


def stirling_series(z: Values) -> Values:
    """log gamma(z) minus Stirling's (z - 1/2) log z - z + log(2 pi)/2, for z of at least `STIRLING_FROM`."""
    inverse = 1 / z
    square, series = jnp.square(inverse), jnp.zeros_like(z)
    for coefficient in reversed(STIRLING):
        series = series * square + coefficient
    return series * inverse


def log_gamma_rest(z: Values) -> Values:
    """log gamma(z) - z log z + z for z > 0. Its large terms cancel analytically for a large z."""
    large = z >= STIRLING_FROM
    above, below = jnp.where(large, z, STIRLING_FROM), jnp.where(large, 1.0, z)
    series = stirling_series(above) + (math.log(2 * math.pi) - jnp.log(above)) / 2
    return jnp.where(large, series, lax.lgamma(below) - below * jnp.log(below) + below)


def log_gamma_step(z: Values, step: Values) -> Values:
    """log gamma(z + step) - log gamma(z) - step log z for z > 0 and step >= 0.

    The step's large part, step log z, is left to the caller, in whose formula it cancels against another term.
    """
    large = z >= STIRLING_FROM
    above, below = jnp.where(large, z, STIRLING_FROM), jnp.where(large, 1.0, z)
    # The difference of two values of Stirling's formula, with the logarithms of the two arguments subtracted first.
    series = stirling_series(above + step) - stirling_series(above)
    series = series + (above + step - 0.5) * jnp.log1p(step / above) - step
    return jnp.where(large, series, lax.lgamma(below + step) - lax.lgamma(below) - step * jnp.log(below))


BESSEL_FROM = 50.0
"""From here on, `BESSEL_TERMS` terms of the asymptotic series of the Bessel function are exact in float64."""
BESSEL_TERMS = 16


def log_i0e(x: Values) -> Values:
    """log(exp(-x) I0(x)) of the modified Bessel function, for x of at least 0. Its derivative keeps its digits too."""
    large = x > BESSEL_FROM
    above, below = jnp.where(large, x, BESSEL_FROM), jnp.where(large, 1.0, x)
    # The derivative of the direct form, I1/I0 - 1, cancels for a large x. That of the series does not.
    series = jnp.zeros_like(x)
    for term in range(BESSEL_TERMS, 0, -1):
        series = (1 + series) * ((2 * term - 1) ** 2 / (8 * term)) / above
    asymptotic = jnp.log1p(series) - (math.log(2 * math.pi) + jnp.log(above)) / 2
    return jnp.where(large, asymptotic, jnp.log(lax.bessel_i0e(below)))
