"""Floating dtypes: their limits, and the dtype that losses are computed and summed in."""

from typing import NamedTuple, cast

import jax.numpy as jnp
from jax.typing import DTypeLike


def rounding(dtype: DTypeLike) -> float:
    """What sums of probabilities may be off by: half the digits of the dtype they were given in."""
    return limits(dtype).eps ** 0.5


class Limits(NamedTuple):
    """Of a floating dtype."""

    tiny: float
    """The smallest number of normal size."""
    max: float
    eps: float


def limits(dtype: DTypeLike) -> Limits:
    """What `jnp.finfo` says, as numbers."""
    info = cast(Limits, jnp.finfo(dtype))  # it has no types
    return Limits(float(info.tiny), float(info.max), float(info.eps))


def accumulator(dtype: DTypeLike) -> DTypeLike:
    """The dtype of the maths and of the sums: at least float32."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype
