"""The derivatives of norms and cosines, made once for all platforms, and the choice of the platform's program."""

from functools import partial

import jax.numpy as jnp

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.elementwise import absolute
from jaxloss._core.types import Values
from jaxloss._ops.platform import on_cpu
from jaxloss._ops.vectors import xla, xla_cpu
from jaxloss._ops.vectors.formula import Cosines, Terms, divide


@custom_jvp(1)
def norm(terms: Terms, p: float) -> Values:
    """The p-norm of a - b + eps over the last axis, kept as 1, for p other than 0, 1, inf and -inf."""
    on_cpus, elsewhere = (partial(file.norm, p=p, axis=-1) for file in (xla_cpu, xla))
    return on_cpu(on_cpus, elsewhere, terms)


@norm.defjvp
def _norm_jvp(p: float, primals: tuple[Terms], tangents: tuple[Terms]) -> tuple[Values, Values]:
    (terms,), (terms_dot,) = primals, tangents
    length = norm(terms, p)
    # The slope is the ratio of component and norm, to the power p - 1: powers of either would leave the dtype's range.
    slope = divide(terms.difference, length)
    if p != 2:
        # A component of 0 has the slope 0. Its power would be infinite for p < 1, and so is its derivative for p < 2.
        zero = slope == 0
        slope = jnp.where(zero, 0.0, jnp.sign(slope) * jnp.where(zero, 1.0, absolute(slope)) ** (p - 1))
    return length, jnp.sum(slope * terms_dot.difference, -1, keepdims=True)


@custom_jvp(3, 4)
def cosine(a: Values, b: Values, min_length: Values, offset: float, axis: int) -> Cosines:
    """a . b / (A B) over an axis, and the lengths A = max(sqrt(|a|^2 + offset), min_length) and B.

    The results have the dtype of `min_length`.
    """
    on_cpus, elsewhere = (partial(file.cosine, offset=offset, axis=axis) for file in (xla_cpu, xla))
    found = on_cpu(on_cpus, elsewhere, a, b, min_length)
    return found._replace(value=jnp.clip(found.value, -1.0, 1.0))  # rounding must not take a cosine past 1


@cosine.defjvp
def _cosine_jvp(
    offset: float, axis: int, primals: tuple[Values, Values, Values], tangents: tuple[Values, Values, Values]
) -> tuple[Cosines, Cosines]:
    a, b, min_length = primals
    value, *lengths = found = cosine(*primals, offset, axis)
    units = [divide(x.astype(min_length.dtype), length) for x, length in zip((a, b), lengths, strict=True)]
    value_dot, lengths_dot = jnp.zeros_like(value), []
    for unit, other, length, tangent in zip(units, units[::-1], lengths, tangents[:2], strict=True):
        tangent = tangent.astype(min_length.dtype)
        # A clamped length does not depend on its vector, so that the cosine is linear in the vector.
        clamped = length <= min_length
        slope = divide(other - jnp.where(clamped, 0.0, value) * unit, length)
        value_dot += jnp.sum(slope * tangent, axis, keepdims=True)
        value_dot -= jnp.where(clamped, divide(value, length), 0.0) * tangents[2]
        along_unit = jnp.sum(unit * tangent, axis, keepdims=True)
        lengths_dot.append(jnp.where(clamped, tangents[2], along_unit))
    return found, Cosines(value_dot, *lengths_dot)
