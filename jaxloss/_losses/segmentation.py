"""Losses of segmentation: the regions of an image, one for each class, against the true ones."""

from typing import Literal, TypeAlias, get_args

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Real, Shaped

from jaxloss._core.arguments import Number, one_of
from jaxloss._core.elementwise import ratio
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.segmentation_lovasz import (
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    lovasz_hinge_loss,
    lovasz_softmax_loss,
)
from jaxloss._losses.segmentation_tversky import (
    FocalTverskyLoss,
    TverskyLoss,
    focal_tversky_loss,
    tversky_loss,
)
from jaxloss._ops.regions.overlap import (
    Absent,
    Activation,
    Overlap,
    OverlapKind,
    Pixels,
    foreground,
    missed_share,
    overlap_sums,
    pixels,
    reduce_regions,
)

__all__ = [
    "DiceLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "JaccardLoss",
    "LovaszHingeLoss",
    "LovaszSoftmaxLoss",
    "TverskyLoss",
    "dice_loss",
    "focal_tversky_loss",
    "generalized_dice_loss",
    "jaccard_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "tversky_loss",
]

ClassWeighting: TypeAlias = Literal["square", "simple", "uniform"]
SMOOTHING = Number(at_least=0)


@program("weight", integers=("targets",), smooth_nr=SMOOTHING, smooth_dr=SMOOTHING)
def dice_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    activation: Activation | None = "softmax",
    overlap: OverlapKind = "product",
    squared: bool = False,
    smooth_nr: Scalar = 1e-5,
    smooth_dr: Scalar = 1e-5,
    weight: Real[ArrayLike, "classes"] | None = None,
    include_background: bool = True,
    absent: Absent = "keep",
    ignore_index: int = -100,
    pixel_axes: tuple[int, ...] | None = None,
    axis: int | None = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Dice loss: one minus the overlap of a region with the truth, relative to the mean of their sizes.

    $$ \ell = 1 - \frac{2 \sum p t + s_n}{\sum p + \sum t + s_d} $$

    A region is one class of one image, and the sums are over its pixels. With `overlap="product"` the loss of soft
    targets is not 0 at $p = t$.

    Args:
        logits: Logits $x$, shape (N, ..., C), with axes of pixels between. With `axis=None` there is one class without
            an axis. With `activation=None` they are probabilities.
        targets: The class number of each pixel, shape (N, ...), integers; or a mask for each class in the shape of
            `logits`, booleans or numbers in [0, 1].
        valid: True for the pixels that take part, shape (N, ...).
        activation: `"softmax"`, `"sigmoid"` for classes that may overlap, or None if `logits` are probabilities.
        overlap: The common part of $p$ and $t$ at a pixel: `"product"`, or `"minimum"`, which is 0 loss at $p = t$ for
            soft targets too.
        squared: Whether the sizes of both regions are sums of squares.
        smooth_nr: $s_n$, at least 0, added to the numerator.
        smooth_dr: $s_d$, at least 0, added to the denominator. A region with neither true nor predicted pixels has the
            loss 0 where both are equal. Their default makes the gradient there almost 0 until $p$ is small.
        weight: A factor for each class, shape (C,). It does not change the denominator of the mean.
        include_background: False leaves class 0 out.
        absent: The regions without a true pixel: `"keep"`, `"skip"` leaves them out of the mean, `"zero"` sets their
            loss to 0.
        ignore_index: Pixels with this class number do not take part.
        pixel_axes: The axes of pixels, numbered without the class axis. None is all but the first. Name the first one
            too to pool the batch.
        axis: The class axis of `logits`, or None.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the regions that take part, shape (N, C). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each region, shape (N, C). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss for each region, shape (N, C). A region without a valid pixel does not count. A label out
        of range makes all losses of its image NaN.

    Raises:
        ValueError: Shapes do not match, or an option is unknown or out of range.
        TypeError: The logits are not real and floating, or `valid` is not boolean.

    Examples:
        >>> logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]))  # one image with two pixels
        >>> print(f"{jaxloss.dice_loss(logits, jnp.array([[0, 1]])):.4f}")
        0.3810

    Source: Milletari et al., "V-Net", 2016, with `squared`; Sudre et al., "Generalised Dice Overlap", 2017.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=activation, ignore_index=ignore_index, pixel_axes=pixel_axes, axis=axis,
    )  # fmt: skip
    sums = overlap_sums(of, overlap, squared=squared)
    losses = missed_share(sums, 0.5, 0.5, 0.5 * smooth_nr, 0.5 * smooth_dr)
    return reduce_regions(
        losses, of, reduction, where, sample_weight, weight=weight, include_background=include_background, absent=absent
    )


