"""Functions whose value or derivative at the edge is chosen, and said, here.

JAX's own derivatives differ from PyTorch's at kinks (`grad(abs)(0)` is 1, `grad(maximum(x, 0))(0)` is 1/2) and are NaN
where a square root meets zero. Every loss takes its kinks and edges from this file.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxloss._core.autodiff import Tangent, along
from jaxloss._core.dtypes import limits
from jaxloss._core.types import Values

TINY = 9.999999960041972e-13
"""PyTorch's 1e-12: a float32 constant, in float64 too."""


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


@jax.custom_jvp
def times(factor: Values, x: Values) -> Values:
    """factor * x, where 0 * inf is 0: a term that weighs nothing adds nothing, whatever its value."""
    return jnp.where((factor == 0) & jnp.isinf(x), 0.0, factor * x)


@partial(times.defjvp, symbolic_zeros=True)
def _times_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    factor, x = primals
    return times(factor, x), along(tangents, lambda: jnp.where((factor == 0) & jnp.isinf(x), 0.0, x), lambda: factor)


@jax.custom_jvp
def times_log(count: Values, log: Values) -> Values:
    """count * log, where a logarithm of -inf is taken for the lowest number: it is 0 for a count of 0.

    `times` has a select, which XLA's CPU does not fuse with the sum that follows, at several times the cost.
    """
    return count * jnp.maximum(log, -limits(log.dtype).max)


@partial(times_log.defjvp, symbolic_zeros=True)
def _times_log_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    count, log = primals
    # The same maximum in other words: XLA's CPU would hold what the value and the derivative share in memory.
    return times_log(count, log), along(tangents, lambda: -jnp.minimum(-log, limits(log.dtype).max), lambda: count)


@jax.custom_jvp
def softplus(x: Values) -> Values:
    """log(1 + exp(x)), accurate for large |x|; inf at inf, 0 at -inf. Its derivative is the sigmoid."""
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


@softplus.defjvp
def _softplus_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return softplus(*primals), _sigmoid(*primals) * tangents[0]


@jax.custom_jvp
def _sigmoid(x: Values) -> Values:
    """The sigmoid, whose derivative keeps its digits on the right, where s * (1 - s) has none."""
    return jax.nn.sigmoid(x)


@_sigmoid.defjvp
def _sigmoid_jvp(primals: tuple[Values], tangents: tuple[Values]) -> tuple[Values, Values]:
    return _sigmoid(*primals), _sigmoid(*primals) * _sigmoid(-primals[0]) * tangents[0]


def mean_of_parts(x: Values, axis: int) -> Values:
    """The mean over an axis (kept as 1) of numbers whose sum may overflow."""
    return jnp.sum(x * (1 / x.shape[axis]), axis, keepdims=True)
