"""Margin losses: they are zero where the right answer leads by a margin."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer, Real, Shaped

from jaxloss._core.arguments import Number, filled, floating, floats, has_axis, mask, paired, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import class_numbers, class_weight, labels, signed
from jaxloss._core.domains import SIGN, Domain, expect, within
from jaxloss._core.dtypes import accumulator
from jaxloss._core.elementwise import clamp_min, hinge, times
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._losses.margin_hinge import HingeLoss, MulticlassHingeLoss, hinge_loss, multiclass_hinge_loss
from jaxloss._ops.label_lists import pairwise_hinge

__all__ = [
    "HingeEmbeddingLoss",
    "HingeLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "MulticlassHingeLoss",
    "hinge_embedding_loss",
    "hinge_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multiclass_hinge_loss",
    "multilabel_margin_loss",
]


@program("weight", integers=("targets",), margin=Number())
def multi_margin_loss(
    predictions: Float[ArrayLike, "*batch classes"] | Float[ArrayLike, ""],
    targets: Integer[ArrayLike, "*batch"] | Integer[ArrayLike, "1"],
    *,
    p: int = 1,
    margin: Scalar = 1.0,
    weight: Real[ArrayLike, "classes"] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Multi-class hinge loss of scores against class numbers, averaged over the classes.

    $$ \ell = \frac{w_y}{C} \sum_{c \ne y} \max(0, m - x_y + x_c)^p $$

    Args:
        predictions: Scores $x$, shape (N..., C) or (C,). A single number is one example of one class.
        targets: Class numbers $y$ (indices from 0), shape (N...). One example has the shape () or (1,).
        p: The exponent, 1 or 2.
        margin: The margin $m$, in the units of the scores.
        weight: A weight $w$ for each class, shape (C,). An example has the weight of its true class. The weights do not
            enter the mean's denominator.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A label out of range makes its loss and gradient NaN. Where the true
        class leads another class by exactly the margin, the gradient is 0.

    Raises:
        ValueError: Shapes do not match, the class axis is empty, or `p` is not 1 or 2.
        TypeError: The predictions are not real and floating, or the targets are not integers.

    Examples:
        >>> scores = jnp.array([[0.1, 0.2, 0.4, 0.8]])
        >>> print(f"{jaxloss.multi_margin_loss(scores, jnp.array([3])):.4f}")
        0.3250

    Source: `torch.nn.MultiMarginLoss`; Crammer and Singer, "On the Algorithmic Implementation of Multiclass
    Kernel-based Vector Machines", 2001.
    """
    predictions = jnp.atleast_1d(floating("predictions", predictions))
    dtype = predictions.dtype
    axis = ClassAxis(has_axis("predictions", predictions))
    margin = jnp.asarray(margin, accumulator(dtype))
    if p not in (1, 2):
        raise ValueError(f"`p` is {p!r}, but must be 1 or 2.")
    targets = jnp.asarray(targets)
    if predictions.ndim == 1 and targets.shape == (1,):
        targets = targets[0]
    label = labels(targets, predictions, axis, where, name="predictions")
    predictions = filled(predictions, label.keep, 0.0)
    # The cast follows the gather. On a TPU a cast before it is stored for all classes.
    label_score = label.pick(predictions, axis).astype(accumulator(dtype))
    # The scores are subtracted first, so that a common offset of theirs costs the margin no digits.
    hinges = hinge(margin + (predictions.astype(accumulator(dtype)) - label_score))
    at_label = label.one_hot(predictions, axis) & label.in_range
    # The terms are divided by C before they are summed: a sum of squares would overflow where the mean does not.
    terms = jnp.where(at_label, 0.0, hinges / predictions.shape[-1] * hinges ** (p - 1))
    losses = axis.sum(terms)
    if weight is not None:
        losses = times(label.pick(class_weight(weight, predictions, axis.number), axis), losses)
    return reduce(jnp.squeeze(losses, -1), reduction, where, sample_weight, dtype=dtype)


class MultiMarginLoss(Loss, fn=multi_margin_loss):
    """Option object of [`multi_margin_loss`][jaxloss.multi_margin_loss]."""

    p: int = static(1)
    margin: Scalar = 1.0
    weight: Real[ArrayLike, "classes"] | None = None
    reduction: Reduction = static("mean")


