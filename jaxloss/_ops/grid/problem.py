"""The arcs of the grid lattice, skewed so that a row holds the arcs that leave one anti-diagonal."""

from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxloss._core.domains import Domain, within
from jaxloss._core.extended_range import lowest_log
from jaxloss._core.sequences import length_mask

Grid: TypeAlias = Float[Array, "sequences rows columns"]


Arcs: TypeAlias = Float[Array, "diagonals sequences columns"]


PerSequence: TypeAlias = Float[Array, "sequences"]


LOG_ZERO = -1e30
"""The logarithm of probability 0. It is finite because a difference of two infinities would be NaN."""


class Problem(NamedTuple):
    """The log-probabilities of all arcs of a batch of grids, and the column in which the paths of each grid end.

    Entry (k, n, j) belongs to the arc that leaves cell (k - j, j). Diagonal k holds the cells whose indices add up to
    k. A path that reaches the end waits there, so that grids of all sizes end on the last diagonal.
    """

    down: Arcs
    """From (i, j) to (i + 1, j)."""
    right: Arcs
    """From (i, j) to (i, j + 1)."""
    ends: Int[Array, "sequences"]


def transducer_problem(
    blanks: Grid,
    labels: Float[Array, "sequences rows labels"],
    input_lengths: Int[Array, "sequences"],
    target_lengths: Int[Array, "sequences"],
    valid: Bool[Array, "sequences"],
) -> tuple[Problem, Bool[Array, "sequences"]]:
    """The lattice of a transducer: a blank goes down to the next frame, and a label goes right.

    `blanks` is (N, T, U + 1), and `labels` (N, T, U). Also return whether all values of a sequence are in their
    domains.
    """
    _, frames, columns = blanks.shape
    steps = frames + columns - 1
    valid &= _in_range("input_lengths", input_lengths, frames, "frames")
    valid &= _in_range("target_lengths", target_lengths, columns - 1, "labels")
    # With no arc in use, the NaN of a bad length would reach the loss but not the gradient.
    input_lengths = jnp.where(valid, input_lengths, frames)
    target_lengths = jnp.where(valid, target_lengths, columns - 1)

    column = jnp.arange(columns, dtype=target_lengths.dtype)[None, None]
    in_frames = length_mask(input_lengths, frames)[:, :, None]
    is_blank = in_frames & (column <= target_lengths[:, None, None])
    is_label = in_frames & (column[:, :, :-1] < target_lengths[:, None, None])
    highest = -lowest_log(blanks.dtype) / (steps + 1)  # no sum over a path overflows the exponents
    # The comparisons are false for NaN.
    valid &= jnp.all((blanks < highest) | ~is_blank, (1, 2)) & jnp.all((labels < highest) | ~is_label, (1, 2))

    is_end = column == target_lengths[:, None, None]
    # Rows behind the last frame hold the wait of complete paths. A sequence without frames has no path.
    waiting = jnp.where(is_end & (input_lengths > 0)[:, None, None], 0.0, LOG_ZERO).astype(blanks.dtype)
    down = jnp.where(is_blank, blanks, jnp.where(in_frames, jnp.asarray(LOG_ZERO, blanks.dtype), waiting))
    behind = jnp.broadcast_to(waiting, (waiting.shape[0], columns, columns))
    right = jnp.where(is_label, labels, LOG_ZERO)
    # The last column has no arc to the right.
    right = jnp.pad(right, ((0, 0), (0, columns), (0, 1)), constant_values=LOG_ZERO)
    return Problem(skewed(jnp.concatenate([down, behind], 1)), skewed(right), target_lengths), valid


def skewed(grid: Grid) -> Arcs:
    """Move column j down by j rows. The grid has as many rows to spare as it has columns.

    Padding each column by one entry and reading the columns with the old length shifts every column by one more entry
    than the column before it. No gather is needed. The entries that wrap around stand before the first cell of their
    diagonal, which no path reaches.
    """
    count, rows, columns = grid.shape
    length = rows - 1
    flat = jnp.reshape(jnp.swapaxes(grid, 1, 2), (count, columns * rows))
    return jnp.transpose(jnp.reshape(flat[:, : columns * length], (count, columns, length)), (2, 0, 1))


def _in_range(name: str, lengths: Int[Array, "sequences"], most: int, unit: str) -> Bool[Array, "sequences"]:
    return within(Domain(f"from 0 to the {most} {unit}", lambda n: (n >= 0) & (n <= most)), **{name: lengths})
