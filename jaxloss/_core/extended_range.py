"""Numbers of extended range: a floating mantissa beside an integer exponent.

The probability of a path of a thousand frames underflows any floating dtype. Its logarithm does not, but every sum of
two logarithms takes an `exp` and a `log`, and a logarithm of a thousand has three digits fewer after the point. In this
form a sum shifts exponents, a product multiplies mantissas and adds exponents, and no digit is lost.

Exponents are constants to a derivative, and mantissas carry it. So JAX differentiates these functions as they stand.
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
    """mantissa * 2**exponent. A number whose exponent is at or near `zero_exponent` is zero, whatever its mantissa."""

    mantissa: Values
    exponent: Integer[Array, "..."]


class Layout(NamedTuple):
    """The bits of a floating dtype, and the range of the exponents that stand beside it."""

    integer: np.dtype[np.signedinteger]
    """The integer dtype of the same size, for exponents and for the bits of mantissas."""
    digits: int
    """The stored bits of the mantissa, without its implicit leading 1."""
    bias: int
    """The number that the dtype adds to an exponent before it stores it."""
    zero_exponent: int
    """The exponent of zero. Several times this number still fits in the integer, so that only products must clamp."""
    log_2: tuple[float, float]
    """The logarithm of 2 as a sum of two terms. The first has few enough bits that its products with exponents are
    exact."""


def layout(dtype: DTypeLike) -> Layout:
    """The layout of float32 or float64."""
    return _LAYOUTS[jnp.dtype(dtype).itemsize]


def _layout(integer: type[np.signedinteger], digits: int, bias: int, steps: int) -> Layout:
    high = Fraction(round(_LOG_2 * steps), steps)
    zero_exponent = -(2 ** (np.iinfo(integer).bits - 3))
    return Layout(np.dtype(integer), digits, bias, zero_exponent, (float(high), float(_LOG_2 - high)))


_LOG_2 = Fraction("0.693147180559945309417232121458176568")


_LAYOUTS = {4: _layout(np.int32, 23, 127, 2**9), 8: _layout(np.int64, 52, 1023, 2**31)}


def lowest_log(dtype: DTypeLike) -> float:
    """The logarithm under which a number counts as zero: -4e8 in float32."""
    return layout(dtype).zero_exponent * LOG_2


def from_log(log: Values) -> Extended:
    """exp(log)."""
    bits = layout(log.dtype)
    exponent = jnp.maximum(jnp.round(log * (1 / LOG_2)), float(bits.zero_exponent))
    # Two subtractions, of which the first is exact: one product with log 2 would round away digits of the remainder.
    remainder = (log - exponent * bits.log_2[0]) - exponent * bits.log_2[1]
    # A logarithm so large that it has no digits after the point leaves a remainder of rounding errors alone.
    remainder = jnp.minimum(jnp.maximum(remainder, -0.5), 0.5)
    return Extended(jnp.exp(remainder), exponent.astype(bits.integer))


def to_log(x: Extended) -> Values:
    """The logarithm; -inf of zero."""
    mantissa, exponent = normalize(x)
    bits = layout(mantissa.dtype)
    # Mantissas in [0.7, 1.4) have logarithms near 0. So close to 1 the result keeps its relative digits on both sides.
    high = mantissa > 2**0.5
    mantissa, power = (
        jnp.where(high, mantissa / 2, mantissa),
        (exponent + high.astype(exponent.dtype)).astype(mantissa.dtype),
    )
    log = power * bits.log_2[0] + (power * bits.log_2[1] + jnp.log(mantissa))
    # The infinity is the logarithm of 0 and not a constant, so that `jax.debug_infs` accepts numbers above zero.
    return log + jnp.log(jnp.where(is_zero(x), jnp.zeros((), log.dtype), 1.0))


def is_zero(x: Extended) -> Array:
    """Whether a number is zero. Sums and products may have raised the exponent of a zero a little."""
    zero_exponent = layout(x.mantissa.dtype).zero_exponent
    return x.exponent < zero_exponent - zero_exponent // 1024


def add(*terms: Extended) -> Extended:
    """The sum, not normalised: a dozen sums and products may follow one another before a mantissa overflows."""
    # A term whose exponent is so much smaller that its bits are shifted out becomes 0, as in any floating sum.
    largest = terms[0].exponent
    for term in terms[1:]:
        largest = jnp.maximum(largest, term.exponent)
    mantissa = sum((mantissa_at(term, largest) for term in terms[1:]), start=mantissa_at(terms[0], largest))
    return Extended(mantissa, largest)


def mantissa_at(x: Extended, exponent: Integer[Array, "..."]) -> Values:
    """x / 2**exponent as a floating number, for an exponent that is at most a little less than that of x."""
    return x.mantissa * _power_of_2(x.exponent - exponent, x.mantissa.dtype)


def _power_of_2(exponent: Integer[Array, "..."], dtype: DTypeLike) -> Values:
    """2**exponent, or 0 where that is below the dtype's normal numbers. Its bits are set, which is exact and cheap."""
    bits = layout(dtype)
    return lax.bitcast_convert_type((jnp.maximum(exponent, -bits.bias) + bits.bias) << bits.digits, dtype)


def multiply(a: Extended, b: Extended) -> Extended:
    """The product."""
    # Without the clamp the exponents of zeros would add up, frame by frame, until the integer wraps around.
    zero_exponent = layout(a.mantissa.dtype).zero_exponent
    return Extended(a.mantissa * b.mantissa, jnp.maximum(a.exponent + b.exponent, zero_exponent))


def normalize(x: Extended) -> Extended:
    """The same number with a mantissa in [1, 2)."""
    # The stored exponent of the mantissa is moved to the integer. The product with a power of 2 is exact.
    power = _stored_exponent(x.mantissa)
    return Extended(x.mantissa * _power_of_2(-power, x.mantissa.dtype), x.exponent + power)


def power_of_2_over(size: Values) -> Values:
    """A power of 2 whose product with `size` is near 1, for sizes of at least 0; a constant to a derivative.

    Products with it are exact. So it brings numbers into a range where their squares neither overflow nor vanish.
    """
    exponent = _stored_exponent(lax.stop_gradient(size))
    return _power_of_2(-jnp.minimum(exponent, layout(size.dtype).bias - 1), size.dtype)


def _stored_exponent(x: Values) -> Integer[Array, "..."]:
    """The exponent in the bits of a number of at least 0."""
    bits = layout(x.dtype)
    return (lax.bitcast_convert_type(x, bits.integer) >> bits.digits) - bits.bias