@program(integers=("targets",))
def multilabel_margin_loss(
    predictions: Float[ArrayLike, "*batch classes"] | Float[ArrayLike, ""],
    targets: Integer[ArrayLike, "*batch classes"] | Integer[ArrayLike, ""],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Multi-label hinge loss: each true class should lead each other class by 1.

    $$ \ell = \frac1C \sum_{j \in Y} \sum_{c \notin Y} \max(0, 1 - x_j + x_c) $$

    Args:
        predictions: Scores $x$, shape (N..., C). A single number is one example of one class.
        targets: Lists $Y$ of the true classes' numbers, shape (N..., C). The first -1 ends a list, and later entries
            are ignored. A class that is listed twice counts twice.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the examples that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each example, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). A label out of range makes the loss and the gradient of its example
        NaN. Where a true class leads another class by exactly 1, the gradient is 0. The time grows with the largest
        number of true classes in an example, and the memory does not.

    Raises:
        ValueError: The shapes differ, or the class axis is empty.
        TypeError: The predictions are not real and floating, or the targets are not integers.

    Examples:
        >>> scores, classes = jnp.array([[0.1, 0.2, 0.4, 0.8]]), jnp.array([[3, 0, -1, 1]])
        >>> print(f"{jaxloss.multilabel_margin_loss(scores, classes):.4f}")
        0.8500

    Source: `torch.nn.MultiLabelMarginLoss`.
    """
    (predictions,), dtype = floats(predictions=predictions)
    predictions, numbers = jnp.atleast_1d(predictions, signed(class_numbers(targets)))
    has_axis("predictions", predictions)
    same_shape(predictions=predictions, targets=numbers)
    keep = mask(where, predictions.shape[:-1])
    predictions, numbers = filled(predictions, keep, 0.0), filled(numbers, keep, -1)
    listed = jnp.cumsum(numbers == -1, -1) == 0  # True before the first -1
    classes = predictions.shape[-1]
    domain = Domain(
        f"a class number from 0 to {classes - 1}, or -1 to end the list",
        lambda numbers: (numbers >= 0) & (numbers < classes) | ~listed,
    )
    valid = within(domain, targets=numbers)
    losses, _ = pairwise_hinge(predictions, numbers, listed)
    losses = nan_unless(jnp.all(valid, -1), losses)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MultiLabelMarginLoss(Loss, fn=multilabel_margin_loss):
    """Option object of [`multilabel_margin_loss`][jaxloss.multilabel_margin_loss]."""

    reduction: Reduction = static("mean")


@program(margin=Number())
def hinge_embedding_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    margin: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Hinge loss of distances: similar pairs should be close, dissimilar pairs at least the margin away.

    $$ \ell = \begin{cases} x & y = 1 \\ \max(0, m - x) & y = -1 \end{cases} $$

    Args:
        predictions: Distances $x$, any shape.
        targets: Labels $y$, 1 for similar pairs and -1 for dissimilar pairs, in the same shape. Any other number adds
            both cases, as in PyTorch, and [`checked`][jaxloss.checked] raises for it.
        margin: The margin $m$, in the units of the distances.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. At a distance of exactly the margin, the gradient is -1.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.hinge_embedding_loss(jnp.array([0.5, 0.25]), jnp.array([1, -1])))
        0.625

    Source: `torch.nn.HingeEmbeddingLoss`.
    """
    # Masked elements are filled with 1, a label in the domain that `checked` tests.
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    expect(SIGN, targets=targets)
    dissimilar = clamp_min(jnp.asarray(margin, predictions.dtype) - predictions)
    losses = jnp.where(targets == 1, predictions, jnp.where(targets == -1, dissimilar, predictions + dissimilar))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class HingeEmbeddingLoss(Loss, fn=hinge_embedding_loss):
    """Option object of [`hinge_embedding_loss`][jaxloss.hinge_embedding_loss]."""

    margin: Scalar = 1.0
    reduction: Reduction = static("mean")


@program(margin=Number())
def margin_ranking_loss(
    predictions1: Float[ArrayLike, "*shape"],
    predictions2: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    margin: Scalar = 0.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Pairwise ranking loss: one score should exceed the other by the margin.

    $$ \ell = \max(0, m - y\,(x_1 - x_2)) $$

    Args:
        predictions1: First scores $x_1$, any shape.
        predictions2: Second scores $x_2$, in the same shape.
        targets: Labels $y$, 1 where the first score should be higher and -1 where the second should, in the same shape.
            [`checked`][jaxloss.checked] raises for any other, such as 0.
        margin: The margin $m$, in the units of the scores.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. Where the scores differ by exactly the margin, the gradient is the
        one of a positive loss, as in PyTorch.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> first, second = jnp.array([1.0, 2.0]), jnp.array([0.0, 3.0])
        >>> print(jaxloss.margin_ranking_loss(first, second, jnp.array([1, 1]), margin=0.5))
        0.75

    Source: `torch.nn.MarginRankingLoss`.
    """
    arrays, dtype = floats(predictions1=predictions1, predictions2=predictions2, targets=targets)
    same_shape(predictions1=arrays[0], predictions2=arrays[1], targets=arrays[2])
    keep = mask(where, arrays[0].shape)
    # Masked elements are filled with 1, a label in the domain that `checked` tests.
    first, second, targets = (filled(array, keep, 1.0) for array in arrays)
    expect(SIGN, targets=targets)
    losses = clamp_min(jnp.asarray(margin, first.dtype) - targets * (first - second))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MarginRankingLoss(Loss, fn=margin_ranking_loss):
    """Option object of [`margin_ranking_loss`][jaxloss.margin_ranking_loss]."""

    margin: Scalar = 0.0
    reduction: Reduction = static("mean")
