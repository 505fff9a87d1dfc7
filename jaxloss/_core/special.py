"""Special functions of likelihoods, with large terms that cancel left out."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxloss._core.types import Values


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
