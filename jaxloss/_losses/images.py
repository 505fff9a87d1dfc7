"""Losses of images: the structure of a predicted image against the true one, and the smoothness of one image."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, mask, same_shape
from jaxloss._core.elementwise import absolute, clamp_min, one_minus_exp
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight

__all__ = [
    "MSSSIMLoss",
    "SSIMLoss",
    "TotalVariationLoss",
    "ms_ssim_loss",
    "ssim_loss",
    "total_variation_loss",
]

POSITIVE = Number(above=0)


@program(data_range=POSITIVE, window_sigma=POSITIVE, k1=POSITIVE, k2=POSITIVE)
def ssim_loss(
    predictions: Float[ArrayLike, "*shape height width channels"],
    targets: Shaped[ArrayLike, "*shape height width channels"],
    *,
    data_range: Scalar = 1.0,
    window_size: int = 11,
    window_sigma: Scalar = 1.5,
    k1: Scalar = 0.01,
    k2: Scalar = 0.03,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""One minus the structural similarity of two images, averaged over the windows and channels.

    $$ \ell = 1 - \operatorname{mean}
       \frac{(2 \mu_p \mu_t + c_1)(2 \sigma_{pt} + c_2)}{(\mu_p^2 + \mu_t^2 + c_1)(\sigma_p^2 + \sigma_t^2 + c_2)},
       \qquad c_i = (k_i L)^2 $$

    $\mu$, $\sigma^2$ and $\sigma_{pt}$ are means, variances and the covariance under a Gaussian window. The windows lie
    within the image.

    Args:
        predictions: Predicted images, shape (N..., H, W, C). An image without a channel axis needs one of size 1.
        targets: True images, in the same shape.
        data_range: $L$, the largest possible value minus the least one: 1 for images in [0, 1], 255 for those in
            [0, 255].
        window_size: The number of pixels along a side of the window.
        window_sigma: The standard deviation of the window in pixels.
        k1: $k_1$, above 0.
        k2: $k_2$, above 0.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the images that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each image. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in [0, 2]. Equal images have the loss 0.

    Raises:
        ValueError: The shapes differ, an image is smaller than the window, or an option is out of range.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> image = jnp.linspace(0, 1, 256).reshape(16, 16, 1)
        >>> print(f"{jaxloss.ssim_loss(1 - image, image):.4f}")
        1.8262

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    predictions, targets, dtype = _images(predictions, targets, where)
    _check_window(predictions, window_size, 1)
    window = _gaussian(window_size, window_sigma, predictions)
    found = _dissimilarity(predictions, targets, window, _constants(k1, k2, data_range, predictions))
    return reduce(jnp.mean(found.whole, -1), reduction, where, sample_weight, dtype=dtype)


class SSIMLoss(Loss, fn=ssim_loss):
    """Option object of [`ssim_loss`][jaxloss.ssim_loss]."""

    data_range: Scalar = 1.0
    window_size: int = static(11)
    window_sigma: Scalar = 1.5
    k1: Scalar = 0.01
    k2: Scalar = 0.03
    reduction: Reduction = static("mean")


@program(data_range=POSITIVE, window_sigma=POSITIVE, k1=POSITIVE, k2=POSITIVE)
def ms_ssim_loss(
    predictions: Float[ArrayLike, "*shape height width channels"],
    targets: Shaped[ArrayLike, "*shape height width channels"],
    *,
    data_range: Scalar = 1.0,
    window_size: int = 11,
    window_sigma: Scalar = 1.5,
    k1: Scalar = 0.01,
    k2: Scalar = 0.03,
    scale_weights: tuple[float, ...] = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333),
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""One minus the structural similarity of two images at several scales, averaged over the channels.

    $$ \ell = 1 - \operatorname{mean}_\text{channels}\;
       \max(s_M, 0)^{w_M} \prod_{j=1}^{M-1} \max(r_j, 0)^{w_j} $$

    $s_M$ is the similarity of [`ssim_loss`][jaxloss.ssim_loss] at the coarsest scale. $r_j$ is its second factor, of
    contrast and structure, at scale $j$. From one scale to the next, each 2 x 2 pixels are averaged. A last odd row or
    column is left out.

    Args:
        predictions: Predicted images, shape (N..., H, W, C). With the default options a side has at least 176 pixels.
        targets: True images, in the same shape.
        data_range: The largest possible value minus the least one. See [`ssim_loss`][jaxloss.ssim_loss].
        window_size: The number of pixels along a side of the window.
        window_sigma: The standard deviation of the window in pixels.
        k1: The constant $k_1$ of [`ssim_loss`][jaxloss.ssim_loss].
        k2: The constant $k_2$ of [`ssim_loss`][jaxloss.ssim_loss].
        scale_weights: The exponents $w_j$, from the finest to the coarsest scale, above 0. Their number is the number
            of scales.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the images that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each image. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...), in [0, 1]. A channel with a negative factor at any scale has the
        similarity 0, and its gradient is 0.

    Raises:
        ValueError: The shapes differ, an image is smaller than the window at the coarsest scale, or an option is out of
            range.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> image = jnp.linspace(0, 1, 1024).reshape(32, 32, 1)
        >>> print(f"{jaxloss.ms_ssim_loss(image / 2, image, scale_weights=(0.5, 0.5)):.4f}")
        0.2557

    Source: Wang et al., "Multi-scale Structural Similarity for Image Quality Assessment", 2003.
    """
    if not scale_weights or not all(weight > 0 for weight in scale_weights):
        raise ValueError(f"`scale_weights` is {scale_weights}, but must hold numbers above 0, one for each scale.")
    predictions, targets, dtype = _images(predictions, targets, where)
    _check_window(predictions, window_size, len(scale_weights))
    window = _gaussian(window_size, window_sigma, predictions)
    constants = _constants(k1, k2, data_range, predictions)
    parts: list[Values] = []
    for number in range(len(scale_weights)):
        found = _dissimilarity(predictions, targets, window, constants)
        parts.append(found.structure)
        if number < len(scale_weights) - 1:
            predictions, targets = _halved(predictions), _halved(targets)
        else:
            parts[-1] = found.whole
    losses = jnp.mean(_one_minus_product(parts, scale_weights), -1)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MSSSIMLoss(Loss, fn=ms_ssim_loss):
    """Option object of [`ms_ssim_loss`][jaxloss.ms_ssim_loss]."""

    data_range: Scalar = 1.0
    window_size: int = static(11)
    window_sigma: Scalar = 1.5
    k1: Scalar = 0.01
    k2: Scalar = 0.03
    scale_weights: tuple[float, ...] = static((0.0448, 0.2856, 0.3001, 0.2363, 0.1333))
    reduction: Reduction = static("mean")


