"""Counts of elements that no integer of JAX's default size may hold, and sizes that are known at run time only.

A size is symbolic in a program of `jax.export` for batches of any size. JAX refuses to make a Python number of it.
"""

import math
from typing import cast

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

DIGIT = 30
"""The binary digits of the low part of a count. The sum of two low parts fits in 31 digits."""


def is_known(size: object) -> bool:
    """Whether a size is a number while tracing."""
    return isinstance(size, int)


def fits_integers(shape: tuple[int, ...]) -> bool:
    """Whether the number of elements is known to fit in an integer of the default size."""
    return all(map(is_known, shape)) and math.prod(shape) <= jnp.iinfo(jnp.result_type(int)).max


def float_size(shape: tuple[int, ...], dtype: DTypeLike = float) -> float | Float[Array, ""]:
    """The product of the sizes as a floating number: a Python number if all are known, else an array of the dtype."""
    size = float(math.prod(size for size in shape if is_known(size)))
    # The product of symbolic sizes could leave the range of an integer. Each alone does not.
    unknown = [jnp.asarray(size).astype(dtype) for size in shape if not is_known(size)]
    return math.prod(unknown, start=size)


def repeats(have: tuple[int, ...], want: tuple[int, ...]) -> tuple[int, ...]:
    """The number of times that an array is repeated along each axis when it broadcasts to a shape."""
    return tuple(1 if here == there else there for here, there in zip(have, want, strict=True))


def exact_count(keep: Bool[Array, "..."]) -> Float[Array, ""]:
    """The number of True, rounded once at the end. It is exact up to 2**61 without integers of 64 bits."""
    ones = keep.astype(jnp.int32)
    high, low = cast(
        tuple[Array, Array],
        lax.reduce((jnp.zeros_like(ones), ones), (jnp.int32(0), jnp.int32(0)), _add_counts, range(keep.ndim)),
    )
    return high.astype(float) * 2.0**DIGIT + low.astype(float)


Count = tuple[Int[Array, "..."], Int[Array, "..."]]


def _add_counts(first: Count, second: Count) -> Count:
    """The sum of two counts. Each has a high part and a low part of `DIGIT` binary digits."""
    low = first[1] + second[1]
    return first[0] + second[0] + (low >> DIGIT), low & (2**DIGIT - 1)
