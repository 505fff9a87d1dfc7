"""Building blocks of custom derivatives."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Bool

from jaxloss._core.types import Values

T = TypeVar("T")


Tangent = Values | SymbolicZero


def custom_jvp(*static: int) -> Callable[[Callable[..., T]], jax.custom_jvp[T]]:
    """`jax.custom_jvp` with the arguments at these positions static. The result type is known to type checkers."""
    return partial(jax.custom_jvp, nondiff_argnums=static)


def along(tangents: tuple[Tangent, ...], *slopes: Callable[[], Values]) -> Values:
    """The directional derivative: the sum of slope times tangent. At least one tangent must not be symbolically zero.

    A rule that is defined with `symbolic_zeros=True` knows which tangents are zero whatever the values. Their slopes
    are functions so that they are not even computed.
    """
    terms = [
        slope() * tangent
        for slope, tangent in zip(slopes, tangents, strict=True)
        if not isinstance(tangent, SymbolicZero)
    ]
    return sum(terms[1:], start=terms[0])


def nan_unless(ok: Bool[Array, "..."], values: Values) -> Values:
    """`values` where `ok`, else NaN with a NaN gradient: a bad value is loud, in that element only."""
    # A product passes the NaN on to the derivative. The derivative of a `where` would be a silent zero.
    return values * value_or_nan(ok, jnp.ones((), values.dtype))


def value_or_nan(ok: Bool[Array, "..."], values: Values) -> Values:
    """`values` where `ok`, else NaN; without a derivative. It is for the value of a function with a custom derivative.

    The bits of the numbers are selected as integers. A select between floating numbers would need a constant NaN, at
    which `jax.debug_nans` stops a program that runs without `jit`, even if all values are good.
    """
    dtype = values.dtype
    integer = np.dtype(f"int{8 * dtype.itemsize}")
    nan = np.asarray(np.nan, dtype).view(integer)
    return lax.bitcast_convert_type(jnp.where(ok, lax.bitcast_convert_type(values, integer), nan), dtype)
