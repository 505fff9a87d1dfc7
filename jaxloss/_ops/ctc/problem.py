"""The problem that the implementations of CTC solve, made from checked arguments."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxloss._core.domains import Domain, within
from jaxloss._core.extended_range import lowest_log
from jaxloss._core.sequences import Batch, length_mask

Emissions: TypeAlias = Float[Array, "frames sequences labels_and_blank"]
"""The log-probabilities of the blank, then of each label, in every frame."""


Classes: TypeAlias = Int[Array, "sequences labels_and_blank"]
"""The class number of each emission."""


Pick: TypeAlias = Callable[[Float[Array, "..."], Classes, Bool[Array, "sequences frames"], int], Emissions]
"""A function that picks the log-probabilities of some classes in every frame. The mask has the frames that are in a
sequence, and the number is the axis of the batch."""


PerSequence: TypeAlias = Float[Array, "sequences"]


LOG_ZERO = -1e30
"""The logarithm of probability 0. It is finite because a difference of two infinities would be NaN."""


BLOCK = 16
"""Frames between two normalisations. In one frame a mantissa grows by a factor of at most 5, and 5**16 < 2**38."""


class Problem(NamedTuple):
    """The arrays that the paths of a batch depend on, in the dtype of the maths."""

    emissions: Emissions
    """After the end of a sequence the blank has probability 1."""
    classes: Classes
    skips: Bool[Array, "sequences labels"]
    """Whether a label may follow the label before it without a blank between them, because the two differ."""
    input_lengths: Int[Array, "sequences"]
    target_lengths: Int[Array, "sequences"]
    valid: Bool[Array, "sequences"]
    """Whether all values of a sequence are in their domains."""


class Engine(NamedTuple):
    """An implementation. It needs no derivatives: `derivative.py` makes them from the posteriors."""

    refuses: Callable[[Problem], str | None]
    value: Callable[[Problem], PerSequence]
    """Minus the log-probability of all paths; inf if there is no path."""
    value_and_posteriors: Callable[[Problem], tuple[PerSequence, Emissions]]
    """The value, and the posterior probability that a frame is the blank, or each label."""


def ctc_problem(batch: Batch, axis: int, blank: int, pick: Pick) -> Problem:
    """Pick the log-probabilities that the paths use, and check the values' domains."""
    log_probs, targets, input_lengths, target_lengths = batch
    count, width = targets.shape
    longest, classes = log_probs.shape[1 - axis], log_probs.shape[2]

    valid = within(
        Domain(f"from 0 to the {longest} frames", lambda n: (n >= 0) & (n <= longest)), input_lengths=input_lengths
    )
    # With no frame in use, the NaN of a bad length would reach the loss but not the gradient.
    input_lengths = jnp.where(valid, input_lengths, longest)
    valid &= within(
        Domain(f"from 0 to the {width} labels", lambda n: (n >= 0) & (n <= width)), target_lengths=target_lengths
    )
    in_target, in_input = length_mask(target_lengths, width), length_mask(input_lengths, longest)
    label = Domain(
        f"a class number from 0 to {classes - 1} that is not the blank, {blank}",
        lambda y: ((y >= 0) & (y < classes) & (y != blank)) | ~in_target,
    )
    in_range = within(label, targets=targets)
    valid &= jnp.all(in_range, 1)
    # Bad labels and padding become the blank, so that the pick never leaves the array.
    labels = jnp.where(in_range & in_target, targets, blank)
    numbers = jnp.concatenate([jnp.full((count, 1), blank, labels.dtype), labels], 1)

    emissions = pick(log_probs, numbers, in_input, axis)
    # A certain blank after the end lets every path wait there, so that one loop serves sequences of all lengths.
    certain_blank = jnp.where(jnp.arange(width + 1) == 0, 0.0, LOG_ZERO).astype(emissions.dtype)[None, None]
    whole = whole_blocks(longest)  # the padding is after the end of every sequence
    emissions = jnp.pad(emissions, ((0, whole - longest), (0, 0), (0, 0)))
    emissions = jnp.where(length_mask(input_lengths, whole).T[:, :, None], emissions, certain_blank)
    # The comparison is false for NaN. It also refuses numbers that no log-probability reaches and whose sum over the
    # frames would overflow the exponents.
    highest = -lowest_log(emissions.dtype) / (longest + 1)
    valid &= jnp.all(emissions < highest, (0, 2))
    # The first label has no label before it, and `roll` would compare it with the last one.
    skips = (labels != jnp.roll(labels, 1, 1)) & (jnp.arange(width)[None] > 0)
    return Problem(emissions, numbers, skips, input_lengths, target_lengths, valid)


def whole_blocks(frames: int) -> int:
    """The number of frames rounded up, so that all blocks of the lattice have the same size."""
    number = block_count(frames)
    return number * max(-(-frames // number), 1)


def block_count(frames: int) -> int:
    """The number of blocks of at most BLOCK frames; at least one."""
    return max(-(-frames // BLOCK), 1)
