"""What a CTC loss is asked for, checked and put in order."""

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
from jaxloss._core.sequences import Batch, before_end

T = TypeVar("T")


FEW_CLASSES = 128
"""Up to which a product with one-hot labels is faster than a scatter, on CPUs."""


BLOCK = 16
"""Frames between two normalisations: the mantissas grow by a factor of at most 5 per frame."""


class Paths(NamedTuple):
    """What the paths of sequences are made of, in the dtype of the maths."""

    emissions: Float[Array, "frames sequences labels_and_blank"]
    """Of the blank, then of each label. Behind the end of a sequence the blank is certain."""
    classes: Int[Array, "sequences labels_and_blank"]
    skips: Bool[Array, "sequences labels"]
    """Whether a label may follow the one before it without a blank: it is another one."""
    frames: Int[Array, "sequences"]
    lengths: Int[Array, "sequences"]
    ok: Bool[Array, "sequences"]
    """Whether all values are in their domains."""


def paths(batch: Batch, axis: int, blank: int) -> Paths:
    """What is used of the sequences, and whether it is in its domain."""
    log_probs, targets, frames, lengths = batch
    count, width = targets.shape
    longest, classes = log_probs.shape[1 - axis], log_probs.shape[2]

    ok = within(Domain(f"from 0 to the {longest} frames", lambda n: (n >= 0) & (n <= longest)), input_lengths=frames)
    frames = jnp.where(ok, frames, longest)  # so that the NaN reaches a gradient
    ok &= within(Domain(f"from 0 to the {width} labels", lambda n: (n >= 0) & (n <= width)), target_lengths=lengths)
    labelled, spoken = before_end(lengths, width), before_end(frames, longest)
    label = Domain(
        f"a class number from 0 to {classes - 1} that is not the blank, {blank}",
        lambda y: ((y >= 0) & (y < classes) & (y != blank)) | ~labelled,
    )
    in_range = within(label, targets=targets)
    ok &= jnp.all(in_range, 1)
    labels = jnp.where(in_range & labelled, targets, blank)
    numbers = jnp.concatenate([jnp.full((count, 1), blank, labels.dtype), labels], 1)

    emissions = _pick(log_probs, numbers, axis)
    expect(log_probabilities(log_probs.dtype), (spoken if axis == 0 else spoken.T)[:, :, None], log_probs=log_probs)
    waiting = jnp.where(jnp.arange(width + 1) == 0, 0.0, -jnp.inf).astype(emissions.dtype)[None, None]
    whole = whole_blocks(longest)
    emissions = jnp.pad(emissions, ((0, whole - longest), (0, 0), (0, 0)))
    emissions = jnp.where(before_end(frames, whole).T[:, :, None], emissions, waiting)
    # A NaN is not below; nor is a number that no logarithm of a probability is, and whose sum would overflow.
    below = -lowest_log(emissions.dtype) / (longest + 1)
    ok &= jnp.all(emissions < below, (0, 2))
    skips = (labels != jnp.roll(labels, 1, 1)) & (jnp.arange(width)[None] > 0)
    return Paths(emissions, numbers, skips, frames, lengths, ok)


def whole_blocks(frames: int) -> int:
    """The frames that the lattice takes, for at least so many."""
    number = block_count(frames)
    return number * max(-(-frames // number), 1)


def block_count(frames: int) -> int:
    return max(-(-frames // BLOCK), 1)


def on_any_mesh(function: Callable[[Batch], T], batch: Batch, axis: int) -> T:
    """Call what gives something for every sequence, first axis. On explicit meshes XLA finds how the rest is split."""
    sharding = jax.typeof(batch.log_probs).sharding
    kinds = sharding.mesh.axis_types
    if AxisType.Explicit not in kinds or AxisType.Manual in kinds:  # where JAX has no `auto_axes`
        return function(batch)
    out = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[axis]))
    return cast(T, jax.sharding.auto_axes(function, out_sharding=out)(batch))


@custom_jvp(2)
def _pick(
    log_probs: Float[Array, "..."], classes: Int[Array, "sequences states"], batch: int
) -> Float[Array, "frames sequences states"]:
    """What each frame says of each state's class, in the dtype of the maths."""

    def of_sequence(frames: Float[Array, "frames classes"], classes: Int[Array, "states"]) -> Float[Array, "..."]:
        return frames.at[:, classes].get(mode="promise_in_bounds")

    picked = jax.vmap(of_sequence, (batch, 0), 1)(log_probs, classes)
    return picked.astype(accumulator(log_probs.dtype))


@_pick.defjvp
def _pick_jvp(
    batch: int, primals: tuple[Float[Array, "..."], Int[Array, "sequences states"]], tangents: tuple[Array, object]
) -> tuple[Float[Array, "frames sequences states"], Float[Array, "frames sequences states"]]:
    log_probs, classes = primals
    tangent = tangents[0].astype(accumulator(log_probs.dtype))  # in which the posteriors of one class are added up
    if log_probs.shape[2] <= FEW_CLASSES:
        hot = (classes[:, :, None] == jnp.arange(log_probs.shape[2], dtype=classes.dtype)[None, None]).astype(
            tangent.dtype
        )
        form = "ntc,nsc->tns" if batch == 0 else "tnc,nsc->tns"
        tangent = jnp.einsum(form, tangent, hot, precision="highest")
    else:
        tangent = _pick(tangent, classes, batch)
    return _pick(log_probs, classes, batch), tangent
