"""Integers of NumPy and Python that need 64 bits, which JAX truncates unless its 64-bit mode is on.

JAX makes int32 of an int64 array, without a word, and 2**32 + 1 becomes 1: a class that no one named. So these integers
are looked at while they are still NumPy's or Python's.
"""

from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

NO_INTEGER = -(2**31)
"""The integer that stands for one that does not fit. It is no class and no length, and no `ignore_index` masks it."""

Numbers: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]


def untruncated(value: object, *, names: bool) -> object:
    """An argument as `jax.jit` takes it, without truncated integers.

    A list, and an object that knows how to become an array, are made arrays. An integer that does not fit becomes
    `NO_INTEGER` if the argument's integers name something, such as a class. If they are quantities, the array becomes
    floating.
    """
    if isinstance(value, list) or type(value) is tuple:
        items = cast(list[float], value)
        whole = all(isinstance(leaf, int | np.integer | np.ndarray) for leaf in jax.tree.leaves(items))
        return jnp.asarray(_fitting(np.asarray(items), names) if whole else items)
    if isinstance(value, np.ndarray | np.generic) or (isinstance(value, int) and value.bit_length() > 31):
        return _fitting(np.asarray(value), names)
    return jnp.asarray(cast(Array, value)) if hasattr(value, "__jax_array__") else value


def _fitting(array: Numbers, names: bool) -> Numbers:
    limits = jnp.iinfo(jnp.result_type(int))
    if limits.bits == 64 or array.dtype.itemsize < 8 or array.dtype.kind not in "iuO":
        return array
    fits = (array >= limits.min) & (array <= limits.max)
    if np.all(fits):
        return array
    if not names:
        return array.astype(float)
    fitting = np.full(array.shape, NO_INTEGER, np.int32)
    np.copyto(fitting, array, casting="unsafe", where=fits)
    return fitting
