"""The log-probabilities of the blank and of the next label in each cell of a transducer's grid."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxloss._core.autodiff import custom_jvp
from jaxloss._core.dtypes import accumulator

Logits = Float[Array, "sequences frames cells classes"]
Cells = Float[Array, "sequences frames cells"]
Labels = Int[Array, "sequences cells"]
Keep = Bool[Array, "sequences frames cells"]


def blank_and_label(logits: Logits, labels: Labels, blank: int, keep: Keep, normalize: bool) -> tuple[Cells, Cells]:
    """The log-probabilities of the blank and of the label of each cell, 0 where a cell is not kept.

    `labels` are one for each column, and class numbers in range. With `normalize` the log-softmax is taken first.
    """
    # The logits are not filled, which would write an array of their size. The cells are, and so are the slopes.
    at_blank, at_label = _picked(logits, labels, keep, blank, normalize)
    return jnp.where(keep, at_blank, 0.0), jnp.where(keep, at_label, 0.0)


@custom_jvp(3, 4)
def _picked(logits: Logits, labels: Labels, keep: Keep, blank: int, normalize: bool) -> tuple[Cells, Cells]:
    # The classes are read twice, for the largest and for the sum, and no array of the logits' size is written.
    largest, log_sum = _log_sum(logits) if normalize else (jnp.zeros((), accumulator(logits.dtype)),) * 2
    index = jnp.broadcast_to(labels[:, None, :, None], (*logits.shape[:-1], 1))
    of_label = jnp.take_along_axis(logits, index, -1, mode="clip")[..., 0]
    at_blank, at_label = (picked.astype(log_sum.dtype) - largest - log_sum for picked in (logits[..., blank], of_label))
    return at_blank, at_label


@_picked.defjvp
def _picked_jvp(
    blank: int, normalize: bool, primals: tuple[Logits, Labels, Keep], tangents: tuple[Logits, object, object]
) -> tuple[tuple[Cells, Cells], tuple[Cells, Cells]]:
    (logits, labels, keep), tangent = primals, tangents[0]
    number = jnp.arange(logits.shape[-1], dtype=labels.dtype)[None, None, None]
    tangent = tangent.astype(accumulator(logits.dtype))
    if normalize:
        # The exponential of a NaN would reach the second derivative, also where its result is not taken.
        filled = jnp.where(keep[..., None], logits, 0.0)
        largest, log_sum = _log_sum(filled)
        share = jnp.exp(filled.astype(log_sum.dtype) - (largest + log_sum)[..., None])
    else:
        share = jnp.zeros((), tangent.dtype)
    # A product with the one-hot classes, and not a gather: its transpose is one elementwise program that writes the
    # gradient once. That of a gather scatters into an array of zeros of the logits' size.
    is_blank, is_label = (number == blank), (number == labels[:, None, :, None])
    slope = partial(jnp.sum, axis=-1)
    of_blank, of_label = (slope((one.astype(tangent.dtype) - share) * tangent) for one in (is_blank, is_label))
    return _picked(logits, labels, keep, blank, normalize), (of_blank, of_label)


def _log_sum(logits: Logits) -> tuple[Cells, Cells]:
    """The largest logit of each cell, and the logarithm of the sum of the exponentials, relative to it."""
    logits = logits.astype(accumulator(logits.dtype))
    largest = jax.lax.stop_gradient(jnp.max(logits, -1))
    return largest, jnp.log(jnp.sum(jnp.exp(logits - largest[..., None]), -1))
