"""Losses that are zero once an answer is right by a margin."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Integer, Real, Shaped

from jaxloss._core.arguments import filled, floats, has_axis, mask, option, paired, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.class_axis import ClassAxis
from jaxloss._core.class_numbers import class_numbers, class_weight, labels, signed
from jaxloss._core.domains import SIGN, Domain, expect, within
from jaxloss._core.elementwise import clamp_min, hinge
from jaxloss._core.objects import Loss
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import Mask, Reduction, Scalar, Weight
from jaxloss._ops.label_lists import pairwise_hinge

__all__ = [
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
]


def multi_margin_loss(
    predictions: Float[ArrayLike, "*batch classes"],
    targets: Integer[ArrayLike, "..."],
    *,
    p: int = 1,
    margin: Scalar = 1.0,
    weight: Real[ArrayLike, "classes"] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""By how much the true class fails to outscore each other class by the margin.

    $$ \ell = \frac{w_y}{C} \sum_{c \ne y} \max(0, m - x_y + x_c)^p $$

    Args:
        predictions: $x$, (N..., C) or (C,), scores.
        targets: $y$, class numbers (N...); of one example () or (1,).
        p: 1 or 2.
        margin: $m$, in the units of the scores.
        weight: $w$, (C,), a weight for each class, by the example's true one. It does not enter the mean's denominator.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an example is kept, (N...): see [`reduce`][jaxloss.reduce].
        sample_weight: how much each example counts, (N...): see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). A label out of range makes its loss and gradient NaN. The gradient where a
        class is outscored by exactly the margin is 0.

    Raises:
        ValueError: shapes that do not match, an empty class axis, another `p`.
        TypeError: predictions that are not real and floating, targets that are not integers.

    Examples:
        >>> scores = jnp.array([[0.1, 0.2, 0.4, 0.8]])
        >>> print(f"{jaxloss.multi_margin_loss(scores, jnp.array([3])):.4f}")
        0.3250

    Source: `torch.nn.MultiMarginLoss`; Crammer and Singer, "On the Algorithmic Implementation of Multiclass
    Kernel-based Vector Machines", 2001.
    """
    (predictions,), dtype = floats(predictions=predictions)
    axis = ClassAxis(has_axis("predictions", predictions))
    margin = option("margin", margin, predictions)
    if p not in (1, 2):
        raise ValueError(f"`p` is {p!r}, but must be 1 or 2.")
    targets = class_numbers(targets)
    if predictions.ndim == 1 and targets.shape == (1,):
        targets = targets[0]
    label = labels(targets, predictions, axis, where, name="predictions")
    predictions = filled(predictions, label.keep, 0.0)
    short = hinge(margin + (predictions - label.pick(predictions, axis)))  # an offset of all scores takes no digits
    at_label = label.one_hot(predictions, axis) & label.in_range
    each = jnp.where(at_label, 0.0, short / predictions.shape[-1] * short ** (p - 1))
    losses = axis.sum(each)  # of parts of the mean: a sum of their squares overflows sooner
    if weight is not None:
        losses = losses * label.pick(class_weight(weight, predictions, axis.number), axis)
    return reduce(jnp.squeeze(losses, -1), reduction, where, sample_weight, dtype=dtype)


class MultiMarginLoss(Loss, fn=multi_margin_loss):
    """[`multi_margin_loss`][jaxloss.multi_margin_loss] and its options as one value."""

    p: int = static(1)
    margin: Scalar = 1.0
    weight: Real[ArrayLike, "classes"] | None = None
    reduction: Reduction = static("mean")


