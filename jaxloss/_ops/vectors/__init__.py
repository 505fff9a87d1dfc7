"""Distances and cosines of vectors of any size: no power of a component overflows or underflows."""

import math

import jax.numpy as jnp

from jaxloss._core.elementwise import absolute
from jaxloss._core.types import Values
from jaxloss._ops.vectors import derivative
from jaxloss._ops.vectors.formula import Terms


def distance(a: Values, b: Values, eps: Values, p: float) -> Values:
    """The p-norm of a - b + eps over the last axis, for any real p, in the dtype of `eps`.

    p = 0 counts the components that are not zero; inf and -inf take the largest and the smallest magnitude. The
    derivative at a distance of 0, and with respect to a component of 0, is 0.
    """
    terms = Terms(a, b, eps)
    # These orders have no power that could leave the dtype's range, and JAX's own derivatives of them are right.
    if p == 0:
        return jnp.sum(terms.difference != 0, -1, dtype=eps.dtype)
    if p == 1:
        return jnp.sum(absolute(terms.difference), -1)
    if math.isinf(p):
        magnitude = absolute(terms.difference)
        return jnp.max(magnitude, -1, initial=0.0) if p > 0 else jnp.min(magnitude, -1)
    return derivative.norm(terms, p)[..., 0]


def cosine(a: Values, b: Values, min_length: Values, offset: float, axis: int) -> Values:
    """a . b / (A B) over an axis, kept as 1, in the dtype of `min_length`.

    The lengths are A = max(sqrt(|a|^2 + offset), min_length), and the same formula of b for B.
    """
    return derivative.cosine(a, b, min_length, offset, axis).value
