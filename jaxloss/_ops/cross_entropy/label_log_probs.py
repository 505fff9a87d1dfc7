"""The log-probabilities of one label of each row, or of several, from the rows that cross-entropy is made of."""

import jax.numpy as jnp
from jax import lax

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.elementwise import is_infinite
from jaxloss._core.types import AnyArray, Values
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.problem import Options


def label_log_probs(logits: Values, label: Labels, axis: ClassAxis) -> Values:
    """The log-probability of each row's label, 0 where masked, with a class axis of size 1."""
    return 0.0 - row_losses(logits, label, Options(), axis).losses  # a minus sign would make masked rows -0.0


def several_log_probs(logits: Values, label: Labels, axis: ClassAxis, picked: Values | None = None) -> Values:
    """The log-probabilities of K classes of each row, 0 where masked.

    The class axis of the logits is the last. The arrays of `label` have the axes of the rows, then K and 1.

    The softmax is computed once, for the likeliest class of the K. The log-probability of another is that of the
    likeliest plus the difference of their logits. Both are not positive, so that no digits cancel. `picked` are the
    logits of the K classes, where the caller has them.
    """
    if picked is None:
        picked = label.pick(logits[..., None, :], ClassAxis(logits.ndim, axis.mesh))[..., 0]
    picked = picked.astype(accumulator(logits.dtype))
    numbers, usable = label.numbers[..., 0], label.in_range[..., 0]
    if label.keep is not None:
        usable = usable & label.keep[..., 0]
    most = limits(picked.dtype).max
    # An unusable class is chosen only if there is no usable one, even if those all have a logit of -inf.
    rank = jnp.where(usable, jnp.maximum(lax.stop_gradient(picked), -most / 2), -most)
    best = jnp.argmax(rank, -1, keepdims=True)
    likeliest = lax.broadcasted_iota(best.dtype, (1,) * (rank.ndim - 1) + rank.shape[-1:], rank.ndim - 1) == best

    def at_likeliest(values: AnyArray) -> AnyArray:
        # A gather would need its sharding on a mesh with explicit axes.
        return jnp.sum(jnp.where(likeliest, values, jnp.zeros((), values.dtype)), -1, keepdims=True)

    top = at_likeliest(picked)
    keep, in_range = None, jnp.any(usable, -1, keepdims=True)
    if label.keep is not None:
        keep = jnp.any(label.keep, -2)
        in_range = in_range | ~keep  # a masked row must make nothing NaN
    chosen = Labels(at_likeliest(numbers).astype(numbers.dtype), in_range, keep)
    # If the likeliest has a logit of -inf, the log-probabilities of all K are -inf without the difference.
    ruled_out = is_infinite(top)
    difference = jnp.where(ruled_out, 0.0, picked) - jnp.where(ruled_out, 0.0, top)
    return label.zero_masked((label_log_probs(logits, chosen, axis) + difference)[..., None])[..., 0]
