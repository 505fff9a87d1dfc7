"""Proper scores of probabilistic forecasts: the least expected score has the true distribution."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias, cast

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer, Shaped

from jaxloss._core.arguments import aligned, filled, floats, has_axis, has_shape, mask
from jaxloss._core.autodiff import Tangent, along, nan_unless
from jaxloss._core.domains import NOT_NEGATIVE, within
from jaxloss._core.elementwise import absolute
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Values, Weight
from jaxloss._ops.vectors import distance

__all__ = [
    "EnergyScoreLoss",
    "EnsembleCRPSLoss",
    "GaussianCRPSLoss",
    "energy_score_loss",
    "ensemble_crps_loss",
    "gaussian_crps_loss",
]

Estimator: TypeAlias = Literal["energy", "fair"]
Index: TypeAlias = Integer[Array, ""] | int


@program()
def gaussian_crps_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    scale: Float[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Continuous ranked probability score of normal distributions.

    $$ \ell = s \Bigl( z\, (2 \Phi(z) - 1) + 2 \varphi(z) - \frac{1}{\sqrt \pi} \Bigr), \qquad z = \frac{x - t}{s} $$

    It is the absolute error of a distribution: at a scale of 0 it is `l1_loss`.

    Args:
        predictions: Means $x$, any shape.
        targets: Observed numbers $t$, in the same shape and units.
        scale: Standard deviations $s$, at least 0, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape and units. A negative scale makes its loss and gradient NaN.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions or the scales are not real and floating.

    Examples:
        >>> print(f"{jaxloss.gaussian_crps_loss(jnp.array([0.0]), jnp.array([1.0]), jnp.array([1.0])):.4f}")
        0.6024

    Source: Gneiting et al., "Calibrated Probabilistic Forecasting Using Ensemble Model Output Statistics and Minimum
    CRPS Estimation", 2005.
    """
    (predictions, targets, scale), dtype = aligned(where, 1.0, predictions=predictions, targets=targets, scale=scale)
    scale = nan_unless(within(NOT_NEGATIVE, scale=scale), scale)
    return reduce(_gaussian_crps(predictions - targets, scale), reduction, where, sample_weight, dtype=dtype)


FARTHEST = 50.0
"""In float64 the normal distribution's tail is 0 beyond 39 deviations."""


def _deviations(error: Values, scale: Values) -> Values:
    """error / scale, at most `FARTHEST`. For a scale of 0 it is the limit, and 0 for an error of 0."""
    far = absolute(error) >= FARTHEST * scale
    return jnp.where(far, FARTHEST * jnp.sign(error), error / jnp.where(far, 1.0, scale))


def _error_slope(error: Values, scale: Values) -> Values:
    return lax.erf(_deviations(error, scale) / math.sqrt(2))


def _scale_slope(error: Values, scale: Values) -> Values:
    z = _deviations(error, scale)
    return (math.sqrt(2) * jnp.exp(-z * z / 2) - 1) / math.sqrt(math.pi)


@jax.custom_jvp
def _gaussian_crps(error: Values, scale: Values) -> Values:
    """The score is homogeneous, so that it is its slopes times its arguments. No product of 0 and infinity arises."""
    return error * _error_slope(error, scale) + scale * _scale_slope(error, scale)


@partial(_gaussian_crps.defjvp, symbolic_zeros=True)
def _gaussian_crps_jvp(primals: tuple[Values, Values], tangents: tuple[Tangent, Tangent]) -> tuple[Values, Values]:
    slopes = partial(_error_slope, *primals), partial(_scale_slope, *primals)
    return _gaussian_crps(*primals), along(tangents, *slopes)


class GaussianCRPSLoss(Loss, fn=gaussian_crps_loss):
    """Option object of [`gaussian_crps_loss`][jaxloss.gaussian_crps_loss]."""

    reduction: Reduction = static("mean")