@program()
def total_variation_loss(
    predictions: Float[ArrayLike, "*shape height width channels"],
    *,
    normalize: bool = False,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""The total variation of an image: the absolute differences of neighbouring pixels.

    $$ \ell = \sum_{i,j,c} |x_{i+1,j,c} - x_{i,j,c}| + \sum_{i,j,c} |x_{i,j+1,c} - x_{i,j,c}| $$

    Args:
        predictions: Images, shape (N..., H, W, C).
        normalize: Whether each of the two sums is a mean over its differences, which makes the loss independent of the
            image's size.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the images that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each image. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N...). The gradient of a difference of 0 is 0.

    Raises:
        ValueError: The images have fewer than three axes.
        TypeError: The images are not real and floating.

    Examples:
        >>> print(jaxloss.total_variation_loss(jnp.array([[0.0, 1.0], [0.0, 3.0]])[..., None]))  # 1 + 3 + 0 + 2
        6.0

    Source: Rudin et al., "Nonlinear Total Variation Based Noise Removal Algorithms", 1992, with the sum of absolute
    values of the two directions.
    """
    (predictions,), dtype = floats(predictions=predictions)
    images = filled(predictions, mask(where, _batch_shape(predictions)), 0.0)
    pixels, last = (-3, -2, -1), images.ndim - 1
    steps = [absolute(jnp.diff(images, axis=axis)) for axis in (last - 2, last - 1)]
    # An image of one row has no step along the columns, and its mean is 0.
    scales = [1 / max(1, step.shape[-3] * step.shape[-2] * step.shape[-1]) if normalize else 1 for step in steps]
    losses = sum((jnp.sum(step, pixels) * scale for step, scale in zip(steps, scales, strict=True)), start=0.0)
    return reduce(jnp.asarray(losses), reduction, where, sample_weight, dtype=dtype)


class TotalVariationLoss(Loss, fn=total_variation_loss):
    """Option object of [`total_variation_loss`][jaxloss.total_variation_loss]."""

    normalize: bool = static(False)
    reduction: Reduction = static("mean")


class _Dissimilarity(NamedTuple):
    """One minus a similarity, averaged over the windows: one number for each channel of each image."""

    whole: Values
    structure: Values
    """Of the second factor, the one of contrast and structure."""


def _dissimilarity(
    predictions: Values, targets: Values, window: Values, constants: tuple[Values, Values]
) -> _Dissimilarity:
    """One minus the structural similarity, without a subtraction from 1.

    With the luminance l and the structure r, 1 - l r = (1 - l) + l (1 - r). Here 1 - l is the squared difference of the
    means over its denominator, and 1 - r the variance of the difference of the images over its own. So equal images
    have the loss 0 to the last digit.
    """
    # The variances are differences of means of squares. They cancel less if the images are around 0.
    centre = lax.stop_gradient(jnp.mean(targets, (-3, -2), keepdims=True))
    p, t = predictions - centre, targets - centre
    error = p - t
    mean_p, mean_t, mean_error, *squares = _blurred((p, t, error, p * p, t * t, error * error), window)
    # Rounding makes the variance of a flat image negative by chance.
    variances = [
        clamp_min(square - mean * mean)
        for square, mean in zip(squares, (mean_p, mean_t, mean_error), strict=True)
    ]  # fmt: skip
    c1, c2 = constants
    structure = variances[2] / (variances[0] + variances[1] + c2)
    luminance = mean_error * mean_error / ((mean_p + centre) ** 2 + (mean_t + centre) ** 2 + c1)
    whole = luminance + (1 - luminance) * structure
    return _Dissimilarity(jnp.mean(whole, (-3, -2)), jnp.mean(structure, (-3, -2)))


def _one_minus_product(parts: list[Values], exponents: tuple[float, ...]) -> Values:
    """1 - prod max(1 - part, 0)**exponent. Its gradient is 0 where a part is 1 or more."""
    positive = jnp.stack([part < 1 for part in parts]).all(0)
    # Logarithms keep the digits of a product that is almost 1. A part of 1 is replaced before its logarithm.
    factors = zip(parts, exponents, strict=True)
    minus_logs = [-exponent * jnp.log1p(-jnp.where(positive, part, 0.0)) for part, exponent in factors]
    similar = one_minus_exp(sum(minus_logs[1:], start=minus_logs[0]))
    # A comparison with NaN is false. The sum passes the NaN of a part on.
    return jnp.where(positive, similar, 1.0 + 0.0 * sum(parts[1:], start=parts[0]))


def _blurred(maps: tuple[Values, ...], window: Values) -> tuple[Values, ...]:
    """The mean of each map under each window within the image."""
    stacked = jnp.stack(maps)
    height, width = stacked.shape[-3:-1]
    # Products with a banded matrix: XLA's convolution with a single channel is many times slower on CPUs. The highest
    # precision, because a variance is a small difference, which a product in bfloat16 or TF32 would lose.
    down = jnp.einsum("ih,...hwc->...iwc", _band(window, height), stacked, precision=lax.Precision.HIGHEST)
    across = jnp.einsum("jw,...iwc->...ijc", _band(window, width), down, precision=lax.Precision.HIGHEST)
    return tuple(across)


def _band(window: Values, size: int) -> Values:
    """The matrix whose row i holds the window from column i on."""
    shape = (size - window.size + 1, size)
    offset = lax.broadcasted_iota(jnp.int32, shape, 1) - lax.broadcasted_iota(jnp.int32, shape, 0)
    within_window = (offset >= 0) & (offset < window.size)
    return jnp.where(within_window, jnp.take(window, offset, mode="clip"), 0.0)


def _gaussian(size: int, sigma: Scalar, like: Values) -> Values:
    """A Gaussian window in one dimension, whose sum is 1."""
    distance = (jnp.arange(size, dtype=like.dtype) - (size - 1) / 2) / jnp.asarray(sigma, like.dtype)
    window = jnp.exp(-distance * distance / 2)
    return window / jnp.sum(window)


def _constants(k1: Scalar, k2: Scalar, data_range: Scalar, like: Values) -> tuple[Values, Values]:
    scale = jnp.asarray(data_range, like.dtype)
    return (jnp.asarray(k1, like.dtype) * scale) ** 2, (jnp.asarray(k2, like.dtype) * scale) ** 2


def _halved(images: Values) -> Values:
    """The mean of each 2 x 2 pixels."""
    *batch, height, width, channels = images.shape
    even = images[..., : height // 2 * 2, : width // 2 * 2, :]
    return jnp.mean(even.reshape(*batch, height // 2, 2, width // 2, 2, channels), (-4, -2))


def _images(
    predictions: Shaped[ArrayLike, "..."], targets: Shaped[ArrayLike, "..."], where: Mask | None
) -> tuple[Values, Values, jnp.dtype]:
    """Check two batches of images of one shape, and fill them where masked.

    Also return the dtype of the unreduced loss.
    """
    (predictions, targets), dtype = floats(predictions=predictions, targets=targets)
    same_shape(predictions=predictions, targets=targets)
    keep = mask(where, _batch_shape(predictions))
    return filled(predictions, keep, 0.0), filled(targets, keep, 0.0), dtype


def _batch_shape(images: Values) -> tuple[int, ...]:
    if images.ndim < 3:
        raise ValueError(
            f"`predictions` has shape {images.shape}, but images have the shape (..., height, width, channels)."
        )
    return images.shape[:-3]


def _check_window(images: Values, size: int, scales: int) -> None:
    if size < 1:
        raise ValueError(f"`window_size` is {size}, but must be at least 1.")
    if (least := min(images.shape[-3:-1]) >> (scales - 1)) < size:
        at = f" At the coarsest of {scales} scales its shorter side has {least} pixels." if scales > 1 else ""
        raise ValueError(
            f"`predictions` has shape {images.shape}, whose height and width must fit `window_size` {size}.{at}"
        )
