"""The choices for CPUs: smaller chunks, and a product whose first factor is transposed in memory."""

import jax.numpy as jnp
from jax import lax

from jaxloss._core.dtypes import accumulator
from jaxloss._core.types import Values
from jaxloss._ops.platform import unshared
from jaxloss._ops.rows.chunked import Tuning
from jaxloss._ops.rows.formula import contract

MAPPED_ROWS = 256
"""The rows of a chunk of `in_chunks`: smaller products are slower, and larger chunks skip fewer clusters."""


def chunk_rows(rows: int, width: int, logits_per_row: int) -> int:
    """Default chunk: 128 MiB of logits, within bounds that keep the kernel's gradient from being read too often."""
    return min(max(512, 128 * 2**20 // (4 * logits_per_row)), 1024)


def kernel_gradient(hidden: Values, product_slope: Values) -> Values:
    """The kernel's gradient of a chunk, accumulated in float32 or wider."""
    wide = accumulator(hidden.dtype)
    if not faster_transposed(hidden):
        return contract(hidden, product_slope, (0,), (0,), wide)
    # Without the copy, value and gradient of 512 rows and 8192 classes take 1.09, 1.18 and 1.06 times as long in
    # float32, for a width of 64, 256 and 1024, and 1.42, 1.81 and 1.65 times as long in bfloat16 (JAX 0.10.2).
    # The barrier and the axis of size 1 make XLA transpose in memory. Without them it would fold the transpose into the
    # product, which would read the array in the slow order.
    (transposed,) = unshared(hidden.T[None])
    return contract(lax.squeeze(transposed, (0,)), product_slope, (1,), (0,), wide)


def faster_transposed(hidden: Values) -> bool:
    """Whether a transposed copy costs less than it saves in the product."""
    return hidden.shape[1] <= 1024 or hidden.dtype == jnp.bfloat16


TUNING = Tuning(chunk_rows, kernel_gradient)