class DiceLoss(Loss, fn=dice_loss):
    """Option object of [`dice_loss`][jaxloss.dice_loss]."""

    activation: Activation | None = static("softmax")
    overlap: OverlapKind = static("product")
    squared: bool = static(False)
    smooth_nr: Scalar = 1e-5
    smooth_dr: Scalar = 1e-5
    weight: Real[ArrayLike, "classes"] | None = None
    include_background: bool = static(True)
    absent: Absent = static("keep")
    ignore_index: int = static(-100)
    pixel_axes: tuple[int, ...] | None = static(None)
    axis: int | None = static(-1)
    reduction: Reduction = static("mean")


@program("weight", integers=("targets",), smooth_nr=SMOOTHING, smooth_dr=SMOOTHING)
def jaccard_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    activation: Activation | None = "softmax",
    overlap: OverlapKind = "product",
    squared: bool = False,
    smooth_nr: Scalar = 1e-5,
    smooth_dr: Scalar = 1e-5,
    weight: Real[ArrayLike, "classes"] | None = None,
    include_background: bool = True,
    absent: Absent = "keep",
    ignore_index: int = -100,
    pixel_axes: tuple[int, ...] | None = None,
    axis: int | None = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Jaccard loss: one minus the intersection over union of a region and the truth.

    $$ \ell = 1 - \frac{2 \sum p t + s_n}{2 \left( \sum p + \sum t - \sum p t \right) + s_d} $$

    A region is one class of one image, and the sums are over its pixels. The loss of boxes is
    [`box_iou_loss`][jaxloss.box_iou_loss].

    Args:
        logits: Logits $x$, shape (N, ..., C), with axes of pixels between. With `axis=None` there is one class without
            an axis. With `activation=None` they are probabilities.
        targets: The class number of each pixel, shape (N, ...), integers; or a mask for each class in the shape of
            `logits`, booleans or numbers in [0, 1].
        valid: True for the pixels that take part, shape (N, ...).
        activation: `"softmax"`, `"sigmoid"` for classes that may overlap, or None if `logits` are probabilities.
        overlap: The common part of $p$ and $t$ at a pixel: `"product"`, or `"minimum"`, which is 0 loss at $p = t$ for
            soft targets too.
        squared: Whether the sizes of both regions are sums of squares.
        smooth_nr: $s_n$, at least 0, added to the numerator.
        smooth_dr: $s_d$, at least 0, added to the denominator. A region with neither true nor predicted pixels has the
            loss 0 where both are equal. Their default makes the gradient there almost 0 until $p$ is small.
        weight: A factor for each class, shape (C,). It does not change the denominator of the mean.
        include_background: False leaves class 0 out.
        absent: The regions without a true pixel: `"keep"`, `"skip"` leaves them out of the mean, `"zero"` sets their
            loss to 0.
        ignore_index: Pixels with this class number do not take part.
        pixel_axes: The axes of pixels, numbered without the class axis. None is all but the first. Name the first one
            too to pool the batch.
        axis: The class axis of `logits`, or None.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the regions that take part, shape (N, C). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each region, shape (N, C). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss for each region, shape (N, C). A region without a valid pixel does not count. A label out
        of range makes all losses of its image NaN.

    Raises:
        ValueError: Shapes do not match, or an option is unknown or out of range.
        TypeError: The logits are not real and floating, or `valid` is not boolean.

    Examples:
        >>> logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]))  # one image with two pixels
        >>> print(f"{jaxloss.jaccard_loss(logits, jnp.array([[0, 1]])):.4f}")
        0.5500

    Source: Rahman & Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks", 2016.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=activation, ignore_index=ignore_index, pixel_axes=pixel_axes, axis=axis,
    )  # fmt: skip
    sums = overlap_sums(of, overlap, squared=squared)
    losses = missed_share(sums, 1.0, 1.0, 0.5 * smooth_nr, 0.5 * smooth_dr)
    return reduce_regions(
        losses, of, reduction, where, sample_weight, weight=weight, include_background=include_background, absent=absent
    )


class JaccardLoss(Loss, fn=jaccard_loss):
    """Option object of [`jaccard_loss`][jaxloss.jaccard_loss]."""

    activation: Activation | None = static("softmax")
    overlap: OverlapKind = static("product")
    squared: bool = static(False)
    smooth_nr: Scalar = 1e-5
    smooth_dr: Scalar = 1e-5
    weight: Real[ArrayLike, "classes"] | None = None
    include_background: bool = static(True)
    absent: Absent = static("keep")
    ignore_index: int = static(-100)
    pixel_axes: tuple[int, ...] | None = static(None)
    axis: int | None = static(-1)
    reduction: Reduction = static("mean")


