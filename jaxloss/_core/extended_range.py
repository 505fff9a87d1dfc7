"""Numbers of extended range: a floating mantissa beside an integer exponent.

The probability of a path of a thousand frames underflows any floating dtype. Its logarithm does not, but takes an `exp`
and a `log` for every sum, and loses a digit after the point for every digit before it. Here a sum is a shift of
exponents, a product is a product and a sum of integers, and no digit is lost.

Exponents are constants to a derivative, and mantissas carry it, so that JAX differentiates all of this as it stands.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Integer

from jaxloss._core.types import Values

LOG_2 = math.log(2)


class Extended(NamedTuple):
    """mantissa * 2**exponent. Zero is any number with an exponent at or near `nothing`."""

    mantissa: Values
    exponent: Integer[Array, "..."]


class Layout(NamedTuple):
    """How a floating dtype is laid out in bits, and the range of the exponents beside it."""

    integer: np.dtype[np.signedinteger]
    digits: int
    """Bits of the mantissa, behind its implicit 1."""
    bias: int
    nothing: int
    """The exponent of zero. Several times it still fits, so that only products have to clamp."""
    log_2: tuple[float, float]
    """The logarithm of 2 in two terms, the first of few enough bits that its products with exponents are exact."""


def layout(dtype: DTypeLike) -> Layout:
    """Of float32 or float64."""
    return _LAYOUTS[jnp.dtype(dtype).itemsize]


def _layout(integer: type[np.signedinteger], digits: int, bias: int, steps: int) -> Layout:
    high = Fraction(round(_LOG_2 * steps), steps)
    nothing = -(2 ** (np.iinfo(integer).bits - 3))
    return Layout(np.dtype(integer), digits, bias, nothing, (float(high), float(_LOG_2 - high)))


_LOG_2 = Fraction("0.693147180559945309417232121458176568")


_LAYOUTS = {4: _layout(np.int32, 23, 127, 2**9), 8: _layout(np.int64, 52, 1023, 2**31)}


def lowest_log(dtype: DTypeLike) -> float:
    """The logarithm under which a number counts as zero: -4e8 in float32."""
    return layout(dtype).nothing * LOG_2


def of_log(log: Values) -> Extended:
    """exp(log)."""
    its = layout(log.dtype)
    exponent = jnp.maximum(jnp.round(log * (1 / LOG_2)), float(its.nothing))
    rest = (log - exponent * its.log_2[0]) - exponent * its.log_2[1]
    # Where the logarithm has no digits behind the point, what is left of it after the subtraction is only rounding.
    rest = jnp.minimum(jnp.maximum(rest, -0.5), 0.5)
    return Extended(jnp.exp(rest), exponent.astype(its.integer))


def log(x: Extended) -> Values:
    """The logarithm, -inf of zero."""
    mantissa, exponent = normalized(x)
    its = layout(mantissa.dtype)
    high = mantissa > 2**0.5  # so that the logarithm of the mantissa, near 0 on both sides, keeps its digits
    mantissa, power = (
        jnp.where(high, mantissa / 2, mantissa),
        (exponent + high.astype(exponent.dtype)).astype(mantissa.dtype),
    )
    found = power * its.log_2[0] + (power * its.log_2[1] + jnp.log(mantissa))
    return jnp.where(is_zero(x), -jnp.inf, found)


def is_zero(x: Extended) -> Array:
    """Whether a number is zero: some products and sums may have left it a little above."""
    nothing = layout(x.mantissa.dtype).nothing
    return x.exponent < nothing - nothing // 1024


def plus(*terms: Extended) -> Extended:
    """The sum. Its mantissa is not normalised: a dozen sums and products may follow one another without."""
    largest = terms[0].exponent
    for term in terms[1:]:
        largest = jnp.maximum(largest, term.exponent)
    return Extended(sum((scaled(term, largest) for term in terms[1:]), start=scaled(terms[0], largest)), largest)


def scaled(x: Extended, exponent: Integer[Array, "..."]) -> Values:
    """x / 2**exponent as a floating number, for an exponent not much less than that of x."""
    return x.mantissa * _power_of_2(x.exponent - exponent, x.mantissa.dtype)


def _power_of_2(exponent: Integer[Array, "..."], dtype: DTypeLike) -> Values:
    """2**exponent, made of its bits; 0 where it is not a normal number."""
    its = layout(dtype)
    return lax.bitcast_convert_type((jnp.maximum(exponent, -its.bias) + its.bias) << its.digits, dtype)


def times(a: Extended, b: Extended) -> Extended:
    """The product."""
    nothing = layout(a.mantissa.dtype).nothing
    return Extended(a.mantissa * b.mantissa, jnp.maximum(a.exponent + b.exponent, nothing))


def normalized(x: Extended) -> Extended:
    """The same number with a mantissa in [1, 2)."""
    its = layout(x.mantissa.dtype)
    power = (lax.bitcast_convert_type(x.mantissa, its.integer) >> its.digits) - its.bias
    return Extended(x.mantissa * _power_of_2(-power, x.mantissa.dtype), x.exponent + power)
