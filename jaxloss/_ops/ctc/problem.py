"""The problem that the implementations of CTC solve, made from checked arguments."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.domains import Domain, expect, log_probabilities, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.extended_range import lowest_log
from jaxloss._core.sequences import Batch, length_mask

T = TypeVar("T")


FEW_CLASSES = 128
"""Up to this number of classes a product with one-hot labels is faster than a scatter on CPUs."""


BLOCK = 16
"""Frames between two normalisations. In one frame a mantissa grows by a factor of at most 5, and 5**16 < 2**38."""


class Problem(NamedTuple):
    """The arrays that the paths of a batch depend on, in the dtype of the maths."""

    emissions: Float[Array, "frames sequences labels_and_blank"]
    """Log-probabilities of the blank, then of each label. After the end of a sequence the blank has probability 1."""
    classes: Int[Array, "sequences labels_and_blank"]
    """The class of each emission."""
    skips: Bool[Array, "sequences labels"]
    """Whether a label may follow the label before it without a blank between them, because the two differ."""
    input_lengths: Int[Array, "sequences"]
    target_lengths: Int[Array, "sequences"]
    valid: Bool[Array, "sequences"]
    """Whether all values of a sequence are in their domains."""


def ctc_problem(batch: Batch, axis: int, blank: int) -> Problem:
    """Gather the log-probabilities that the paths use, and check the values' domains."""
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
    labels = jnp.where(in_range & in_target, targets, blank)
    numbers = jnp.concatenate([jnp.full((count, 1), blank, labels.dtype), labels], 1)

    emissions = _pick(log_probs, numbers, axis)
    expect(log_probabilities(log_probs.dtype), (in_input if axis == 0 else in_input.T)[:, :, None], log_probs=log_probs)
    # A certain blank after the end lets every path wait there, so that one loop serves sequences of all lengths.
    certain_blank = jnp.where(jnp.arange(width + 1) == 0, 0.0, -jnp.inf).astype(emissions.dtype)[None, None]
    whole = whole_blocks(longest)
    emissions = jnp.pad(emissions, ((0, whole - longest), (0, 0), (0, 0)))
    emissions = jnp.where(length_mask(input_lengths, whole).T[:, :, None], emissions, certain_blank)
    # The comparison is false for NaN. It also refuses numbers that no log-probability reaches and whose sum over the
    # frames would overflow the exponents.
    highest = -lowest_log(emissions.dtype) / (longest + 1)
    valid &= jnp.all(emissions < highest, (0, 2))
    skips = (labels != jnp.roll(labels, 1, 1)) & (jnp.arange(width)[None] > 0)
    return Problem(emissions, numbers, skips, input_lengths, target_lengths, valid)


def whole_blocks(frames: int) -> int:
    """The number of frames rounded up, so that all blocks of the lattice have the same size."""
    number = block_count(frames)
    return number * max(-(-frames // number), 1)


def block_count(frames: int) -> int:
    """The number of blocks of at most BLOCK frames; at least one."""
    return max(-(-frames // BLOCK), 1)


def on_any_mesh(function: Callable[[Batch], T], batch: Batch, axis: int) -> T:
    """Call a function whose results have the sequences on their first axis.

    On a mesh with explicit axes, gathers and loops would have to be told how their results are split. XLA finds that
    out instead.
    """
    sharding = jax.typeof(batch.log_probs).sharding
    kinds = sharding.mesh.axis_types
    if AxisType.Explicit not in kinds or AxisType.Manual in kinds:  # JAX has no `auto_axes` inside `shard_map`
        return function(batch)
    out = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[axis]))
    return cast(T, jax.sharding.auto_axes(function, out_sharding=out)(batch))


@custom_jvp(2)
def _pick(
    log_probs: Float[Array, "..."], classes: Int[Array, "sequences states"], batch_axis: int
) -> Float[Array, "frames sequences states"]:
    """The log-probability of each state's class in every frame, in the dtype of the maths.

    The picked values are cast, and not the input: a cast of the input would take an array of its size.
    """

    def of_sequence(frames: Float[Array, "frames classes"], classes: Int[Array, "states"]) -> Float[Array, "..."]:
        return frames.at[:, classes].get(mode="promise_in_bounds")

    picked = jax.vmap(of_sequence, (batch_axis, 0), 1)(log_probs, classes)
    return picked.astype(accumulator(log_probs.dtype))


@_pick.defjvp
def _pick_jvp(
    batch_axis: int, primals: tuple[Float[Array, "..."], Int[Array, "sequences states"]], tangents: tuple[Array, object]
) -> tuple[Float[Array, "frames sequences states"], Float[Array, "frames sequences states"]]:
    log_probs, classes = primals
    # The cast comes first, so that the transpose adds the posteriors of one class in the dtype of the maths.
    tangent = tangents[0].astype(accumulator(log_probs.dtype))
    if log_probs.shape[2] <= FEW_CLASSES:
        # The transpose of a gather is a scatter, which a CPU performs element by element. A product's is a product.
        hot = (classes[:, :, None] == jnp.arange(log_probs.shape[2], dtype=classes.dtype)[None, None]).astype(
            tangent.dtype
        )
        form = "ntc,nsc->tns" if batch_axis == 0 else "tnc,nsc->tns"
        tangent = jnp.einsum(form, tangent, hot, precision="highest")
    else:
        tangent = _pick(tangent, classes, batch_axis)
    return _pick(log_probs, classes, batch_axis), tangent
