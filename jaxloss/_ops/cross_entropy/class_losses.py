"""Losses that are a function of each class's negative log-probability. That of cross-entropy is the identity."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Real

from jaxloss._core.arguments import filled, floating, has_axis
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import labels
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import times
from jaxloss._core.types import ArrayLike, Mask, Scalar, Values
from jaxloss._ops.cross_entropy import row_losses
from jaxloss._ops.cross_entropy.formula import target_mass
from jaxloss._ops.cross_entropy.log_softmax import log_softmax
from jaxloss._ops.cross_entropy.problem import Options, Probabilities, SoftProblem, cross_entropy_options


class ClassLosses(NamedTuple):
    """One loss for each row. Each array has the class axis, of size 1."""

    losses: Values
    axis: int
    keep: Bool[Array, "..."] | None
    mean_count: Values | None
    """What each row adds to the mean's denominator; None stands for 1."""
    dtype: DTypeLike
    """The dtype of the unreduced losses."""


def class_losses(
    loss: Callable[[Values], Values],
    logits: Float[ArrayLike, "..."],
    targets: Real[ArrayLike, "..."],
    axis: int,
    where: Mask | None,
    *,
    weight: Real[ArrayLike, "classes"] | None = None,
    label_smoothing: Scalar = 0.0,
    ignore_index: int,
) -> ClassLosses:
    """The sum over the classes of weight * target * loss(-log(softmax)).

    `targets` are class numbers or probabilities, with the checks and the mask of `cross_entropy`. `loss` must be finite
    at 0, where it is called for masked rows.
    """
    logits, targets = floating("logits", logits), jnp.asarray(targets)
    classes, dtype = ClassAxis(has_axis("logits", logits, axis)), logits.dtype
    options = cross_entropy_options(logits, classes, weight, label_smoothing, 0.0)
    if jnp.issubdtype(targets.dtype, jnp.floating):
        soft = Probabilities.of(targets, logits, classes, where, ignore_index)
        dtype = jnp.result_type(logits, targets)
        losses = _weighted_sum(loss, logits, soft, options, classes)
        # Above 1 a target is a valid weight, and a negative one is none.
        losses = nan_unless(classes.largest(-soft.values) <= 0, losses)
        return ClassLosses(losses, classes.number, soft.keep, None, dtype)
    label = labels(targets, logits, classes, where, ignore_index=ignore_index)
    if options.smoothing is None:
        # The label's class alone has a target. Its log-probability needs no array of the logits' size.
        losses = loss(row_losses(logits, label, Options(), classes).losses)
    else:
        one_hot = label.matches(logits, classes).astype(accumulator(logits.dtype))
        soft = Probabilities(filled(one_hot, label.keep, 0.0), label.keep)
        losses = nan_unless(label.in_range, _weighted_sum(loss, logits, soft, options, classes))
    count = None
    if options.weight is not None:
        count = label.zero_masked(label.pick(options.weight, classes))
        losses = losses if options.smoothing is not None else times(count, losses)
    return ClassLosses(losses, classes.number, label.keep, count, dtype)


def _weighted_sum(
    loss: Callable[[Values], Values], logits: Values, soft: Probabilities, options: Options, axis: ClassAxis
) -> Values:
    problem = SoftProblem(logits, soft.values, options.smoothing, options.weight, soft.keep, axis)
    # All classes of a masked row are filled, because each of them enters the sum.
    nll = -log_softmax(filled(logits, soft.keep, 0.0), axis)
    return axis.sum(times(target_mass(problem), loss(nll)))
