"""Building blocks of custom derivatives."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
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
    return values * jnp.where(ok, jnp.ones((), values.dtype), jnp.nan)
