"""The arguments of a cross-entropy, checked, and its result per example."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Shaped

from jaxloss._core.arguments import filled, mask, same_shape
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import class_weight
from jaxloss._core.domains import Domain, checking, expect, some_probability
from jaxloss._core.dtypes import accumulator, rounding
from jaxloss._core.types import Like, Mask, Scalar, Values


class Probabilities(NamedTuple):
    """Soft targets in the logits' shape, with zeros in masked examples."""

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
            # Only `checked` looks at the sums, which takes an extra pass over the targets.
            total = axis.sum(targets.astype(accumulator(targets.dtype)))
            one = Domain("1", lambda x: jnp.abs(x - 1) <= rounding(targets.dtype))
            expect(one, keep, **{f"targets.sum({number}, keepdims=True)": total})
        return cls(filled(targets, keep, 0.0), keep)


class Options(NamedTuple):
    """The options of an example's loss. None means off: the program then has no term for the option."""

    weight: Values | None = None
    """One weight a class, shaped to multiply the logits."""
    smoothing: Values | None = None
    z_loss: Values | None = None


def cross_entropy_options(
    logits: Like, axis: ClassAxis, weight: Shaped[ArrayLike, "classes"] | None, label_smoothing: Scalar, z_loss: Scalar
) -> Options:
    """The options of cross-entropy, checked."""
    weight = None if weight is None else class_weight(weight, logits, axis.number)
    smoothing = None if _off(label_smoothing) else jnp.asarray(label_smoothing, accumulator(logits.dtype))
    return Options(weight, smoothing, None if _off(z_loss) else jnp.asarray(z_loss, accumulator(logits.dtype)))


def _off(number: Scalar) -> bool:
    """Whether an option is known to be 0 while tracing."""
    return isinstance(number, int | float) and number == 0


class RowLosses(NamedTuple):
    """The loss of each example and the numbers it was made from. Each array has a class axis of size 1."""

    losses: Values
    mean_count: Values | None
    """What each example adds to the mean's denominator; None stands for 1."""
    largest: Values
    """The largest logit, without a derivative."""
    log_sum: Values
    """log(sum(exp(logits - largest)))."""
    label_logit: Values | None
    """The label's logit minus the largest; None for soft targets."""
