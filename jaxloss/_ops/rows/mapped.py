"""Functions of many rows in chunks whose size depends on the platform, for losses that have no loop of their own."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
from jax import lax

from jaxloss._core.counts import is_known
from jaxloss._core.types import AnyArray
from jaxloss._ops.platform import on_cpu, recomputed
from jaxloss._ops.rows import xla, xla_cpu

T = TypeVar("T")


def in_chunks(
    function: Callable[..., T],
    rows: int,
    chunk_size: int | None,
    *arrays: object,
) -> T:
    """`function(size, *arrays)`, where size is the rows of a chunk, or None if one chunk holds all rows.

    Given no chunk size, it is the platform's. A derivative then recomputes the function. A symbolic number of rows is
    one chunk.
    """

    def size(default: int) -> int | None:
        wanted = default if chunk_size is None else chunk_size
        return None if not is_known(rows) or rows <= wanted else wanted

    cpu, elsewhere = size(xla_cpu.MAPPED_ROWS), size(xla.MAPPED_ROWS)
    if cpu == elsewhere:
        return function(cpu, *arrays)
    return recomputed(partial(on_cpu, partial(function, cpu), partial(function, elsewhere)), *arrays)


def map_chunks(function: Callable[..., T], size: int, *arrays: AnyArray) -> T:
    """The results of `function`, arrays with one entry per row, computed one chunk of rows at a time."""
    rows = arrays[0].shape[0]
    number = -(-rows // size)
    size = -(-rows // number)  # chunks of almost equal size, so that the last one needs little padding

    def split(array: AnyArray) -> AnyArray:
        padding = [(0, number * size - rows)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(number, size, *array.shape[1:])

    # The backward pass recomputes the numbers of a chunk. JAX would otherwise store those of all chunks.
    @partial(jax.checkpoint, prevent_cse=False)
    def chunk_results(chunk: tuple[AnyArray, ...]) -> T:
        return function(*chunk)

    def joined(chunks: AnyArray) -> AnyArray:
        return chunks.reshape(-1, *chunks.shape[2:])[:rows]

    results = cast(T, lax.map(chunk_results, tuple(map(split, arrays))))
    return cast(T, jax.tree.map(joined, results))
