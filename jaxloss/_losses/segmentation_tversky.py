"""Losses of segmentation by Tversky's index, in which the two kinds of errors have weights of their own."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Real, Shaped

from jaxloss._core.arguments import Number
from jaxloss._core.elementwise import power
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight
from jaxloss._ops.regions.overlap import (
    Absent,
    Activation,
    OverlapKind,
    missed_share,
    overlap_sums,
    pixels,
    reduce_regions,
)

FACTOR = Number(at_least=0)


@program("weight", integers=("targets",), alpha=FACTOR, beta=FACTOR, smooth_nr=FACTOR, smooth_dr=FACTOR)
def tversky_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    alpha: Scalar = 0.5,
    beta: Scalar = 0.5,
    activation: Activation | None = "softmax",
    overlap: OverlapKind = "product",
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
    r"""Tversky loss: a Dice loss that weighs false positives and false negatives apart.

    $$ \ell = 1 - \frac{TP + s_n}{TP + \alpha FP + \beta FN + s_d}, \qquad TP = \sum p t, \quad
       FP = \sum p (1 - t), \quad FN = \sum (1 - p) t $$

    A region is one class of one image, and the sums are over its pixels. With $\alpha = \beta = 1/2$ it is
    [`dice_loss`][jaxloss.dice_loss] with half of its smoothing.

    Args:
        logits: Logits $x$, shape (N, ..., C), with axes of pixels between. With `axis=None` there is one class without
            an axis. With `activation=None` they are probabilities.
        targets: The class number of each pixel, shape (N, ...), integers; or a mask for each class in the shape of
            `logits`, booleans or numbers in [0, 1].
        valid: True for the pixels that take part, shape (N, ...).
        alpha: $\alpha$, the weight of false positives, at least 0.
        beta: $\beta$, the weight of false negatives, at least 0. Some papers exchange the two names.
        activation: `"softmax"`, `"sigmoid"` for classes that may overlap, or None if `logits` are probabilities.
        overlap: The common part of $p$ and $t$ at a pixel: `"product"`, or `"minimum"`, which is 0 loss at $p = t$ for
            soft targets too.
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
        >>> print(f"{jaxloss.tversky_loss(logits, jnp.array([[0, 1]]), alpha=0.3, beta=0.7):.4f}")
        0.3809

    Source: Salehi et al., "Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional Deep Networks",
    2017.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=activation, ignore_index=ignore_index, pixel_axes=pixel_axes, axis=axis,
    )  # fmt: skip
    losses = missed_share(overlap_sums(of, overlap), alpha, beta, smooth_nr, smooth_dr)
    return reduce_regions(
        losses, of, reduction, where, sample_weight, weight=weight, include_background=include_background, absent=absent
    )


class TverskyLoss(Loss, fn=tversky_loss):
    """Option object of [`tversky_loss`][jaxloss.tversky_loss]."""

    alpha: Scalar = 0.5
    beta: Scalar = 0.5
    activation: Activation | None = static("softmax")
    overlap: OverlapKind = static("product")
    smooth_nr: Scalar = 1e-5
    smooth_dr: Scalar = 1e-5
    weight: Real[ArrayLike, "classes"] | None = None
    include_background: bool = static(True)
    absent: Absent = static("keep")
    ignore_index: int = static(-100)
    pixel_axes: tuple[int, ...] | None = static(None)
    axis: int | None = static(-1)
    reduction: Reduction = static("mean")


@program(
    "weight",
    integers=("targets",),
    alpha=FACTOR,
    beta=FACTOR,
    gamma=Number(above=0),
    smooth_nr=FACTOR,
    smooth_dr=FACTOR,
)
def focal_tversky_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    alpha: Scalar = 0.3,
    beta: Scalar = 0.7,
    gamma: Scalar = 0.75,
    activation: Activation | None = "softmax",
    overlap: OverlapKind = "product",
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
    r"""Focal Tversky loss: a power of the Tversky loss, by which regions that are hard count more or less.

    $$ \ell = \left( 1 - \frac{TP + s_n}{TP + \alpha FP + \beta FN + s_d} \right)^\gamma $$

    $TP$, $FP$ and $FN$ are those of [`tversky_loss`][jaxloss.tversky_loss]. The power is that of each region.

    Args:
        logits: Logits $x$, shape (N, ..., C), with axes of pixels between. With `axis=None` there is one class without
            an axis. With `activation=None` they are probabilities.
        targets: The class number of each pixel, shape (N, ...), integers; or a mask for each class in the shape of
            `logits`, booleans or numbers in [0, 1].
        valid: True for the pixels that take part, shape (N, ...).
        alpha: $\alpha$, the weight of false positives, at least 0.
        beta: $\beta$, the weight of false negatives, at least 0.
        gamma: The exponent $\gamma$, above 0. Below 1 the gradient is larger where the loss is small, and it is 0 where
            the loss is 0.
        activation: `"softmax"`, `"sigmoid"` for classes that may overlap, or None if `logits` are probabilities.
        overlap: The common part of $p$ and $t$ at a pixel: `"product"`, or `"minimum"`, which is 0 loss at $p = t$ for
            soft targets too.
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
        >>> print(f"{jaxloss.focal_tversky_loss(logits, jnp.array([[0, 1]])):.4f}")
        0.4829

    Source: Abraham & Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for Lesion Segmentation",
    2019, whose $\gamma$ is the inverse of this one. The paper sums over the classes.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=activation, ignore_index=ignore_index, pixel_axes=pixel_axes, axis=axis,
    )  # fmt: skip
    share = missed_share(overlap_sums(of, overlap), alpha, beta, smooth_nr, smooth_dr)
    losses = power(share, jnp.asarray(gamma, share.dtype))
    return reduce_regions(
        losses, of, reduction, where, sample_weight, weight=weight, include_background=include_background, absent=absent
    )


class FocalTverskyLoss(Loss, fn=focal_tversky_loss):
    """Option object of [`focal_tversky_loss`][jaxloss.focal_tversky_loss]."""

    alpha: Scalar = 0.3
    beta: Scalar = 0.7
    gamma: Scalar = 0.75
    activation: Activation | None = static("softmax")
    overlap: OverlapKind = static("product")
    smooth_nr: Scalar = 1e-5
    smooth_dr: Scalar = 1e-5
    weight: Real[ArrayLike, "classes"] | None = None
    include_background: bool = static(True)
    absent: Absent = static("keep")
    ignore_index: int = static(-100)
    pixel_axes: tuple[int, ...] | None = static(None)
    axis: int | None = static(-1)
    reduction: Reduction = static("mean")
