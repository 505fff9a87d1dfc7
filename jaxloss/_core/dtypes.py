"""Floating dtypes: their limits, and the dtype that losses are computed and summed in."""

from typing import NamedTuple, cast

import jax.numpy as jnp
from jax.typing import DTypeLike


def rounding(dtype: DTypeLike) -> float:
    """The error that rounding may leave in a sum of probabilities of this dtype: half of its digits are trusted."""
    return limits(dtype).eps ** 0.5


class Limits(NamedTuple):
    """The limits of a floating dtype."""

    tiny: float
    """The smallest positive normal number."""
    max: float
    """The largest finite number."""
    eps: float
    """The distance from 1 to the next number."""


def limits(dtype: DTypeLike) -> Limits:
    """The limits from `jnp.finfo`, as Python numbers."""
    info = cast(Limits, jnp.finfo(dtype))  # the attributes of `finfo` have no types
    return Limits(float(info.tiny), float(info.max), float(info.eps))


def has_small_range(dtype: DTypeLike) -> bool:
    """Whether the numbers of a dtype overflow and underflow long before those of float32, as float16's do."""
    return limits(dtype).max < limits(jnp.float32).max / 2


def accumulator(dtype: DTypeLike) -> DTypeLike:
    """The dtype of the maths and of the sums: at least float32."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype
