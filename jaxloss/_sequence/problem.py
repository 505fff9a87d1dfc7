"""What a CTC loss is asked for, checked and put in order."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Integer

from jaxloss._checked import Domain, expect, within
from jaxloss._checks import has_axis, log_probabilities
from jaxloss._labels import class_numbers, signed
from jaxloss._numerics import custom_jvp
from jaxloss._reduce import accumulator, floating, mask
from jaxloss._sequence.extended import lowest_log
from jaxloss._sequence.lattice import whole_blocks
from jaxloss._types import Mask

T = TypeVar("T")
Lengths = Integer[ArrayLike, "..."] | list[int] | tuple[int, ...]

FEW_CLASSES = 128
"""Up to which a product with one-hot labels is faster than a scatter, on CPUs."""


class Batch(NamedTuple):
    """A batch of sequences as it was asked for, in one form; nothing of it is looked at where it is masked."""

    log_probs: Float[Array, "..."]
    targets: Int[Array, "sequences labels"]
    frames: Int[Array, "sequences"]
    lengths: Int[Array, "sequences"]
    """Of the labels."""


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


def sequences(
    log_probs: Float[Array, "..."],
    shape: tuple[int, ...],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    where: Mask | None = None,
) -> Batch:
    """Check the shapes of the arguments; one sequence becomes a batch of one."""
    frames = per_sequence("input_lengths", input_lengths, shape)
    lengths = per_sequence("target_lengths", target_lengths, shape)
    targets = _rows(class_numbers(targets), target_lengths, shape)
    keep = mask(where, shape)
    if keep is not None:
        keep = jnp.broadcast_to(keep, shape).reshape(-1)
        frames, lengths = jnp.where(keep, frames, 0), jnp.where(keep, lengths, 0)
    return Batch(log_probs if shape else log_probs[None], targets, frames, lengths)


def of_frames(
    log_probs: Float[ArrayLike, "..."], blank: int, time_major: bool
) -> tuple[Float[Array, "..."], tuple[int, ...], int]:
    """The log-probabilities, the shape of one value per sequence, (N,) or (), and the axis of the sequences."""
    log_probs = floating("log_probs", log_probs)
    if log_probs.ndim not in (2, 3):
        form = "(T, N, C)" if time_major else "(N, T, C)"
        raise ValueError(f"`log_probs` has shape {log_probs.shape}, but must be {form}, or (T, C) for one sequence.")
    classes = log_probs.shape[has_axis("log_probs", log_probs)]
    if not 0 <= blank < classes:
        raise ValueError(f"`blank` is {blank}, but must be a class number from 0 to {classes - 1}.")
    axis = 1 if time_major and log_probs.ndim == 3 else 0
    return log_probs, () if log_probs.ndim == 2 else (log_probs.shape[axis],), axis


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


def before_end(lengths: Int[Array, "sequences"], size: int) -> Bool[Array, "sequences size"]:
    """Which of the places that there are belong to each sequence."""
    return jnp.arange(size, dtype=lengths.dtype)[None] < lengths[:, None]


def on_any_mesh(function: Callable[[Batch], T], batch: Batch, axis: int) -> T:
    """Call what gives something for every sequence, first axis. On explicit meshes XLA finds how the rest is split."""
    sharding = jax.typeof(batch.log_probs).sharding
    kinds = sharding.mesh.axis_types
    if AxisType.Explicit not in kinds or AxisType.Manual in kinds:  # where JAX has no `auto_axes`
        return function(batch)
    out = NamedSharding(sharding.mesh, PartitionSpec(sharding.spec[axis]))
    return cast(T, jax.sharding.auto_axes(function, out_sharding=out)(batch))


def per_sequence(name: str, lengths: Lengths, shape: tuple[int, ...]) -> Int[Array, "sequences"]:
    """One integer for each sequence."""
    array = jnp.asarray(lengths, None if np.size(lengths) else int)  # an empty list is floating
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"`{name}` has dtype {array.dtype}, but lengths are integers: use `astype(int)`.")
    if array.shape != shape and not (shape == () and array.shape == (1,)):
        wanted = f"one length for each of {shape[0]} sequences" if shape else "one length, for one sequence"
        raise ValueError(f"`{name}` has shape {array.shape}, but must be {wanted}.")
    return signed(array).reshape(-1)


def _rows(targets: Integer[Array, "..."], lengths: Lengths, shape: tuple[int, ...]) -> Int[Array, "sequences labels"]:
    """The labels as a padded batch, from each of the forms they may come in."""
    targets = signed(targets)
    if targets.ndim == 1 and not shape:
        return targets[None]
    if targets.ndim == 2 and targets.shape[:1] == shape:
        return targets
    if targets.ndim == 1 and shape:
        return _unpacked(targets, lengths)
    wanted = f"({shape[0]}, S), or one axis with all labels one after another" if shape else "(S,), for one sequence"
    raise ValueError(f"`targets` has shape {targets.shape}, but must be {wanted}.")


def _unpacked(targets: Int[Array, "labels"], lengths: Lengths) -> Int[Array, "sequences longest"]:
    """Labels one after another, cut where the lengths say."""
    try:
        ends = np.cumsum(np.asarray(lengths, int))
    except jax.errors.TracerArrayConversionError:
        raise ValueError(
            "`targets` has one axis with all labels one after another, which shapes the program, but `target_lengths` "
            "is traced: pad the targets to (N, S)."
        ) from None
    total = int(ends[-1]) if ends.size else 0
    sizes = np.diff(ends, prepend=0)
    if total != targets.size or (sizes < 0).any():
        raise ValueError(f"`targets` has {targets.size} labels, but `target_lengths` add up to {total}.")
    places = (ends - sizes)[:, None] + np.arange(max(sizes, default=0))
    return targets[np.minimum(places, max(total - 1, 0))] if total else jnp.zeros(places.shape, targets.dtype)


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
