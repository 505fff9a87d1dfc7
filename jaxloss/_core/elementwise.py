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


def clamp_max(x: Values, ceiling: Values | float) -> Values:
    """min(x, ceiling), with the derivative 1 at equality. NaN stays NaN."""
    return jnp.where((x > ceiling) | jnp.isnan(ceiling), ceiling, x)


def hinge(x: Values) -> Values:
    """max(x, 0), with the derivative 0 at equality. NaN stays NaN."""
    return jnp.where(x <= 0, 0.0, x)


def root(x: Values) -> Values:
    """The square root, and 0 with a derivative of 0 for a number that is not above 0."""
    low = x <= 0  # False for NaN
    return jnp.where(low, 0.0, jnp.sqrt(jnp.where(low, 1.0, x)))


def is_infinite(x: Values) -> Bool[Array, "..."]:
    """Whether a number is inf or -inf. `jnp.isinf` makes a constant inf, at which `jax.debug_infs` stops."""
    return jnp.abs(x) > limits(x.dtype).max


@jax.custom_jvp
def times(factor: Values, x: Values) -> Values:
    """factor * x, where 0 * inf is 0: a term with weight 0 adds nothing, whatever its value.

    Its derivatives treat 0 * inf in the same way. NaN stays NaN.
    """
    # The infinity is replaced before the product. A NaN in the branch not taken would stop `jax.debug_nans`.
    return factor * jnp.where((factor == 0) & is_infinite(x), 0.0, x)


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
    return softplus(*primals), sigmoid(*primals) * tangents[0]


@jax.custom_jvp
def sigmoid(x: Values) -> Values:
    """The sigmoid. Its derivative is s(x) * s(-x): on the right 1 - s(x) would lose all digits."""
    return jax.nn.sigmoid(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return sigmoid(*primals), sigmoid(*primals) * sigmoid(-primals[0]) * tangents[0]


@jax.custom_jvp
def one_minus_exp(x: Values) -> Values:
    """1 - exp(-x), with all digits near 0. Its derivative is exp(-x).

    JAX's derivative of expm1 is expm1 + 1, which loses the digits of a small exponential.
    """
    return -jnp.expm1(-x)


@one_minus_exp.defjvp
def _one_minus_exp_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return one_minus_exp(*primals), jnp.exp(-primals[0]) * tangents[0]


def log1mexp(x: Values) -> Values:
    """log(1 - exp(x)) for x <= 0, with all digits: -inf at 0, 0 at -inf, NaN above 0."""
    # Near 0 the difference 1 - exp(x) has few digits. Far from it its logarithm has.
    near = x > -math.log(2)
    return jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -1.0))), jnp.log1p(-jnp.exp(jnp.where(near, -1.0, x))))


def log_sum_exp(x: Values) -> Values:
    """log(sum(exp(x))) over the last axis. Unlike JAX's it has no constant inf, at which `jax.debug_infs` stops."""
    largest = lax.stop_gradient(jnp.max(x, -1, keepdims=True))
    largest = jnp.where(is_infinite(largest), 0.0, largest)
    return jnp.log(jnp.sum(jnp.exp(x - largest), -1)) + largest[..., 0]


@jax.custom_jvp
def exp_excess(x: Values) -> Values:
    """exp(x) - 1 - x, with all digits near 0, where it is half the square of x. Its derivative is expm1(x)."""
    small = jnp.abs(x) < 0.5
    near = jnp.where(small, x, 0.0)
    series = jnp.zeros_like(x)
    for n in range(15, 1, -1):  # terms after the fifteenth are below the precision of float64
        series = series * near + 1 / math.factorial(n)
    # The exponential overflows before 1000: the limit keeps inf - inf from arising.
    return jnp.where(small, near * near * series, jnp.expm1(x) - jnp.minimum(x, 1e3))


@exp_excess.defjvp
def _exp_excess_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return exp_excess(*primals), jnp.expm1(*primals) * tangents[0]


def overflow_safe_mean(x: Values, axis: int) -> Values:
    """The mean over an axis (kept as 1) of numbers whose sum may overflow: each is divided before the sum."""
    return jnp.sum(x * (1 / x.shape[axis]), axis, keepdims=True)


@jax.custom_jvp
def quotient(numerator: Values, denominator: Values) -> Values:
    """numerator / denominator. JAX's derivative in the denominator divides by its square, which overflows early."""
    return numerator / denominator


@quotient.defjvp
def _quotient_jvp(primals: tuple[Values, Values], tangents: tuple[Values, Values]) -> tuple[Values, Values]:
    value = quotient(*primals)
    return value, quotient(tangents[0] - value * tangents[1], primals[1])


def ratio(numerator: Values, denominator: Values, empty: float = 0.0) -> Values:
    """numerator / denominator, and `empty`, with a zero gradient, where the denominator is 0."""
    # The division is guarded on both sides: its derivative in the branch that is not taken would be NaN.
    zero = denominator == 0
    return jnp.where(zero, empty, quotient(numerator, jnp.where(zero, 1.0, denominator)))


@jax.custom_jvp
def power(x: Values, exponent: Values) -> Values:
    """x**exponent for x >= 0, where 0 to any power but 0 is 0, also to a negative one.

    All derivatives are finite at x = 0: the derivative is exponent * power(x, exponent - 1), and that in the exponent
    is 0.
    """
    zero = x == 0
    raised = jnp.power(jnp.where(zero, 1.0, x), exponent)
    return jnp.where(zero & (exponent != 0), 0.0, raised)


@partial(power.defjvp, symbolic_zeros=True)
def _power_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    x, exponent = primals

    def slope_in_exponent() -> Values:
        return power(x, exponent) * jnp.where(x == 0, 0.0, jnp.log(jnp.where(x == 0, 1.0, x)))

    return power(x, exponent), along(tangents, lambda: exponent * power(x, exponent - 1), slope_in_exponent)
