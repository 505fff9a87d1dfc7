"""The cross-entropy of every example, from logits and a target, before it is reduced."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Shaped

from jaxloss._axis import ClassAxis
from jaxloss._checked import Domain, checking, expect
from jaxloss._checks import option, rounding, same_shape, some_probability
from jaxloss._labels import Labels, class_weight
from jaxloss._numerics import nan_unless, times
from jaxloss._reduce import accumulator, filled, mask
from jaxloss._softmax import again, apart, expected, log_total, surprise
from jaxloss._types import Like, Mask, Scalar

Values = Float[Array, "..."]


class Probabilities(NamedTuple):
    """Soft targets: the logits' shape, with zeros where an example is left out."""

    values: Values
    keep: Bool[Array, "..."] | None

    @classmethod
    def of(
        cls, targets: Values, logits: Like, axis: ClassAxis, where: Mask | None, ignore_index: int
    ) -> "Probabilities":
        number = axis.number
        same_shape(logits=logits, targets=targets)
        if ignore_index >= 0:
            raise ValueError(f"`ignore_index` is {ignore_index}, but probabilities name no class: use `where`.")
        keep = mask(where, logits.shape[:number] + logits.shape[number + 1 :])
        keep = None if keep is None else jnp.expand_dims(keep, number)
        if checking():
            expect(some_probability(targets.dtype), keep, targets=targets)
            total = axis.sum(targets.astype(accumulator(targets.dtype)))
            one = Domain("1", lambda x: jnp.abs(x - 1) <= rounding(targets.dtype))
            expect(one, keep, **{f"targets.sum({number}, keepdims=True)": total})
        return cls(filled(targets, keep, 0.0), keep)


class Options(NamedTuple):
    """What changes the loss of an example; None where an option is off, so that its term is left out of the program."""

    weight: Values | None = None
    """One weight a class, shaped to multiply the logits."""
    smoothing: Values | None = None
    z_loss: Values | None = None


def entropy_options(
    logits: Like, axis: ClassAxis, weight: Shaped[ArrayLike, "classes"] | None, label_smoothing: Scalar, z_loss: Scalar
) -> Options:
    """The options of cross-entropy, checked."""
    weight = None if weight is None else class_weight(weight, logits, axis.number)
    smoothing = (
        None if _off(label_smoothing) else option("label_smoothing", label_smoothing, logits, at_least=0, at_most=1)
    )
    return Options(weight, smoothing, None if _off(z_loss) else option("z_loss", z_loss, logits))


def _off(number: Scalar) -> bool:
    """Whether an option is known to be 0 when traced."""
    return isinstance(number, int | float) and number == 0


class Entropy(NamedTuple):
    """What is known of every example; all with a class axis of size 1."""

    losses: Values
    counted: Values | None
    """What an example weighs in the mean; None stands for 1."""
    largest: Values
    """The largest logit, without a derivative."""
    log_sum: Values
    """log(sum(exp(logits - largest)))."""
    own: Values | None
    """The label's logit less the largest."""


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


# In both, a loss is a sum of products of two numbers that cannot be negative: nothing cancels.


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
