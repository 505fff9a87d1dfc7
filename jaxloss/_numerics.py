"""Functions whose value or derivative at the edge is chosen, and said, here.

JAX's own derivatives differ from PyTorch's at kinks (`grad(abs)(0)` is 1, `grad(maximum(x, 0))(0)` is 1/2) and are NaN
where a square root meets zero. Every loss takes its kinks and edges from this file.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

T = TypeVar("T")
Values = Float[Array, "..."]

TINY = 9.999999960041972e-13
"""PyTorch's 1e-12: a float32 constant, in float64 too."""


def custom_jvp(*static: int) -> Callable[[Callable[..., T]], jax.custom_jvp[T]]:
    """`jax.custom_jvp` with some arguments static, with a type that says what is returned."""
    return partial(jax.custom_jvp, nondiff_argnums=static)


def nan_unless(ok: Bool[Array, "..."], values: Values) -> Values:
    """`values` where `ok`, else NaN with a NaN gradient: a bad value is loud, in that element only."""
    # A product, because the derivative of a `where` on the refused side would be a silent zero.
    return values * jnp.where(ok, jnp.ones((), values.dtype), jnp.nan)


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


@times.defjvp
def _times_jvp(primals: tuple[Values, Values], tangents: tuple[Values, Values]) -> tuple[Values, Values]:
    factor, x = primals
    reached = jnp.where((factor == 0) & jnp.isinf(x), 0.0, x)
    return times(factor, x), factor * tangents[1] + reached * tangents[0]


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


def log1p_exp_neg(x: Values) -> Values:
    """log(1 + exp(-|x|)), differentiated at 0 as from the right."""
    return jnp.log1p(jnp.exp(jnp.where(x < 0, x, -x)))


def norm(x: Values, p: float) -> Values:
    """The p-norm over the last axis (kept as 1) for any real p, with the derivative 0 at a norm of 0.

    p = 0 counts what is not zero; inf and -inf are the largest and the smallest magnitude.
    """
    if p == 0:
        return jnp.sum(x != 0, -1, keepdims=True, dtype=x.dtype)
    if p == 1:
        return jnp.sum(absolute(x), -1, keepdims=True)
    if p == 2:
        squares = jnp.sum(x * x, -1, keepdims=True)
        zero = squares == 0
        return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, squares)))
    magnitude = absolute(x)
    extreme = jnp.max(magnitude, -1, keepdims=True) if p > 0 else jnp.min(magnitude, -1, keepdims=True)
    if math.isinf(p):
        return extreme
    # The norm is homogeneous, so dividing by the dominant magnitude changes neither it nor its derivatives, and no
    # power overflows or underflows.
    scale = jax.lax.stop_gradient(jnp.where((extreme == 0) | jnp.isinf(extreme), 1.0, extreme))
    zero = magnitude == 0
    powers = jnp.where(zero, 0.0 if p > 0 else jnp.inf, jnp.where(zero, 1.0, magnitude / scale) ** p)
    total = jnp.sum(powers, -1, keepdims=True)
    empty = extreme == 0
    return jnp.where(empty, 0.0, scale * jnp.where(empty, 1.0, total) ** (1 / p))
