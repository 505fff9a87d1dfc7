"""Norms and cosines in one pass on CPUs, where a branch is almost free and arithmetic is not.

Scaling vectors before they are squared takes another pass over them. So the squares are summed unscaled, and only if
one of the sums is out of range are all vectors scaled. With JAX 0.10.2 the distances of 8,192 pairs of vectors of 512
components take 8 ms and 96 KiB, where always scaling takes 18 ms, and the program for accelerators 53 ms and 32 MiB.
"""

from collections.abc import Callable
from typing import TypeVar

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool

from jaxloss._core.types import Values
from jaxloss._ops.vectors.formula import (
    Cosines,
    Terms,
    clamped_length,
    divide,
    least_sum_of_squares,
    scaled_norm,
    sum_of_squares,
)

T = TypeVar("T")


def norm(terms: Terms, p: float, axis: int) -> Values:
    """The p-norm of a - b + eps over an axis, kept as 1."""
    if p != 2:
        return _scaled_norm(terms, p, axis)
    squares = sum_of_squares(terms.difference, axis)
    size = max(terms.a.shape[axis], terms.b.shape[axis])
    return _scaled_unless(
        (squares >= least_sum_of_squares(size, squares)) & jnp.isfinite(squares),
        lambda: jnp.sqrt(squares),
        lambda: _scaled_norm(terms, 2, axis),
    )


def cosine(a: Values, b: Values, min_length: Values, offset: float, axis: int) -> Cosines:
    """a . b / (A B) over an axis. The dot product and both sums of squares are formed in one pass."""
    dtype = min_length.dtype
    # Formed outside the branches, so that one loop reads both vectors for the three sums.
    squares_a, squares_b = sum_of_squares(a.astype(dtype), axis), sum_of_squares(b.astype(dtype), axis)
    dot = jnp.sum(a.astype(dtype) * b.astype(dtype), axis, keepdims=True)

    def plain() -> Cosines:
        first, second = (clamped_length(jnp.sqrt(squares), min_length, offset) for squares in (squares_a, squares_b))
        return Cosines(dot / first / second, first, second)  # the product of the lengths may overflow

    def scaled() -> Cosines:
        zero = jnp.zeros_like(min_length)
        norms = (_scaled_norm(Terms(x, zero, zero), 2, axis) for x in (a, b))
        first, second = (clamped_length(norm, min_length, offset) for norm in norms)
        product = divide(a.astype(dtype), first) * divide(b.astype(dtype), second)
        return Cosines(jnp.sum(product, axis, keepdims=True), first, second)

    # Squares that underflow do not matter where the clamp or the offset exceeds them.
    shortest = jnp.maximum(jnp.minimum(squares_a, squares_b), jnp.maximum(jnp.square(min_length), offset))
    longest = jnp.maximum(squares_a, squares_b)
    in_range = (shortest >= least_sum_of_squares(a.shape[axis], min_length)) & jnp.isfinite(longest)
    return _scaled_unless(in_range, plain, scaled)


def _scaled_unless(in_range: Bool[Array, "..."], plain: Callable[[], T], scaled: Callable[[], T]) -> T:
    """The plain result if all sums of squares are in range, else the scaled one."""
    return lax.cond(jnp.all(in_range), plain, scaled)  # pyright: ignore[reportUnknownVariableType]  # cond has no types


def _scaled_norm(terms: Terms, p: float, axis: int) -> Values:
    """The scaled norm with a barrier between the two uses of the difference, which XLA would merge and store.

    For the distances of 8,192 pairs of 512 components with p = 3, JAX 0.10.2 needs 64 KiB with the barrier and 16 MiB
    without it.
    """
    return scaled_norm(lax.optimization_barrier(terms), terms, p, axis)
