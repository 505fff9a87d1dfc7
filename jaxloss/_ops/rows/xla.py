"""The choices for any platform but CPUs and TPUs.

Small products are slow on GPUs, and large ones need the logits of many rows. So the gradient has chunks of two sizes:
small ones for the logits, and large ones for the two products with the logits' gradients. Those are in the inputs'
dtype. In float32 they would take as much memory as the logits, and the chunks have one size.
"""

import math

from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.rows.chunked import Tuning, has_narrow_gradients
from jaxloss._ops.rows.formula import contract

MAPPED_ROWS = 2048
"""The rows of a chunk of `in_chunks`: each chunk costs the launches of its programs."""


def chunk_rows(rows: int, width: int, logits_per_row: int) -> int:
    """Default chunk: large enough that reading and writing the kernel's gradient once per chunk is negligible.

    It takes as much traffic as the logits of as many rows as the width. So narrow hidden states need fewer rows.
    """
    return min(max(4096, 2 * 2**30 // (4 * logits_per_row)), 8192, max(1024, 4 * width))


def kernel_gradient(hidden: Values, product_slope: Values) -> Values:
    """The kernel's gradient of a chunk, accumulated in float32 or wider."""
    return contract(hidden, product_slope, (0,), (0,), accumulator(hidden.dtype))


def gradient_rows(hidden: Values, kernel: Values) -> int:
    """Default chunk of a total with its gradient: large, because only its logits' gradients are in memory at once.

    All rows are one chunk if these gradients take no more memory than the sum of the kernel's gradients in float32,
    which several chunks need.
    """
    rows, width = hidden.shape
    if not has_narrow_gradients(kernel):
        return chunk_rows(rows, width, max(math.prod(kernel.shape[1:]), 1))
    return max(rows, 1) if rows * kernel.dtype.itemsize <= 4 * width else 2048


TUNING = Tuning(chunk_rows, kernel_gradient, gradient_rows, logits_rows=1024)
