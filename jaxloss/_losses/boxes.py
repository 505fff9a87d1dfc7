"""Losses of axis-aligned boxes: a predicted box against the true one."""

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Shaped

from jaxloss._core.arguments import Number, floats, mask, one_of, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.elementwise import hinge, ratio
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

__all__ = [
    "BoxIoULoss",
    "CompleteBoxIoULoss",
    "DistanceBoxIoULoss",
    "GeneralizedBoxIoULoss",
    "box_iou_loss",
    "complete_box_iou_loss",
    "distance_box_iou_loss",
    "generalized_box_iou_loss",
]

BoxFormat: TypeAlias = Literal["xyxy", "xywh", "cxcywh"]
Boxes: TypeAlias = Float[ArrayLike, "*shape 4"]


@program(eps=Number(at_least=0))
def box_iou_loss(
    predictions: Boxes,
    targets: Shaped[ArrayLike, "*shape 4"],
    *,
    box_format: BoxFormat = "xyxy",
    eps: Scalar = 1e-7,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""One minus the intersection over union of two boxes.

    $$ \ell = 1 - \mathrm{IoU}, \qquad \mathrm{IoU} = \frac{I}{U + \epsilon} $$

    $I$ is the area of the intersection and $U$ that of the union. Boxes that do not overlap have a loss of 1 and no
    gradient. The other three losses of boxes have one there.

    Args:
        predictions: Predicted boxes, shape (..., 4).
        targets: True boxes, in the same shape, units and format.
        box_format: The four numbers of a box: `"xyxy"` are two corners, `"xywh"` the corner with the smallest
            coordinates, the width and the height, `"cxcywh"` the center, the width and the height. Widths that come
            from `exp` or a sigmoid can not be negative.
        eps: $\epsilon$, an area that is added to the denominator. At 0 every division by 0 gives 0. Boxes in units of
            the image have small areas: choose pixels, or 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of boxes that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss in [0, 1] for each pair of boxes. A box whose width or height is negative makes its loss
        and gradient NaN. For the losses of all pairs of two sets, map the loss twice with `jax.vmap`.

    Raises:
        ValueError: The shapes differ, the last axis is not 4, or the format is unknown.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> box = jnp.array([0.0, 0.0, 2.0, 2.0])
        >>> print(f"{jaxloss.box_iou_loss(box, box + jnp.array([1.0, 0.0, 1.0, 0.0])):.4f}")
        0.6667

    Source: Yu et al., UnitBox, 2016; the form 1 - IoU is that of Rezatofighi et al., 2019.
    """
    pair, dtype = _measured(predictions, targets, box_format, eps, where)
    return reduce(1 - _iou(pair), reduction, where, sample_weight, dtype=dtype)


class BoxIoULoss(Loss, fn=box_iou_loss):
    """Option object of [`box_iou_loss`][jaxloss.box_iou_loss]."""

    box_format: BoxFormat = static("xyxy")
    eps: Scalar = 1e-7
    reduction: Reduction = static("mean")


@program(eps=Number(at_least=0))
def generalized_box_iou_loss(
    predictions: Boxes,
    targets: Shaped[ArrayLike, "*shape 4"],
    *,
    box_format: BoxFormat = "xyxy",
    eps: Scalar = 1e-7,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Generalized IoU loss: it also counts the empty part of the smallest box that encloses both.

    $$ \ell = 1 - \mathrm{IoU} + \frac{C - U}{C + \epsilon} $$

    $C$ is the area of the enclosing box and $U$ that of the union. See [`box_iou_loss`][jaxloss.box_iou_loss].

    Args:
        predictions: Predicted boxes, shape (..., 4).
        targets: True boxes, in the same shape, units and format.
        box_format: `"xyxy"`, `"xywh"` or `"cxcywh"`. See [`box_iou_loss`][jaxloss.box_iou_loss].
        eps: $\epsilon$, an area that is added to the denominators. At 0 every division by 0 gives 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of boxes that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss in [0, 2] for each pair of boxes. A box whose width or height is negative makes its loss
        and gradient NaN.

    Raises:
        ValueError: The shapes differ, the last axis is not 4, or the format is unknown.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> box = jnp.array([0.0, 0.0, 1.0, 1.0])
        >>> print(jaxloss.generalized_box_iou_loss(box, box + 1, eps=0.0))
        1.5

    Source: Rezatofighi et al., Generalized Intersection over Union, 2019; `torchvision.ops.generalized_box_iou_loss`.
    """
    pair, dtype = _measured(predictions, targets, box_format, eps, where)
    enclosing = pair.enclosing[0] * pair.enclosing[1]
    losses = 1 - _iou(pair) + ratio(enclosing - pair.union, enclosing + pair.eps)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class GeneralizedBoxIoULoss(Loss, fn=generalized_box_iou_loss):
    """Option object of [`generalized_box_iou_loss`][jaxloss.generalized_box_iou_loss]."""

    box_format: BoxFormat = static("xyxy")
    eps: Scalar = 1e-7
    reduction: Reduction = static("mean")


@program(eps=Number(at_least=0))
def distance_box_iou_loss(
    predictions: Boxes,
    targets: Shaped[ArrayLike, "*shape 4"],
    *,
    box_format: BoxFormat = "xyxy",
    eps: Scalar = 1e-7,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Distance IoU loss: it also counts the distance between the centers.

    $$ \ell = 1 - \mathrm{IoU} + \frac{d^2}{c^2 + \epsilon} $$

    $d$ is the distance between the centers and $c$ the diagonal of the smallest box that encloses both.

    Args:
        predictions: Predicted boxes, shape (..., 4).
        targets: True boxes, in the same shape, units and format.
        box_format: `"xyxy"`, `"xywh"` or `"cxcywh"`. See [`box_iou_loss`][jaxloss.box_iou_loss].
        eps: $\epsilon$, an area that is added to the denominators. At 0 every division by 0 gives 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of boxes that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss in [0, 2] for each pair of boxes. A box whose width or height is negative makes its loss
        and gradient NaN.

    Raises:
        ValueError: The shapes differ, the last axis is not 4, or the format is unknown.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> box = jnp.array([0.0, 0.0, 1.0, 1.0])
        >>> print(jaxloss.distance_box_iou_loss(box, box + 1, eps=0.0))
        1.25

    Source: Zheng et al., Distance-IoU Loss, 2020; `torchvision.ops.distance_box_iou_loss`.
    """
    pair, dtype = _measured(predictions, targets, box_format, eps, where)
    return reduce(_distance_loss(pair), reduction, where, sample_weight, dtype=dtype)


class DistanceBoxIoULoss(Loss, fn=distance_box_iou_loss):
    """Option object of [`distance_box_iou_loss`][jaxloss.distance_box_iou_loss]."""

    box_format: BoxFormat = static("xyxy")
    eps: Scalar = 1e-7
    reduction: Reduction = static("mean")


@program(eps=Number(at_least=0))
def complete_box_iou_loss(
    predictions: Boxes,
    targets: Shaped[ArrayLike, "*shape 4"],
    *,
    box_format: BoxFormat = "xyxy",
    eps: Scalar = 1e-7,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Complete IoU loss: it also counts the distance between the centers and the difference of the aspect ratios.

    $$ \ell = 1 - \mathrm{IoU} + \frac{d^2}{c^2 + \epsilon} + \alpha v, \qquad
       v = \frac{4}{\pi^2} \Bigl( \arctan \frac{w_t}{h_t} - \arctan \frac{w}{h} \Bigr)^2, \qquad
       \alpha = \frac{v}{1 - \mathrm{IoU} + v + \epsilon} $$

    $d$ and $c$ are those of [`distance_box_iou_loss`][jaxloss.distance_box_iou_loss]. $w, h$ and $w_t, h_t$ are the
    widths and heights of the predicted and the true box. $\alpha$ is a constant to the gradient. The gradient of the
    last term grows as a box shrinks.

    Args:
        predictions: Predicted boxes, shape (..., 4).
        targets: True boxes, in the same shape, units and format.
        box_format: `"xyxy"`, `"xywh"` or `"cxcywh"`. See [`box_iou_loss`][jaxloss.box_iou_loss].
        eps: $\epsilon$, an area that is added to the denominators. At 0 every division by 0 gives 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the pairs of boxes that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each pair, shape (...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss for each pair of boxes. It is finite for boxes without a width or a height. A box whose
        width or height is negative makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ, the last axis is not 4, or the format is unknown.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> tall, wide = jnp.array([0.0, 0.0, 1.0, 2.0]), jnp.array([0.0, 0.0, 2.0, 1.0])
        >>> print(f"{jaxloss.complete_box_iou_loss(tall, wide):.4f}")
        0.7629

    Source: Zheng et al., Distance-IoU Loss, 2020; `torchvision.ops.complete_box_iou_loss`.
    """
    pair, dtype = _measured(predictions, targets, box_format, eps, where)
    angle = _angle(pair.target_size) - _angle(pair.size)
    aspect = 4 / math.pi**2 * jnp.square(angle)
    share = lax.stop_gradient(ratio(aspect, 1 - _iou(pair) + aspect + pair.eps))
    losses = _distance_loss(pair) + share * aspect
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class CompleteBoxIoULoss(Loss, fn=complete_box_iou_loss):
    """Option object of [`complete_box_iou_loss`][jaxloss.complete_box_iou_loss]."""

    box_format: BoxFormat = static("xyxy")
    eps: Scalar = 1e-7
    reduction: Reduction = static("mean")


Size: TypeAlias = tuple[Values, Values]
"""A width and a height for each box."""


class _Box(NamedTuple):
    """The four sides and the size. Each format gives some of them, and the size is never the rounded difference of
    sides if the format has the size itself.
    """

    low: Size
    high: Size
    size: Size


class _Pair(NamedTuple):
    """The measures of two boxes that the losses are made of."""

    intersection: Values
    union: Values
    enclosing: Size
    centers: Size
    """The difference of the centers."""
    size: Size
    target_size: Size
    eps: Values
    """The area that is added to the denominators."""


def _measured(
    predictions: Boxes,
    targets: Shaped[ArrayLike, "*shape 4"],
    box_format: BoxFormat,
    eps: Scalar,
    where: Mask | None,
) -> tuple[_Pair, jnp.dtype]:
    """Check and mask two arrays of boxes, and measure each pair. Also return the dtype of the unreduced loss."""
    one_of("box_format", box_format, get_args(BoxFormat))
    (first, second), dtype = floats(predictions=predictions, targets=targets)
    same_shape(predictions=first, targets=second)
    if first.ndim == 0 or first.shape[-1] != 4:
        raise ValueError(f"`predictions` has shape {first.shape}, but the last axis holds the 4 numbers of a box.")
    keep = mask(where, first.shape[:-1])
    a, b = _box("predictions", first, keep, box_format), _box("targets", second, keep, box_format)
    overlap = [hinge(jnp.minimum(a.high[i], b.high[i]) - jnp.maximum(a.low[i], b.low[i])) for i in (0, 1)]
    enclosing = [jnp.maximum(a.high[i], b.high[i]) - jnp.minimum(a.low[i], b.low[i]) for i in (0, 1)]
    # Half of each sum, because the sum of two coordinates may overflow.
    centers = [0.5 * (a.low[i] - b.low[i]) + 0.5 * (a.high[i] - b.high[i]) for i in (0, 1)]
    intersection = overlap[0] * overlap[1]
    union = a.size[0] * a.size[1] + b.size[0] * b.size[1] - intersection
    pair = _Pair(
        intersection, union, (enclosing[0], enclosing[1]), (centers[0], centers[1]), a.size, b.size,
        jnp.asarray(eps, union.dtype),
    )  # fmt: skip
    return pair, dtype


def _box(name: str, boxes: Values, keep: Bool[Array, "..."] | None, box_format: BoxFormat) -> _Box:
    """Fill the masked boxes, make those of a negative size NaN, and name the four numbers."""
    # In every format these four numbers are a box of area 1, so that no masked pair divides 0 by 0.
    if keep is not None:
        boxes = jnp.where(keep[..., None], boxes, jnp.array([0, 0, 1, 1], boxes.dtype))
    boxes = nan_unless(jnp.all(within(_sized(box_format), **{name: boxes}), -1, keepdims=True), boxes)
    first, second = (boxes[..., 0], boxes[..., 1]), (boxes[..., 2], boxes[..., 3])
    if box_format == "xyxy":
        return _Box(first, second, (second[0] - first[0], second[1] - first[1]))
    if box_format == "xywh":
        return _Box(first, (first[0] + second[0], first[1] + second[1]), second)
    half = 0.5 * second[0], 0.5 * second[1]
    return _Box((first[0] - half[0], first[1] - half[1]), (first[0] + half[0], first[1] + half[1]), second)


def _sized(box_format: BoxFormat) -> Domain:
    """The boxes whose width and height are at least 0. The number that breaks it is one of the last two."""

    def holds(boxes: Array) -> Array:
        first, second = boxes[..., :2], boxes[..., 2:]
        size = second - first if box_format == "xyxy" else second
        return jnp.concatenate([first == first, size >= 0], -1)

    return Domain(
        "no less than the coordinate of the first corner" if box_format == "xyxy" else "a width or height, at least 0",
        holds,
    )


def _iou(pair: _Pair) -> Values:
    return ratio(pair.intersection, pair.union + pair.eps)


def _distance_loss(pair: _Pair) -> Values:
    squared = jnp.square(pair.centers[0]) + jnp.square(pair.centers[1])
    diagonal = jnp.square(pair.enclosing[0]) + jnp.square(pair.enclosing[1])
    return 1 - _iou(pair) + ratio(squared, diagonal + pair.eps)


def _angle(size: Size) -> Values:
    """The arc tangent of width over height. A box that has neither has the angle 0 without a gradient."""
    width, height = size
    # The derivative divides by width**2 + height**2, which underflows for small boxes if they are not scaled.
    largest = lax.stop_gradient(jnp.maximum(width, height))
    empty = largest == 0
    scale = 1 / jnp.where(empty, 1.0, largest)
    return jnp.arctan2(width * scale, jnp.where(empty, 1.0, height * scale)) * jnp.where(empty, 0.0, 1.0)
