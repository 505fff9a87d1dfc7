"""Losses of segmentation by the Lovász extension of the Jaccard loss, a sum over sorted errors."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxloss._core.arguments import filled
from jaxloss._core.elementwise import absolute, hinge
from jaxloss._core.integers import NO_INTEGER
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.types import ArrayLike, Mask, Reduction, Values, Weight
from jaxloss._ops.regions.overlap import Absent, Activation, Pixels, pixels, reduce_regions


@program()
def lovasz_hinge_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    pixel_axes: tuple[int, ...] | None = None,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Lovasz hinge loss: a convex bound of the Jaccard loss of one class.

    $$ \ell = \sum_i \max(e_{(i)}, 0)\, d_i, \qquad e = 1 - x s, \quad s = 2 t - 1 $$

    The errors $e$ of the pixels of an image are in descending order. $d_i$ is the increase of the Jaccard loss when the
    $i$-th pixel becomes wrong, after those before it.

    Args:
        logits: Scores $x$, shape (N, ...), with axes of pixels.
        targets: The true pixels $t$, booleans, 0 or 1, in the same shape.
        valid: True for the pixels that take part, in the same shape.
        pixel_axes: The axes of pixels. None is all but the first. Name the first one too to pool the batch.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the images that take part, shape (N,). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each image, shape (N,). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss for each image, shape (N,). An image without a valid pixel does not count. A target other
        than 0 and 1 makes the loss of its image NaN.

    Raises:
        ValueError: The shapes differ, or there is no axis of pixels.
        TypeError: The logits are not real and floating, or `valid` is not boolean.

    Examples:
        >>> print(jaxloss.lovasz_hinge_loss(jnp.array([[2.0, 0.5, -1.0]]), jnp.array([[1, 1, 0]])))
        0.25

    Source: Berman et al., "The Lovász-Softmax Loss", 2018.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=None, ignore_index=NO_INTEGER, pixel_axes=pixel_axes, axis=None, scores=True,
    )  # fmt: skip
    errors = filled(1 - of.predictions * (2 * of.truth - 1), of.keep, 0.0)
    return reduce_regions(_extension(errors, of), of, reduction, where, sample_weight)


class LovaszHingeLoss(Loss, fn=lovasz_hinge_loss):
    """Option object of [`lovasz_hinge_loss`][jaxloss.lovasz_hinge_loss]."""

    pixel_axes: tuple[int, ...] | None = static(None)
    reduction: Reduction = static("mean")


@program("weight", integers=("targets",))
def lovasz_softmax_loss(
    logits: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    valid: Mask | None = None,
    *,
    activation: Activation | None = "softmax",
    weight: Real[ArrayLike, "classes"] | None = None,
    include_background: bool = True,
    absent: Absent = "skip",
    ignore_index: int = -100,
    pixel_axes: tuple[int, ...] | None = None,
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Lovasz softmax loss: the Jaccard loss of each class, extended from right and wrong pixels to probabilities.

    $$ \ell = \sum_i e_{(i)}\, d_i, \qquad e = |t - p| $$

    The errors $e$ of the pixels of a region, one class of one image, are in descending order. $d_i$ is the increase of
    the Jaccard loss when the $i$-th pixel becomes wrong, after those before it. If all probabilities are 0 or 1, the
    loss is [`jaccard_loss`][jaxloss.jaccard_loss] without smoothing.

    Args:
        logits: Logits $x$, shape (N, ..., C), with axes of pixels between. With `activation=None` they are
            probabilities.
        targets: The class number of each pixel, shape (N, ...), integers.
        valid: True for the pixels that take part, shape (N, ...).
        activation: `"softmax"`, `"sigmoid"` for classes that may overlap, or None if `logits` are probabilities.
        weight: A factor for each class, shape (C,). It does not change the denominator of the mean.
        include_background: False leaves class 0 out.
        absent: The regions without a true pixel: `"keep"` counts their largest error, `"skip"` leaves them
            out of the mean, `"zero"` sets their loss to 0.
        ignore_index: Pixels with this class number do not take part.
        pixel_axes: The axes of pixels, numbered without the class axis. None is all but the first. Name the first one
            too to pool the batch.
        axis: The class axis of `logits`.
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
        >>> print(f"{jaxloss.lovasz_softmax_loss(logits, jnp.array([[0, 1]])):.4f}")
        0.4375

    Source: Berman et al., "The Lovász-Softmax Loss", 2018.
    """
    of = pixels(
        logits, targets, valid, where,
        activation=activation, ignore_index=ignore_index, pixel_axes=pixel_axes, axis=axis,
    )  # fmt: skip
    if of.good is None:
        raise ValueError(
            f"`targets` has the shape of `logits`, but must be class numbers: use `targets.argmax({axis})`."
        )
    losses = _extension(absolute(of.predictions - of.truth), of)
    return reduce_regions(
        losses, of, reduction, where, sample_weight, weight=weight, include_background=include_background, absent=absent
    )


class LovaszSoftmaxLoss(Loss, fn=lovasz_softmax_loss):
    """Option object of [`lovasz_softmax_loss`][jaxloss.lovasz_softmax_loss]."""

    activation: Activation | None = static("softmax")
    weight: Real[ArrayLike, "classes"] | None = None
    include_background: bool = static(True)
    absent: Absent = static("skip")
    ignore_index: int = static(-100)
    pixel_axes: tuple[int, ...] | None = static(None)
    axis: int = static(-1)
    reduction: Reduction = static("mean")


def _extension(errors: Values, of: Pixels) -> Values:
    """The sum of the errors of each region in descending order, each times the increase of the Jaccard loss.

    A masked pixel has the error 0 and is not true. It changes the order behind it alone, where errors add nothing.
    """
    negated, truth = lax.sort((-of.layout.rows(errors), of.layout.rows(of.truth > 0.5)), num_keys=1)
    return jnp.sum(hinge(-negated) * _slopes(truth, errors), -1)


def _slopes(truth: Bool[Array, "... pixels"], like: Values) -> Values:
    """The increase of the Jaccard loss when a pixel becomes wrong, after those before it.

    They are the gradient. The differences of the Jaccard losses of consecutive pixels would lose most of their digits.
    """
    count = jnp.sum(truth, -1, keepdims=True, dtype=jnp.int32)
    seen = jnp.cumsum(truth, -1, dtype=jnp.int32)
    position = lax.broadcasted_iota(jnp.int32, truth.shape, truth.ndim - 1) + 1
    # As floating numbers, because the product of two sizes of a large image overflows an integer.
    intersection, union = (count - seen).astype(like.dtype), (count + position - seen).astype(like.dtype)
    before = union - 1
    # Without a true pixel the first pixel alone makes the whole loss.
    false = jnp.where(before == 0, 1.0, intersection / (union * jnp.where(before == 0, 1.0, before)))
    return jnp.where(truth, 1 / union, false)
