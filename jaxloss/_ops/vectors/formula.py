"""The formulas of norms and cosines that every platform's program is made of.

Vectors come in the dtype of the arguments, and their differences are formed wherever they are needed. So no array of
the vectors' size is stored in between.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxloss._core.dtypes import limits
from jaxloss._core.types import Values


class Terms(NamedTuple):
    """The vectors a - b + eps, before the subtraction. The dtype of the maths is that of `eps`."""

    a: Values
    b: Values
    eps: Values

    @property
    def difference(self) -> Values:
        return self.a.astype(self.eps.dtype) - self.b.astype(self.eps.dtype) + self.eps


class Cosines(NamedTuple):
    """Cosines, and the lengths of the vectors that divide their product. The axis of the components is kept as 1."""

    value: Values
    length_a: Values
    length_b: Values


def sum_of_squares(x: Values, axis: int) -> Values:
    return jnp.sum(jnp.square(x), axis, keepdims=True)


def least_sum_of_squares(size: int, like: Values) -> float:
    """The least sum of `size` squares whose digits do not depend on squares that underflowed."""
    bounds = limits(like.dtype)
    return size * bounds.tiny / bounds.eps


def scaled_norm(terms: Terms, same_terms: Terms, p: float, axis: int) -> Values:
    """The p-norm of a - b + eps, where the component that dominates the sum divides all components.

    The difference has two uses, in the search for that component and in the powers. `same_terms` are the terms for the
    second use: a platform may hide from its compiler that they are equal, so that each use has a loop of its own.
    """
    magnitude = jnp.abs(terms.difference)
    if p > 0:
        extreme = jnp.max(magnitude, axis, keepdims=True, initial=0.0)
    else:
        extreme = jnp.min(magnitude, axis, keepdims=True)
    # All ratios are at most 1 for p > 0 and at least 1 for p < 0, so that no power of them overflows.
    scale = _divisor(extreme)
    powers = (jnp.abs(same_terms.difference) / scale) ** p
    return jnp.where(extreme == 0, 0.0, scale * jnp.sum(powers, axis, keepdims=True) ** (1 / p))


def clamped_length(norm: Values, min_length: Values, offset: float) -> Values:
    """max(sqrt(norm^2 + offset), min_length)."""
    if offset == 0:  # the square of a small norm would underflow
        return jnp.maximum(norm, min_length)
    # The square of a norm may overflow even where the norm does not.
    scale = jnp.maximum(norm, 1.0)
    return jnp.maximum(scale * jnp.sqrt(jnp.square(norm / scale) + offset / scale / scale), min_length)


def divide(x: Values, length: Values) -> Values:
    """x / length; 0 where the length is 0, derivatives included. A length outside the clipped range divides twice."""
    zero = length == 0
    length = jnp.where(zero, 1.0, length)
    scale = _divisor(length)
    return x / scale * jnp.where(zero, 0.0, scale / length)


def _divisor(size: Values) -> Values:
    """Clip a divisor: compilers multiply by its reciprocal, and neither may overflow or be subnormal."""
    tiny = limits(size.dtype).tiny
    return jnp.clip(size, tiny, 1 / tiny)
