"""Hinge losses of support vector machines. They belong to the family of margin.py."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxloss._core.arguments import Number, filled, floating, has_axis, paired
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import labels
from jaxloss._core.domains import SIGN, within
from jaxloss._core.dtypes import accumulator, limits
from jaxloss._core.elementwise import hinge
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight


@program(margin=Number())
def hinge_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    margin: Scalar = 1.0,
    p: int = 1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Hinge loss: a score should have the sign of its label, and at least the size of the margin.

    $$ \ell = \max(0, m - y\,x)^p $$

    Args:
        predictions: Scores $x$, any shape.
        targets: Labels $y$, 1 or -1, in the same shape. For labels 0 and 1 use `2 * targets - 1`.
        margin: The margin $m$, in the units of the scores. With the margin 0 it is the loss of the perceptron.
        p: The exponent, 1 or 2. The exponent 2 is the squared hinge loss.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A label other than 1 and -1 makes its loss and gradient NaN. At
        exactly the margin, the gradient is 0.

    Raises:
        ValueError: The shapes differ, or `p` is not 1 or 2.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.hinge_loss(jnp.array([0.5, 2.0]), jnp.array([1, -1])))
        1.75

    Source: Cortes and Vapnik, "Support-Vector Networks", 1995.
    """
    _check_exponent(p)
    # Masked elements are filled with 1, a label in the domain.
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    short = hinge(jnp.asarray(margin, predictions.dtype) - targets * predictions)
    losses = nan_unless(within(SIGN, targets=targets), short if p == 1 else jnp.square(short))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class HingeLoss(Loss, fn=hinge_loss):
    """Option object of [`hinge_loss`][jaxloss.hinge_loss]."""

    margin: Scalar = 1.0
    p: int = static(1)
    reduction: Reduction = static("mean")


@program(integers=("targets",), margin=Number())
def multiclass_hinge_loss(
    predictions: Float[ArrayLike, "..."],
    targets: Integer[ArrayLike, "..."],
    *,
    margin: Scalar = 1.0,
    p: int = 1,
    ignore_index: int = -100,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Multi-class hinge loss of Crammer and Singer: the true class should lead its best rival by the margin.

    $$ \ell = \max\left( 0,\ m - x_y + \max_{c \ne y} x_c \right)^p $$

    [`multi_margin_loss`][jaxloss.multi_margin_loss] is the mean over all classes instead.

    Args:
        predictions: Scores $x$, shape (N..., C), with the classes on `axis`.
        targets: Class numbers $y$ (indices from 0), shape (N...).
        margin: The margin $m$, in the units of the scores. With the margin 0 it is the loss of the perceptron.
        p: The exponent, 1 or 2.
        ignore_index: Examples with this class number are masked, in addition to those that `where` masks.
        axis: The class axis of `predictions`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). With one class the loss is 0. A label out of range makes its loss and
        gradient NaN. At exactly the margin, the gradient is 0. Rivals with the same score share the gradient.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or `p` is not 1 or 2.
        TypeError: The predictions are not real and floating, or the targets are not integers.

    Examples:
        >>> scores = jnp.array([[0.5, 2.0, 0.25], [1.0, 0.0, 0.75]])
        >>> print(jaxloss.multiclass_hinge_loss(scores, jnp.array([1, 0])))
        0.375

    Source: Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines", 2001.
    """
    _check_exponent(p)
    predictions = floating("predictions", predictions)
    dtype = predictions.dtype
    classes = ClassAxis(has_axis("predictions", predictions, axis))
    label = labels(targets, predictions, classes, where, name="predictions", ignore_index=ignore_index)
    predictions = filled(predictions, label.keep, 0.0)
    label_score = label.pick(predictions, classes).astype(accumulator(dtype))
    # The scores are subtracted first, so that a common offset of theirs costs the margin no digits.
    lead = predictions.astype(accumulator(dtype)) - label_score
    at_label = label.one_hot(predictions, classes) & label.in_range
    rival = _largest(jnp.where(at_label, -limits(lead.dtype).max, lead), ~label.in_range, classes.number)
    short = hinge(jnp.asarray(margin, lead.dtype) + rival)
    losses = short if p == 1 else jnp.square(short)
    keep = None if label.keep is None else jnp.squeeze(label.keep, classes.number)
    return reduce(losses, reduction, keep, sample_weight, dtype=dtype)


class MulticlassHingeLoss(Loss, fn=multiclass_hinge_loss):
    """Option object of [`multiclass_hinge_loss`][jaxloss.multiclass_hinge_loss]."""

    margin: Scalar = 1.0
    p: int = static(1)
    ignore_index: int = static(-100)
    axis: int = static(-1)
    reduction: Reduction = static("mean")


def _largest(values: Values, bad: Bool[Array, "..."], axis: int) -> Values:
    """The largest value along an axis. Where several are the largest, they share the gradient.

    JAX's derivative multiplies by 0 where a value is not the largest. That is NaN for the infinite slope of a square
    that overflows. A select has no product. The gradient of examples that are `bad` reaches all their values.
    """
    largest = lax.stop_gradient(jnp.max(values, axis, keepdims=True))
    chosen = (values == largest) | bad
    excess = jnp.sum(jnp.where(chosen, values - largest, 0.0), axis)  # 0, with the derivative 1
    return jnp.squeeze(largest, axis) + excess / jnp.sum(chosen, axis, dtype=values.dtype)


def _check_exponent(p: int) -> None:
    if p not in (1, 2):
        raise ValueError(f"`p` is {p!r}, but must be 1 or 2.")
