"""Batches of sequences with lengths: their arguments checked and brought into one form."""

import math
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Integer

from jaxloss._core.arguments import floating, has_axis, mask
from jaxloss._core.class_numbers import class_numbers, signed
from jaxloss._core.elementwise import is_infinite
from jaxloss._core.integers import untruncated
from jaxloss._core.reduction import check_reduction, reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Weight

Lengths = Integer[ArrayLike, "..."] | list[int] | tuple[int, ...]


class Batch(NamedTuple):
    """A batch of sequences in one form.

    A masked sequence has no frames and no labels, so that none of its values is read.
    """

    log_probs: Float[Array, "..."]
    targets: Int[Array, "sequences labels"]
    input_lengths: Int[Array, "sequences"]
    target_lengths: Int[Array, "sequences"]


def sequence_batch(
    log_probs: Float[Array, "..."],
    shape: tuple[int, ...],
    targets: Integer[ArrayLike, "..."],
    input_lengths: Lengths,
    target_lengths: Lengths,
    where: Mask | None = None,
) -> Batch:
    """Check the shapes of the arguments; one sequence becomes a batch of one."""
    frames = checked_lengths("input_lengths", input_lengths, shape)
    labels = checked_lengths("target_lengths", target_lengths, shape)
    targets = _padded_targets(class_numbers(targets), shape)
    keep = flat_mask(where, shape)
    if keep is not None:
        frames, labels = jnp.where(keep, frames, 0), jnp.where(keep, labels, 0)
    return Batch(log_probs if shape else log_probs[None], targets, frames, labels)


def checked_frames(
    name: str, frames: Float[ArrayLike, "..."], blank: int, time_major: bool
) -> tuple[Float[Array, "..."], tuple[int, ...], int]:
    """Check log-probabilities or logits. Also return the unreduced loss's shape, (N,) or (), and the batch's axis."""
    frames = floating(name, frames)
    if frames.ndim not in (2, 3):
        form = "(T, N, C)" if time_major else "(N, T, C)"
        raise ValueError(f"`{name}` has shape {frames.shape}, but must be {form}, or (T, C) for one sequence.")
    classes = frames.shape[has_axis(name, frames)]
    if not 0 <= blank < classes:
        raise ValueError(f"`blank` is {blank}, but must be a class number from 0 to {classes - 1}.")
    axis = 1 if time_major and frames.ndim == 3 else 0
    return frames, () if frames.ndim == 2 else (frames.shape[axis],), axis


def flat_mask(where: Mask | None, shape: tuple[int, ...]) -> Bool[Array, "sequences"] | None:
    """The mask of the sequences along one axis."""
    keep = mask(where, shape)
    return None if keep is None else jnp.broadcast_to(keep, shape).reshape(-1)


def length_mask(lengths: Int[Array, "sequences"], size: int) -> Bool[Array, "sequences size"]:
    """True at the first `length` places of each sequence."""
    return jnp.arange(size, dtype=lengths.dtype)[None] < lengths[:, None]


def step_mask(
    valid: Bool[ArrayLike, "..."] | None, where: Mask | None, shape: tuple[int, ...]
) -> Bool[Array, "..."] | None:
    """True for the steps that take part, the last axis, of the series that do. None stands for all."""
    series, steps = mask(where, shape[:-1]), mask(valid, shape, "valid")
    if series is None:
        return steps
    return series[..., None] if steps is None else series[..., None] & steps


def checked_lengths(name: str, lengths: Lengths, shape: tuple[int, ...]) -> Int[Array, "sequences"]:
    """Check one length per sequence, and return them with a batch axis."""
    array = jnp.asarray(lengths, None if np.size(lengths) else int)  # JAX makes an empty list floating
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"`{name}` has dtype {array.dtype}, but lengths are integers: use `astype(int)`.")
    if array.shape != shape and not (shape == () and array.shape == (1,)):
        wanted = f"one length for each of {math.prod(shape)} sequences" if shape else "one length, for one sequence"
        if len(shape) > 1:
            wanted += f", in the shape {shape}"
        raise ValueError(f"`{name}` has shape {array.shape}, but must be {wanted}.")
    return signed(array).reshape(-1)


def _padded_targets(targets: Integer[Array, "..."], shape: tuple[int, ...]) -> Int[Array, "sequences labels"]:
    """Check the labels of a batch, or of one sequence, and return them with a batch axis."""
    targets = signed(targets)
    if targets.ndim == 1 and not shape:
        return targets[None]
    if targets.ndim == 2 and targets.shape[:1] == shape:
        return targets
    wanted = f"({shape[0]}, S), or one axis with all labels one after another" if shape else "(S,), for one sequence"
    raise ValueError(f"`targets` has shape {targets.shape}, but must be {wanted}.")


def without_concatenation(
    targets: Integer[ArrayLike, "..."], lengths: Lengths, log_probs: Float[ArrayLike, "..."]
) -> Integer[Array, "..."]:
    """Split concatenated labels of a batch by their lengths, and return other labels as they are.

    The longest length is a shape. The lengths must therefore be known outside the program that computes the loss.
    """
    targets = class_numbers(cast(Integer[ArrayLike, "..."], untruncated(targets, names=True)))
    if targets.ndim != 1 or np.ndim(log_probs) != 3:
        return targets
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
    # The places after a sequence's end hold labels of the next sequence, which the lengths exclude.
    return targets[np.minimum(places, max(total - 1, 0))] if total else jnp.zeros(places.shape, targets.dtype)


def reduce_by_labels(
    losses: Float[Array, "sequences"],
    batch: Batch,
    shape: tuple[int, ...],
    zero_infinity: bool,
    reduction: Reduction,
    where: Mask | None,
    sample_weight: Weight | None,
    *,
    dtype: DTypeLike,
) -> Float[Array, "..."]:
    """Reduce one loss per sequence, as `CTCLoss` does: the mean divides each by the number of its labels first.

    `zero_infinity` makes the losses of sequences without a path 0.
    """
    check_reduction(reduction)
    if zero_infinity:
        losses = jnp.where(is_infinite(losses), 0.0, losses)
    if reduction == "mean":
        losses = losses / jnp.maximum(batch.target_lengths, 1).astype(losses.dtype)
    return reduce(losses.reshape(shape), reduction, where, sample_weight, dtype=dtype)
