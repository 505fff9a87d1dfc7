"""The log-probabilities of the blank and the labels in every frame, of log-probabilities or of logits."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.domains import expect, log_probabilities
from jaxloss._core.elementwise import is_infinite
from jaxloss._ops.cross_entropy.label_log_probs import label_log_probs
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
    """The picked entries of the log-softmax, without an array of it.

    The softmax of a frame is computed for the likeliest of its classes alone, to the last digit where that one
    dominates. The log-probability of another class is lower by the difference of the two logits, so that no digits
    cancel. The derivative of the first is the softmax minus a one-hot array, and it starts again from the logits.
    """
    picked = derivative.pick(logits, classes, batch_axis)
    best = jnp.argmax(lax.stop_gradient(picked), 2)
    at_best = lax.broadcasted_iota(best.dtype, (1, 1, picked.shape[2]), 2) == best[:, :, None]
    # A comparison and a sum, because the transpose of a gather would be a scatter.
    top = jnp.sum(jnp.where(at_best, picked, 0.0), 2, keepdims=True)
    number = jnp.sum(jnp.where(at_best, classes[None], 0), 2, dtype=classes.dtype)
    numbers = _rows(number.T, batch_axis)
    label = Labels(numbers, jnp.ones_like(numbers, bool), _rows(in_input, batch_axis))
    likeliest = label_log_probs(logits, label, ClassAxis(2))
    # If the likeliest has a logit of -inf, all are -inf without the difference.
    ruled_out = is_infinite(top)
    difference = jnp.where(ruled_out, 0.0, picked) - jnp.where(ruled_out, 0.0, top)
    return (likeliest if batch_axis else jnp.swapaxes(likeliest, 0, 1)) + difference


def _rows(values: Array, batch_axis: int) -> Array:
    """Values of sequences and frames in the order of the logits' axes, with a class axis of size 1."""
    return (values.T if batch_axis else values)[:, :, None]
