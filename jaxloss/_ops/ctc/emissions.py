"""The log-probabilities of the blank and the labels in every frame, of log-probabilities or of logits."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.domains import expect, log_probabilities
from jaxloss._ops.cross_entropy.label_log_probs import several_log_probs
from jaxloss._ops.ctc import derivative
from jaxloss._ops.ctc.problem import Classes, Emissions


def of_log_probs(
    log_probs: Float[Array, "..."], classes: Classes, in_input: Bool[Array, "sequences frames"], batch_axis: int
) -> Emissions:
    """The picked log-probabilities."""
    expect(log_probabilities(log_probs.dtype), _rows(in_input, batch_axis), log_probs=log_probs)
    return derivative.pick(log_probs, classes, batch_axis)


def of_logits(
    logits: Float[Array, "..."], classes: Classes, in_input: Bool[Array, "sequences frames"], batch_axis: int
) -> Emissions:
    """The picked entries of the log-softmax, without an array of it. Their derivative starts again from the logits."""
    rows_first = classes[None] if batch_axis else classes[:, None]
    keep = _rows(in_input, batch_axis)[..., None]
    label = Labels(rows_first[..., None], jnp.ones((1,) * 4, bool), keep)
    picked = derivative.pick(logits, classes, batch_axis)
    found = several_log_probs(logits, label, ClassAxis(2), _frames_first(picked, batch_axis))
    return _frames_first(found, batch_axis)


def _frames_first(values: Array, batch_axis: int) -> Array:
    """Between the order of the logits' axes and that of emissions, frames before sequences."""
    return values if batch_axis else jnp.swapaxes(values, 0, 1)


def _rows(values: Array, batch_axis: int) -> Array:
    """Values of sequences and frames in the order of the logits' axes, with a class axis of size 1."""
    return (values.T if batch_axis else values)[:, :, None]