@program(integers=("targets",), smooth_nr=SMOOTHING, smooth_dr=SMOOTHING)
def generalized_dice_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    activation: Activation | None = "softmax",
    overlap: OverlapKind = "product",
    class_weighting: ClassWeighting = "square",
    smooth_nr: Scalar = 1e-5,
    smooth_dr: Scalar = 1e-5,
    include_background: bool = True,
    ignore_index: int = -100,
    pixel_axes: tuple[int, ...] | None = None,
    axis: int | None = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Generalized Dice loss: one Dice loss of all classes of an image, in which small regions weigh more.

    $$ \ell = 1 - \frac{2 \sum_c w_c \sum p_c t_c + s_n}{\sum_c w_c \left( \sum p_c + \sum t_c \right) + s_d},
       \qquad w_c = \Bigl( \sum t_c \Bigr)^{-2} $$

    The weights are constants to the gradient. A class without a true pixel has the largest weight of the other classes
    of its image.

    Args:
        logits: Logits $x$, shape (N, ..., C), with axes of pixels between. With `axis=None` there is one class without
            an axis. With `activation=None` they are probabilities.
        targets: The class number of each pixel, shape (N, ...), integers; or a mask for each class in the shape of
            `logits`, booleans or numbers in [0, 1].
        valid: True for the pixels that take part, shape (N, ...).
        activation: `"softmax"`, `"sigmoid"` for classes that may overlap, or None if `logits` are probabilities.
        overlap: The common part of $p$ and $t$ at a pixel: `"product"`, or `"minimum"`, which is 0 loss at $p = t$ for
            soft targets too.
        class_weighting: The weight $w_c$ of a region with $T$ true pixels: `"square"` is $1/T^2$, `"simple"` $1/T$ and
            `"uniform"` 1.
        smooth_nr: $s_n$, at least 0, added to the numerator.
        smooth_dr: $s_d$, at least 0, added to the denominator. An image with neither true nor predicted pixels has the
            loss 0 where both are equal. Their default makes the gradient there almost 0 until $p$ is small.
        include_background: False leaves class 0 out.
        ignore_index: Pixels with this class number do not take part.
        pixel_axes: The axes of pixels, numbered without the class axis. None is all but the first. Name the first one
            too to pool the batch.
        axis: The class axis of `logits`, or None.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the images that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each image, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss for each image, shape (N,). An image without a valid pixel does not count. A label out
        of range makes the loss of its image NaN.

    Raises:
        ValueError: Shapes do not match, or an option is unknown or out of range.
        TypeError: The logits are not real and floating, or `valid` is not boolean.

    Examples:
        >>> logits = jnp.log(jnp.array([[[0.75, 0.25], [0.5, 0.5]]]))  # one image with two pixels
        >>> print(f"{jaxloss.generalized_dice_loss(logits, jnp.array([[0, 1]])):.4f}")
        0.3750

    Source: Sudre et al., "Generalised Dice Overlap as a Deep Learning Loss Function", 2017.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=activation, ignore_index=ignore_index, pixel_axes=pixel_axes, axis=axis, per_image=True,
    )  # fmt: skip
    weights = _class_weights(of, class_weighting, include_background)
    sums = Overlap(*(jnp.sum(weights * each, -1, keepdims=True) for each in overlap_sums(of, overlap)))
    losses = missed_share(sums, 0.5, 0.5, 0.5 * smooth_nr, 0.5 * smooth_dr)
    return reduce_regions(losses, of, reduction, where, sample_weight)


class GeneralizedDiceLoss(Loss, fn=generalized_dice_loss):
    """Option object of [`generalized_dice_loss`][jaxloss.generalized_dice_loss]."""

    activation: Activation | None = static("softmax")
    overlap: OverlapKind = static("product")
    class_weighting: ClassWeighting = static("square")
    smooth_nr: Scalar = 1e-5
    smooth_dr: Scalar = 1e-5
    include_background: bool = static(True)
    ignore_index: int = static(-100)
    pixel_axes: tuple[int, ...] | None = static(None)
    axis: int | None = static(-1)
    reduction: Reduction = static("mean")


def _class_weights(of: Pixels, class_weighting: ClassWeighting, include_background: bool) -> Values:
    """The weight of each region. A region without a true pixel has the largest weight of the others of its image."""
    one_of("class_weighting", class_weighting, get_args(ClassWeighting))
    size = lax.stop_gradient(of.true_size)
    if class_weighting == "uniform":
        weights = jnp.ones_like(size)
    else:
        weights = ratio(jnp.ones((), size.dtype), jnp.square(size) if class_weighting == "square" else size)
    chosen = True if include_background else foreground(of)
    weights = jnp.where(chosen, weights, 0.0)
    return jnp.where(chosen & (size == 0), jnp.max(weights, -1, keepdims=True), weights)