def multilabel_margin_loss(
    predictions: Float[ArrayLike, "*batch classes"],
    targets: Integer[ArrayLike, "*batch classes"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""By how much each true class fails to outscore each other class by 1, of examples with several true classes.

    $$ \ell = \frac1C \sum_{j \in Y} \sum_{c \notin Y} \max(0, 1 - x_j + x_c) $$

    Args:
        predictions: $x$, (N..., C), scores.
        targets: $Y$, (N..., C), the numbers of the true classes, ended by the first -1; what follows it is not
            looked at. A class named twice counts twice.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an example is kept, (N...): see [`reduce`][jaxloss.reduce].
        sample_weight: how much each example counts, (N...): see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses (N...). A label out of range makes its example's loss and gradient NaN. The gradient
        where a class is outscored by exactly 1 is 0. Time grows with the largest number of true classes of an example,
        memory does not.

    Raises:
        ValueError: shapes that differ, an empty class axis.
        TypeError: predictions that are not real and floating, targets that are not integers.

    Examples:
        >>> scores, classes = jnp.array([[0.1, 0.2, 0.4, 0.8]]), jnp.array([[3, 0, -1, 1]])
        >>> print(f"{jaxloss.multilabel_margin_loss(scores, classes):.4f}")
        0.8500

    Source: `torch.nn.MultiLabelMarginLoss`.
    """
    (predictions,), dtype = floats(predictions=predictions)
    has_axis("predictions", predictions)
    numbers = signed(class_numbers(targets))
    same_shape(predictions=predictions, targets=numbers)
    keep = mask(where, predictions.shape[:-1])
    predictions, numbers = filled(predictions, keep, 0.0), filled(numbers, keep, -1)
    listed = jnp.cumsum(numbers == -1, -1) == 0
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
    """[`multilabel_margin_loss`][jaxloss.multilabel_margin_loss] and its options as one value."""

    reduction: Reduction = static("mean")


def hinge_embedding_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    margin: Scalar = 1.0,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The distance of what is alike, and by how much that of what is not falls short of the margin.

    $$ \ell = \begin{cases} x & y = 1 \\ \max(0, m - x) & y = -1 \end{cases} $$

    Args:
        predictions: $x$, distances, any shape.
        targets: $y$, 1 for alike or -1, the same shape. Any other number adds both cases, as in PyTorch.
        margin: $m$, in the units of the distances.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient at a distance of exactly the margin is -1.

    Raises:
        ValueError: shapes that differ.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> print(jaxloss.hinge_embedding_loss(jnp.array([0.5, 0.25]), jnp.array([1, -1])))
        0.625

    Source: `torch.nn.HingeEmbeddingLoss`.
    """
    predictions, targets, dtype = paired(predictions, targets, where, fill=1.0)
    expect(SIGN, targets=targets)
    apart = clamp_min(option("margin", margin, predictions) - predictions)
    losses = jnp.where(targets == 1, predictions, jnp.where(targets == -1, apart, predictions + apart))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class HingeEmbeddingLoss(Loss, fn=hinge_embedding_loss):
    """[`hinge_embedding_loss`][jaxloss.hinge_embedding_loss] and its options as one value."""

    margin: Scalar = 1.0
    reduction: Reduction = static("mean")


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
    r"""By how much the score that should be higher fails to exceed the other by the margin.

    $$ \ell = \max(0, m - y\,(x_1 - x_2)) $$

    Args:
        predictions1: $x_1$, scores, any shape.
        predictions2: $x_2$, the scores to compare them with, the same shape.
        targets: $y$, 1 where the first should be higher and -1 where the second should, the same shape.
        margin: $m$, in the units of the scores.
        reduction: `"mean"`, `"sum"` or `"none"`: see [`reduce`][jaxloss.reduce].
        where: True where an element is kept: see [`reduce`][jaxloss.reduce].
        sample_weight: how much each element counts: see [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. At equality with the margin the gradient passes, as in PyTorch.

    Raises:
        ValueError: shapes that differ.
        TypeError: predictions that are not real and floating.

    Examples:
        >>> first, second = jnp.array([1.0, 2.0]), jnp.array([0.0, 3.0])
        >>> print(jaxloss.margin_ranking_loss(first, second, jnp.array([1, 1]), margin=0.5))
        0.75

    Source: `torch.nn.MarginRankingLoss`.
    """
    arrays, dtype = floats(predictions1=predictions1, predictions2=predictions2, targets=targets)
    same_shape(predictions1=arrays[0], predictions2=arrays[1], targets=arrays[2])
    keep = mask(where, arrays[0].shape)
    first, second, targets = (filled(array, keep, 1.0) for array in arrays)
    expect(SIGN, targets=targets)
    losses = clamp_min(option("margin", margin, first) - targets * (first - second))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MarginRankingLoss(Loss, fn=margin_ranking_loss):
    """[`margin_ranking_loss`][jaxloss.margin_ranking_loss] and its options as one value."""

    margin: Scalar = 0.0
    reduction: Reduction = static("mean")
