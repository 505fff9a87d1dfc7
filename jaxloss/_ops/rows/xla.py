"""The choices for any platform but the CPU."""

from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.rows.chunked import Tuning
from jaxloss._ops.rows.formula import contract

MAPPED_ROWS = 2048
"""The rows of a chunk of `in_chunks`: each chunk costs the launches of its programs."""


def chunk_rows(logits_per_row: int) -> int:
    """Default chunk: large enough that reading and writing the kernel's gradient once per chunk is negligible."""
    return min(max(4096, 2 * 2**30 // (4 * logits_per_row)), 8192)


def kernel_gradient(hidden: Values, product_slope: Values) -> Values:
    """The kernel's gradient of a chunk, accumulated in float32 or wider."""
    return contract(hidden, product_slope, (0,), (0,), accumulator(hidden.dtype))


TUNING = Tuning(chunk_rows, kernel_gradient)
