"""Distances and cosines of vectors of any size: no power of a component overflows or underflows.

Scaling vectors before they are squared takes another pass over them. So the squares are summed unscaled, and only if
one of the sums is out of range are all vectors scaled.

Vectors come in the dtype of the arguments, and their differences are formed wherever they are needed. So no array of
the vectors' size is stored in between.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.dtypes import limits
from jaxloss._core.elementwise import absolute
from jaxloss._core.types import Values

T = TypeVar("T")


def distance(a: Values, b: Values, eps: Values, p: float) -> Values:
    """The p-norm of a - b + eps over the last axis, for any real p, in the dtype of `eps`.

    p = 0 counts the components that are not zero; inf and -inf take the largest and the smallest magnitude. The
    derivative at a distance of 0, and with respect to a component of 0, is 0.
    """
    if p == 0:
        return jnp.sum(_difference(a, b, eps) != 0, -1, dtype=eps.dtype)
    if p == 1:
        return jnp.sum(absolute(_difference(a, b, eps)), -1)
    if math.isinf(p):
        magnitude = absolute(_difference(a, b, eps))
        return jnp.max(magnitude, -1, initial=0.0) if p > 0 else jnp.min(magnitude, -1)
    return _distance(a, b, eps, p)[..., 0]


@custom_jvp(3)
def _distance(a: Values, b: Values, eps: Values, p: float) -> Values:
    if p != 2:
        return _scaled_norm((a, b, eps), p, -1)
    squares = _sum_of_squares(_difference(a, b, eps), -1)
    return _scaled_unless(
        (squares >= _least_sum_of_squares(max(a.shape[-1], b.shape[-1]), eps)) & jnp.isfinite(squares),
        lambda: jnp.sqrt(squares),
        lambda: _scaled_norm((a, b, eps), p, -1),
    )


@_distance.defjvp
def _distance_jvp(
    p: float, primals: tuple[Values, Values, Values], tangents: tuple[Values, Values, Values]
) -> tuple[Values, Values]:
    length = _distance(*primals, p)
    # The slope is the ratio of component and norm, to the power p - 1: powers of either would leave the dtype's range.
    slope = _divide(_difference(*primals), length)
    if p != 2:
        # A component of 0 has the slope 0. Its power would be infinite for p < 1, and so is its derivative for p < 2.
        zero = slope == 0
        slope = jnp.where(zero, 0.0, jnp.sign(slope) * jnp.where(zero, 1.0, absolute(slope)) ** (p - 1))
    return length, jnp.sum(slope * _difference(*tangents), -1, keepdims=True)


def _difference(a: Values, b: Values, eps: Values) -> Values:
    """a - b + eps in the dtype of `eps`."""
    return a.astype(eps.dtype) - b.astype(eps.dtype) + eps


@custom_jvp(3, 4)
def cosine(a: Values, b: Values, min_length: Values, offset: float, axis: int) -> Values:
    """a . b / (A B) over an axis (kept as 1), in the dtype of `min_length`.

    The lengths are A = max(sqrt(|a|^2 + offset), min_length), and the same formula of b for B.
    """
    return _cosine_and_lengths(a, b, min_length, offset, axis)[0]


@cosine.defjvp
def _cosine_jvp(
    offset: float, axis: int, primals: tuple[Values, Values, Values], tangents: tuple[Values, Values, Values]
) -> tuple[Values, Values]:
    a, b, min_length = primals
    value, *lengths = _cosine_and_lengths(*primals, offset, axis)
    units = [_divide(x.astype(min_length.dtype), length) for x, length in zip((a, b), lengths, strict=True)]
    tangent_out = jnp.zeros_like(value)
    for unit, other, length, tangent in zip(units, units[::-1], lengths, tangents[:2], strict=True):
        # A clamped length does not depend on its vector, so that the cosine is linear in the vector.
        along_unit = jnp.where(length > min_length, value, 0.0)
        slope = _divide(other - along_unit * unit, length)
        tangent_out += jnp.sum(slope * tangent.astype(min_length.dtype), axis, keepdims=True)
        tangent_out -= jnp.where(length > min_length, 0.0, _divide(value, length)) * tangents[2]
    return cosine(*primals, offset, axis), tangent_out


def _cosine_and_lengths(
    a: Values, b: Values, min_length: Values, offset: float, axis: int
) -> tuple[Values, Values, Values]:
    """The cosine, and the two lengths that divide it."""
    dtype = min_length.dtype

    def length(norm: Values) -> Values:
        # The square of a norm may overflow even where the norm does not.
        scale = jnp.maximum(norm, 1.0)
        return jnp.maximum(scale * jnp.sqrt(jnp.square(norm / scale) + offset / scale / scale), min_length)

    squares_a, squares_b = _sum_of_squares(a.astype(dtype), axis), _sum_of_squares(b.astype(dtype), axis)
    dot = jnp.sum(a.astype(dtype) * b.astype(dtype), axis, keepdims=True)

    def plain() -> tuple[Values, Values, Values]:
        first, second = length(jnp.sqrt(squares_a)), length(jnp.sqrt(squares_b))
        return dot / first / second, first, second  # the product of the lengths may overflow

    def scaled() -> tuple[Values, Values, Values]:
        zero = jnp.zeros_like(min_length)
        first, second = (length(_scaled_norm((x, zero, zero), 2, axis)) for x in (a, b))
        product = _divide(a.astype(dtype), first) * _divide(b.astype(dtype), second)
        return jnp.sum(product, axis, keepdims=True), first, second

    # Squares that underflow do not matter where the clamp or the offset exceeds them.
    shortest = jnp.maximum(jnp.minimum(squares_a, squares_b), jnp.maximum(jnp.square(min_length), offset))
    in_range = (shortest >= _least_sum_of_squares(a.shape[axis], min_length)) & jnp.isfinite(
        jnp.maximum(squares_a, squares_b)
    )
    value, first, second = _scaled_unless(in_range, plain, scaled)
    return jnp.clip(value, -1.0, 1.0), first, second  # rounding must not take a cosine past 1


def _scaled_unless(in_range: Bool[Array, "..."], plain: Callable[[], T], scaled: Callable[[], T]) -> T:
    """The plain result if all sums of squares are in range, else the scaled one."""
    return lax.cond(jnp.all(in_range), plain, scaled)  # pyright: ignore[reportUnknownVariableType]  # cond has no types


def _sum_of_squares(x: Values, axis: int) -> Values:
    return jnp.sum(jnp.square(x), axis, keepdims=True)


def _least_sum_of_squares(size: int, like: Values) -> float:
    """The least sum of `size` squares whose digits do not depend on squares that underflowed."""
    bounds = limits(like.dtype)
    return size * bounds.tiny / bounds.eps


def _scaled_norm(terms: tuple[Values, Values, Values], p: float, axis: int) -> Values:
    """The p-norm of a - b + eps, where the component that dominates the sum divides all components."""
    # The difference is used twice: for the dominating component and for the powers. XLA would merge the two uses and
    # store the difference. The barrier keeps them separate, so that each is fused with its reduction.
    magnitude = jnp.abs(_difference(*lax.optimization_barrier(terms)))
    if p > 0:
        extreme = jnp.max(magnitude, axis, keepdims=True, initial=0.0)
    else:
        extreme = jnp.min(magnitude, axis, keepdims=True)
    scale = _divisor(extreme)
    powers = (jnp.abs(_difference(*terms)) / scale) ** p
    return jnp.where(extreme == 0, 0.0, scale * jnp.sum(powers, axis, keepdims=True) ** (1 / p))


def _divisor(size: Values) -> Values:
    """Clip a divisor: compilers multiply by its reciprocal, and neither may overflow or be subnormal."""
    tiny = limits(size.dtype).tiny
    return jnp.clip(size, tiny, 1 / tiny)


def _divide(x: Values, length: Values) -> Values:
    """x / length; 0 where the length is 0. A length outside the clipped range divides in two steps."""
    scale, zero = _divisor(length), length == 0
    return x / scale * jnp.where(zero, 0.0, scale / jnp.where(zero, 1.0, length))
