"""Norms and cosines without a branch: a GPU's host waits for the condition of one, and a TPU copies its operands."""

import math

import jax.numpy as jnp

from jaxloss._core.dtypes import limits
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

CAP = 2.0**-33
"""Components above this are in the range of the unscaled squares, so that the scaled ones may be clipped."""


def norm(terms: Terms, p: float, axis: int) -> Values:
    """The p-norm of a - b + eps over an axis, kept as 1."""
    if p != 2:
        return scaled_norm(terms, terms, p, axis)
    x = jnp.abs(terms.difference)
    # Three sums in one pass over the vectors (Blue's algorithm). At least one of them is in range. The scale takes the
    # square of any component into the range, with 2**16 to spare for the number of components.
    scale = 2.0 ** (math.frexp(limits(x.dtype).max)[1] // 2 + 16)
    plain = sum_of_squares(x, axis)
    small = sum_of_squares(jnp.minimum(x, CAP) * scale, axis)
    large = sum_of_squares(x / scale, axis)
    lengths = jnp.where(jnp.isfinite(plain), jnp.sqrt(plain), jnp.sqrt(large) * scale)
    return jnp.where(plain >= least_sum_of_squares(x.shape[axis], x), lengths, jnp.sqrt(small) / scale)


def cosine(a: Values, b: Values, min_length: Values, offset: float, axis: int) -> Cosines:
    """a . b / (A B) over an axis. The dot product of the unit vectors takes a second pass, and nothing overflows."""
    # Dividing by the lengths before the product keeps the product in range whatever the vectors' sizes.
    zero = jnp.zeros_like(min_length)
    first, second = (clamped_length(norm(Terms(x, zero, zero), 2, axis), min_length, offset) for x in (a, b))
    units = (divide(x.astype(min_length.dtype), length) for x, length in ((a, first), (b, second)))
    return Cosines(jnp.sum(math.prod(units, start=1), axis, keepdims=True), first, second)
