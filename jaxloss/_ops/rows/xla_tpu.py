"""The choices for TPUs, whose compiler fuses the gradient of the logits into the products that use it."""

from jaxloss._core.counts import is_known
from jaxloss._ops.rows.chunked import Tuning
from jaxloss._ops.rows.xla import kernel_gradient


def chunk_rows(rows: int, width: int, logits_per_row: int) -> int:
    """Default chunk: as many rows as the width, from 512 to 2048.

    The kernel's gradient is read and written once per chunk. That is negligible beside the products if a chunk has as
    many rows as the width, and more rows take more memory. A single chunk needs no sum of gradients in float32, which
    takes as much memory as the logits of as many rows as the width.
    """
    if is_known(rows) and rows <= min(width, 4096):
        return max(rows, 1)
    return min(max(512, width), 2048)


TUNING = Tuning(chunk_rows, kernel_gradient)
