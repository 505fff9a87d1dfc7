"""Functions of many rows in chunks whose size depends on the platform, for losses that have no loop of their own."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from jaxloss._core.counts import is_known
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