@program()
def ensemble_crps_loss(
    predictions: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    *,
    estimator: Estimator = "energy",
    axis: int = -1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Continuous ranked probability score of ensembles: of M samples of each predicted distribution.

    $$ \ell = \frac1M \sum_i |x_i - t| - \frac{1}{2 M^2} \sum_{i, j} |x_i - x_j| $$

    Args:
        predictions: Members $x$, shape (..., M), or with the members along `axis`.
        targets: Observed numbers $t$, in the shape of the predictions without `axis`, and in their units.
        estimator: `"energy"` is the score of the ensemble itself as a distribution. `"fair"` divides the second sum by
            $2 M (M - 1)$: it estimates the score of the distribution that the members are drawn from without bias. A
            small ensemble that is trained with `"energy"` becomes too narrow.
        axis: The axis of the members.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the targets that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each target. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the targets' shape and units. The `"fair"` score may be negative. Sorting needs
        memory for M members only, not for their pairs.

    Raises:
        ValueError: The shapes do not fit, the estimator is unknown, or `"fair"` has fewer than two members.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> members = jnp.array([[0.0, 1.0, 3.0]])
        >>> print(f"{jaxloss.ensemble_crps_loss(members, jnp.array([2.0])):.4f}")
        0.6667

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", 2007; Ferro, "Fair Scores
    for Ensemble Forecasts", 2014.
    """
    (predictions, targets), dtype = floats(predictions=predictions, targets=targets)
    number = has_axis("predictions", predictions, axis)
    predictions = jnp.moveaxis(predictions, number, -1)
    has_shape(predictions.shape[:-1], f"that of `predictions` without axis {number}", targets=targets)
    size = predictions.shape[-1]
    pairs = _pairs(size, estimator)
    keep = mask(where, targets.shape)
    error = filled(predictions, keep, 0.0) - filled(targets, keep, 0.0)[..., None]
    # In sorted order, member k is the larger one of k pairs and the smaller one of size - 1 - k.
    ranks = (2 * lax.broadcasted_iota(error.dtype, error.shape, error.ndim - 1) + (1 - size)) / pairs
    losses = jnp.mean(absolute(error), axis=-1) - jnp.sum(jnp.sort(error, axis=-1) * ranks, axis=-1)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class EnsembleCRPSLoss(Loss, fn=ensemble_crps_loss):
    """Option object of [`ensemble_crps_loss`][jaxloss.ensemble_crps_loss]."""

    estimator: Estimator = static("energy")
    axis: int = static(-1)
    reduction: Reduction = static("mean")


@program()
def energy_score_loss(
    predictions: Float[ArrayLike, "*shape members size"],
    targets: Shaped[ArrayLike, "*shape size"],
    *,
    estimator: Estimator = "energy",
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Energy score of ensembles of vectors. It is the score `ensemble_crps_loss` in several dimensions.

    $$ \ell = \frac1M \sum_i \lVert x_i - t \rVert - \frac{1}{2 M^2} \sum_{i, j} \lVert x_i - x_j \rVert $$

    Args:
        predictions: Members $x$, shape (..., M, D).
        targets: Observed vectors $t$, shape (..., D), in the same units.
        estimator: `"energy"` or `"fair"`, as in `ensemble_crps_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the vectors that take part, shape (...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each vector. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in shape (...), in the units of the vectors. The gradient between members that coincide
        is 0. The memory of the pairs is that of one member with all others.

    Raises:
        ValueError: The shapes do not fit, the estimator is unknown, or `"fair"` has fewer than two members.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> members = jnp.array([[0.0, 0.0], [3.0, 4.0]])
        >>> print(f"{jaxloss.energy_score_loss(members, jnp.array([3.0, 0.0])):.4f}")
        2.2500

    Source: Gneiting and Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", 2007.
    """
    (predictions, targets), dtype = floats(predictions=predictions, targets=targets)
    if predictions.ndim < 2:
        raise ValueError(f"`predictions` has shape {predictions.shape}, but must have the axes (..., M, D).")
    has_axis("predictions", predictions)
    size = predictions.shape[has_axis("predictions", predictions, -2)]
    wanted = (*predictions.shape[:-2], predictions.shape[-1])
    has_shape(wanted, "that of `predictions` without the members", targets=targets)
    pairs = _pairs(size, estimator)
    keep = mask(where, targets.shape[:-1])
    error = filled(predictions, keep, 0.0) - filled(targets, keep, 0.0)[..., None, :]

    losses = jnp.mean(_lengths(error), axis=-1) - _spread(error) / (2 * pairs)
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class EnergyScoreLoss(Loss, fn=energy_score_loss):
    """Option object of [`energy_score_loss`][jaxloss.energy_score_loss]."""

    estimator: Estimator = static("energy")
    reduction: Reduction = static("mean")


def _pairs(size: int, estimator: Estimator) -> int:
    """The number that the sum over pairs is divided by."""
    if estimator not in ("energy", "fair"):
        raise ValueError(f"`estimator` is {estimator!r}, but must be 'energy' or 'fair'.")
    if estimator == "energy":
        return size * size
    if size < 2:
        raise ValueError("`estimator` 'fair' needs at least two members: use 'energy' for one.")
    return size * (size - 1)


def _spread(members: Values) -> Values:
    """The sum of the distances of all ordered pairs of members, the axis before the last."""
    size = members.shape[-2]

    def at_distance(places: Index) -> Values:
        """The sum over the pairs of each member with the one that many places on, in a circle."""
        return jnp.sum(_lengths(members - jnp.roll(members, places, -2)), axis=-1)

    def step(total: Values, places: Index) -> tuple[Values, None]:
        # The backward pass computes the differences again, and stores none of them. The loop keeps XLA from merging the
        # two computations, so that `prevent_cse` is off.
        each = cast(Callable[[Index], Values], jax.checkpoint(at_distance, prevent_cse=False))
        return total + 2 * each(places), None  # each pair is also one in the other direction

    start = jnp.sum(jnp.zeros_like(members), axis=(-2, -1))  # varies over the same mesh axes as the members
    total = lax.scan(step, start, jnp.arange(1, (size + 1) // 2))[0]
    return total + at_distance(size // 2) if size % 2 == 0 else total


def _lengths(vectors: Values) -> Values:
    """Euclidean lengths, with a gradient of 0 at 0."""
    return distance(vectors, jnp.zeros_like(vectors), jnp.zeros((), vectors.dtype), 2.0)
