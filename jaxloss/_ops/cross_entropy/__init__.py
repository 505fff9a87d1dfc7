"""The cross-entropy of each example, from logits and a target, before the reduction."""

import jax.numpy as jnp

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import times
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.problem import Options, Probabilities, RowLosses
from jaxloss._ops.cross_entropy.xla import expected_nll, nll_and_log_sum, reread, shifted_log_sum, unshared


def row_losses(logits: Values, target: Labels | Probabilities, options: Options, axis: ClassAxis) -> RowLosses:
    """The loss of each example, from one read of the logits in their dtype. Masked examples have the loss 0.

    The mask fills per-example results only: a filled copy of the logits would cost as much memory as their gradient.
    """
    largest = axis.largest(logits).astype(accumulator(logits.dtype))
    if isinstance(target, Labels):
        rows = _label_losses(logits, largest, target, options, axis)
    else:
        rows = _probability_losses(logits, largest, target, options, axis)
    if options.z_loss is None:
        return rows
    log_normalizer = filled(largest, target.keep, 0.0) + rows.log_sum
    # The coefficient multiplies before the square is complete: the square of a large logarithm may overflow.
    return rows._replace(losses=rows.losses + options.z_loss * log_normalizer * log_normalizer)


def _label_losses(logits: Values, largest: Values, label: Labels, options: Options, axis: ClassAxis) -> RowLosses:
    weight, smoothing = options.weight, options.smoothing
    label_logit = label.pick(reread(logits)[0], axis).astype(largest.dtype) - largest
    losses, log_sum = map(label.zero_masked, nll_and_log_sum(logits, largest, label_logit, label, axis))
    count = None if weight is None else label.zero_masked(label.pick(weight, axis))
    losses = losses if count is None else losses * count
    if smoothing is not None:
        if weight is None:
            # The mean of -log(softmax) over the classes needs no exponential: it is log_sum plus the mean gap.
            x, top = unshared(logits, largest)
            uniform = log_sum + label.zero_masked(axis.mean(top - x.astype(top.dtype)))
        else:
            share = jnp.broadcast_to(weight / axis.class_count(logits.shape[axis.number]), logits.shape)
            uniform = expected_nll(share, logits, largest, log_sum, label.keep, axis)
        losses = times(1 - smoothing, losses) + times(smoothing, uniform)
    return RowLosses(losses, count, largest, log_sum, label_logit)


def _probability_losses(
    logits: Values, largest: Values, target: Probabilities, options: Options, axis: ClassAxis
) -> RowLosses:
    weight, smoothing = options.weight, options.smoothing
    log_sum = filled(shifted_log_sum(logits, largest, target.keep, axis), target.keep, 0.0)
    (values,) = unshared(target.values)
    mass = values.astype(largest.dtype)
    if smoothing is not None:
        mass = (1 - smoothing) * mass + smoothing / axis.class_count(logits.shape[axis.number])
    mass = mass if weight is None else mass * weight
    losses = expected_nll(mass, logits, largest, log_sum, target.keep, axis)
    # A reduction finds a negative probability without an array of booleans. Above 1 a probability is a valid weight.
    in_domain = axis.largest(-target.values) <= 0
    return RowLosses(nan_unless(in_domain, losses), None, largest, log_sum, None)
