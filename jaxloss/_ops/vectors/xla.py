"""Distances and cosines of vectors of any size: no power of a component overflows or vanishes.

To scale vectors before squaring takes another pass over them, and half as much time again. So the squares are summed as
they are, and only if one of the sums is out of range are all vectors scaled. Vectors come in the dtype they were given
in, and their differences are formed again wherever they are needed: nothing of that size is held in between.
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

    p = 0 counts what is not zero; inf and -inf are the largest and the smallest magnitude. The derivative at a distance
    of 0, and with respect to a component of 0, is 0.
    """
    if p == 0:
        return jnp.sum(_gap(a, b, eps) != 0, -1, dtype=eps.dtype)
    if p == 1:
        return jnp.sum(absolute(_gap(a, b, eps)), -1)
    if math.isinf(p):
        magnitude = absolute(_gap(a, b, eps))
        return jnp.max(magnitude, -1, initial=0.0) if p > 0 else jnp.min(magnitude, -1)
    return _distance(a, b, eps, p)[..., 0]


@custom_jvp(3)
def _distance(a: Values, b: Values, eps: Values, p: float) -> Values:
    if p != 2:
        return _scaled_norm((a, b, eps), p, -1)
    squares = _squares(_gap(a, b, eps), -1)
    return _if_all(
        (squares >= _least_square(max(a.shape[-1], b.shape[-1]), eps)) & (squares < jnp.inf),
        lambda: jnp.sqrt(squares),
        lambda: _scaled_norm((a, b, eps), p, -1),
    )


@_distance.defjvp
def _distance_jvp(
    p: float, primals: tuple[Values, Values, Values], tangents: tuple[Values, Values, Values]
) -> tuple[Values, Values]:
    length = _distance(*primals, p)
    slope = _over(_gap(*primals), length)
    if p != 2:
        none = slope == 0
        slope = jnp.where(none, 0.0, jnp.sign(slope) * jnp.where(none, 1.0, absolute(slope)) ** (p - 1))
    return length, jnp.sum(slope * _gap(*tangents), -1, keepdims=True)


def _gap(a: Values, b: Values, eps: Values) -> Values:
    return a.astype(eps.dtype) - b.astype(eps.dtype) + eps


@custom_jvp(3, 4)
def cosine(a: Values, b: Values, least: Values, offset: float, axis: int) -> Values:
    """a . b / (A B) over an axis (kept as 1), where A = max(sqrt(|a|^2 + offset), least) and B alike.

    It has the dtype of `least`.
    """
    return _cosine(a, b, least, offset, axis)[0]


@cosine.defjvp
def _cosine_jvp(
    offset: float, axis: int, primals: tuple[Values, Values, Values], tangents: tuple[Values, Values, Values]
) -> tuple[Values, Values]:
    a, b, least = primals
    value, *lengths = _cosine(*primals, offset, axis)
    units = [_over(x.astype(least.dtype), length) for x, length in zip((a, b), lengths, strict=True)]
    along = jnp.zeros_like(value)
    for mine, other, length, tangent in zip(units, units[::-1], lengths, tangents[:2], strict=True):
        # A length of `least` does not depend on the vector, and the cosine is linear in that.
        turn = jnp.where(length > least, value, 0.0)
        slope = _over(other - turn * mine, length)
        along += jnp.sum(slope * tangent.astype(least.dtype), axis, keepdims=True)
        along -= jnp.where(length > least, 0.0, _over(value, length)) * tangents[2]
    return cosine(*primals, offset, axis), along


def _cosine(a: Values, b: Values, least: Values, offset: float, axis: int) -> tuple[Values, Values, Values]:
    """The cosine, and the two lengths it divides by."""
    dtype = least.dtype

    def length(norm: Values) -> Values:
        scale = jnp.maximum(norm, 1.0)
        return jnp.maximum(scale * jnp.sqrt(jnp.square(norm / scale) + offset / scale / scale), least)

    of_a, of_b = _squares(a.astype(dtype), axis), _squares(b.astype(dtype), axis)
    dot = jnp.sum(a.astype(dtype) * b.astype(dtype), axis, keepdims=True)

    def plain() -> tuple[Values, Values, Values]:
        first, second = length(jnp.sqrt(of_a)), length(jnp.sqrt(of_b))
        return dot / first / second, first, second

    def scaled() -> tuple[Values, Values, Values]:
        zero = jnp.zeros_like(least)
        first, second = (length(_scaled_norm((x, zero, zero), 2, axis)) for x in (a, b))
        product = _over(a.astype(dtype), first) * _over(b.astype(dtype), second)
        return jnp.sum(product, axis, keepdims=True), first, second

    floor = jnp.maximum(jnp.square(least), offset)  # of the squared lengths, whatever vanishes from them
    shortest = jnp.maximum(jnp.minimum(of_a, of_b), floor)
    sound = (shortest >= _least_square(a.shape[axis], least)) & (jnp.maximum(of_a, of_b) < jnp.inf)
    value, first, second = _if_all(sound, plain, scaled)
    return jnp.clip(value, -1.0, 1.0), first, second  # rounding takes no cosine past 1


def _if_all(sound: Bool[Array, "..."], plain: Callable[[], T], scaled: Callable[[], T]) -> T:
    return lax.cond(jnp.all(sound), plain, scaled)  # pyright: ignore[reportUnknownVariableType]  # cond has no types


def _squares(x: Values, axis: int) -> Values:
    return jnp.sum(jnp.square(x), axis, keepdims=True)


def _least_square(size: int, like: Values) -> float:
    """A sum of squares below which some that have vanished would count."""
    least = limits(like.dtype)
    return size * least.tiny / least.eps


def _scaled_norm(gap: tuple[Values, Values, Values], p: float, axis: int) -> Values:
    """The p-norm of a - b + eps, by components that are divided by the one that dominates."""
    # Apart from the use below, or the difference would be held for both.
    magnitude = jnp.abs(_gap(*lax.optimization_barrier(gap)))
    if p > 0:
        extreme = jnp.max(magnitude, axis, keepdims=True, initial=0.0)
    else:
        extreme = jnp.min(magnitude, axis, keepdims=True)
    scale = _divisor(extreme)
    powers = (jnp.abs(_gap(*gap)) / scale) ** p
    return jnp.where(extreme == 0, 0.0, scale * jnp.sum(powers, axis, keepdims=True) ** (1 / p))


def _divisor(size: Values) -> Values:
    """A size to divide by: neither it nor its reciprocal, which compilers multiply by, overflows or vanishes."""
    tiny = limits(size.dtype).tiny
    return jnp.clip(size, tiny, 1 / tiny)


def _over(x: Values, length: Values) -> Values:
    """x / length, and 0 where the length is 0."""
    scale, empty = _divisor(length), length == 0
    return x / scale * jnp.where(empty, 0.0, scale / jnp.where(empty, 1.0, length))
