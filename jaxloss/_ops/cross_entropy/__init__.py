"""The cross-entropy of every example, from logits and a target, before it is reduced."""

import jax.numpy as jnp

from jaxloss._core.arguments import filled
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import Labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import times
from jaxloss._core.types import Values
from jaxloss._ops.cross_entropy.problem import Entropy, Options, Probabilities
from jaxloss._ops.cross_entropy.xla import again, apart, expected, log_total, surprise


def entropy(logits: Values, target: Labels | Probabilities, options: Options, axis: ClassAxis) -> Entropy:
    """From one look at the logits, in their own dtype. Examples left out have the loss 0.

    They are filled in what is computed per example: a filled copy of the logits would cost as much memory as their
    gradient. What is subtracted from all logits of an example does not change the result.
    """
    largest = axis.largest(logits).astype(accumulator(logits.dtype))
    if isinstance(target, Labels):
        found = _of_labels(logits, largest, target, options, axis)
    else:
        found = _of_probabilities(logits, largest, target, options, axis)
    if options.z_loss is None:
        return found
    normalizer = filled(largest, target.keep, 0.0) + found.log_sum
    return found._replace(losses=found.losses + options.z_loss * normalizer * normalizer)  # whose square may overflow


def _of_labels(logits: Values, largest: Values, label: Labels, options: Options, axis: ClassAxis) -> Entropy:
    weight, smoothing = options.weight, options.smoothing
    own = label.pick(again(logits)[0], axis).astype(largest.dtype) - largest
    losses, log_sum = map(label.kept, surprise(logits, largest, own, label, axis))
    count = None if weight is None else label.kept(label.pick(weight, axis))
    losses = losses if count is None else losses * count
    if smoothing is not None:
        if weight is None:
            x, top = apart(logits, largest)
            uniform = log_sum + label.kept(axis.mean(top - x.astype(top.dtype)))
        else:
            share = jnp.broadcast_to(weight / axis.classes(logits.shape[axis.number]), logits.shape)
            uniform = expected(share, logits, largest, log_sum, label.keep, axis)
        losses = times(1 - smoothing, losses) + times(smoothing, uniform)
    return Entropy(losses, count, largest, log_sum, own)


def _of_probabilities(
    logits: Values, largest: Values, target: Probabilities, options: Options, axis: ClassAxis
) -> Entropy:
    weight, smoothing = options.weight, options.smoothing
    log_sum = filled(log_total(logits, largest, target.keep, axis), target.keep, 0.0)
    (values,) = apart(target.values)
    mass = values.astype(largest.dtype)
    mass = mass if smoothing is None else (1 - smoothing) * mass + smoothing / axis.classes(logits.shape[axis.number])
    mass = mass if weight is None else mass * weight
    losses = expected(mass, logits, largest, log_sum, target.keep, axis)
    sound = axis.largest(-target.values) <= 0  # a reduction, which needs no array of answers; above 1 they are weights
    return Entropy(nan_unless(sound, losses), None, largest, log_sum, None)
