"""Losses of forecasts: quantiles, expectiles, and errors relative to the size of the target."""

from typing import TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, has_axis, mask, paired, same_shape
from jaxloss._core.elementwise import absolute, ratio
from jaxloss._core.extended_range import power_of_2_over
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.sequences import step_mask
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Values, Weight
from jaxloss._losses.forecast_relative import (
    MAPELoss,
    MASELoss,
    MSLELoss,
    SMAPELoss,
    mape_loss,
    mase_loss,
    msle_loss,
    smape_loss,
)

__all__ = [
    "ConcordanceLoss",
    "ExpectileLoss",
    "MAPELoss",
    "MASELoss",
    "MSLELoss",
    "QuantileLoss",
    "SMAPELoss",
    "concordance_loss",
    "expectile_loss",
    "mape_loss",
    "mase_loss",
    "msle_loss",
    "quantile_loss",
    "smape_loss",
]

Quantiles: TypeAlias = Scalar | Float[ArrayLike, "quantiles"]


@program(quantile=Number(above=0, below=1, axes=1))
def quantile_loss(
    predictions: Float[ArrayLike, "..."],
    targets: Shaped[ArrayLike, "..."],
    *,
    quantile: Quantiles = 0.5,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Quantile loss, also named pinball loss: its minimum is a quantile of the targets.

    $$ \ell = \max(q\,(t - x),\ (q - 1)(t - x)) $$

    Several quantiles at once take predictions with an axis more than the targets.

    Args:
        predictions: Predicted values $x$, shape (N...), or (N..., Q) for Q quantiles.
        targets: True values $t$, shape (N...), in the same units.
        quantile: The quantile $q$ between 0 and 1, or several, shape (Q,). The quantile 0.5 gives half of `l1_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part, in the shape of the predictions. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element, in the shape of the predictions. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the predictions' shape and units. The gradient at equality is 0. A number outside
        (0, 1) in an array of quantiles makes the losses of that quantile NaN.

    Raises:
        ValueError: The shapes do not match, or a Python number is not between 0 and 1.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> predictions, targets = jnp.array([1.0, 4.0]), jnp.array([3.0, 3.0])
        >>> print(jaxloss.quantile_loss(predictions, targets, quantile=0.75))
        0.875
        >>> several = jnp.array([[1.0, 2.0, 4.0]])
        >>> print(jaxloss.quantile_loss(several, jnp.array([3.0]), quantile=[0.25, 0.5, 0.75], reduction="none"))
        [[0.5  0.5  0.25]]

    Source: Koenker and Bassett, "Regression Quantiles", 1978.
    """
    (predictions, targets), dtype = floats(predictions=predictions, targets=targets)
    quantile = jnp.asarray(quantile, predictions.dtype)
    if quantile.ndim == 1:
        wanted = (*targets.shape, quantile.size)
        if predictions.shape != wanted:
            raise ValueError(
                f"`predictions` has shape {predictions.shape}, but {quantile.size} quantiles of `targets` of shape "
                f"{targets.shape} have shape {wanted}."
            )
        targets = jnp.broadcast_to(targets[..., None], wanted)
    same_shape(predictions=predictions, targets=targets)
    keep = mask(where, predictions.shape)
    error = filled(targets, keep, 0.0) - filled(predictions, keep, 0.0)
    return reduce(_side(error, quantile) * absolute(error), reduction, where, sample_weight, dtype=dtype)


class QuantileLoss(Loss, fn=quantile_loss):
    """Option object of [`quantile_loss`][jaxloss.quantile_loss]."""

    quantile: Quantiles = 0.5
    reduction: Reduction = static("mean")


@program(expectile=Number(above=0, below=1))
def expectile_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    expectile: Scalar = 0.5,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Expectile loss: squared error that weighs the two signs of the error differently.

    $$ \ell = \left| q - [t < x] \right| (t - x)^2 $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        expectile: The expectile $q$ between 0 and 1. The expectile 0.5 gives half of `mse_loss`.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape, in the square of their units.

    Raises:
        ValueError: The shapes differ, or `expectile` is not between 0 and 1.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> predictions, targets = jnp.array([1.0, 4.0]), jnp.array([3.0, 3.0])
        >>> print(jaxloss.expectile_loss(predictions, targets, expectile=0.75))
        1.625

    Source: Newey and Powell, "Asymmetric Least Squares Estimation and Testing", 1987.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    expectile = jnp.asarray(expectile, predictions.dtype)
    error = targets - predictions
    return reduce(_side(error, expectile) * error * error, reduction, where, sample_weight, dtype=dtype)


class ExpectileLoss(Loss, fn=expectile_loss):
    """Option object of [`expectile_loss`][jaxloss.expectile_loss]."""

    expectile: Scalar = 0.5
    reduction: Reduction = static("mean")


def _side(error: Values, share: Values) -> Values:
    """The weight of an error: `share` above the prediction, and the rest of 1 below it."""
    return jnp.where(error < 0, 1 - share, share)


@program()
def concordance_loss(
    predictions: Float[ArrayLike, "*batch steps"],
    targets: Shaped[ArrayLike, "*batch steps"],
    valid: Bool[ArrayLike, "*batch steps"] | None = None,
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""One minus Lin's concordance correlation coefficient of two series, from 0 to 2.

    $$ \ell = 1 - \frac{2 \operatorname{cov}(x, t)}{\operatorname{var} x + \operatorname{var} t + (\bar x - \bar t)^2}
       = \frac{\overline{(x - t)^2}}{\operatorname{var} x + \operatorname{var} t + (\bar x - \bar t)^2} $$

    The variances divide by the number of steps. Unlike a correlation, the coefficient is 1 only for equal series.

    Args:
        predictions: Predicted series $x$, shape (N..., T).
        targets: True series $t$, in the same shape and units.
        valid: True for the steps of a series that take part, shape (N..., T). None stands for all.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the series that take part, shape (N...). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each series, shape (N...). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or one loss per series, shape (N...). It is 0 for equal series, constant ones too. A series without a
        valid step has the loss 0 and is left out of the mean.

    Raises:
        ValueError: The shapes do not match, or a series has no steps.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.concordance_loss(jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 3.0, 4.0]))
        >>> print(f"{loss:.4f}")
        0.4286

    Source: Lin, "A Concordance Correlation Coefficient to Evaluate Reproducibility", 1989.
    """
    (predictions, targets), dtype = floats(predictions=predictions, targets=targets)
    same_shape(predictions=predictions, targets=targets)
    has_axis("predictions", predictions)
    keep = step_mask(valid, where, predictions.shape)
    predictions, targets = filled(predictions, keep, 0.0), filled(targets, keep, 0.0)
    # The loss does not depend on the units. In units near its numbers no square of a series overflows.
    unit = power_of_2_over(jnp.max(jnp.maximum(jnp.abs(predictions), jnp.abs(targets)), -1, keepdims=True))
    predictions, targets = predictions * unit, targets * unit
    used = filled(jnp.ones_like(predictions), keep, 0.0)
    number = jnp.sum(used, -1)

    def mean(values: Values) -> Values:
        return jnp.sum(used * values, -1) / jnp.maximum(number, 1)

    def variance(series: Values) -> Values:
        deviation = series - mean(series)[..., None]
        # The mean of the deviations is the rounding error of the mean.
        return mean(jnp.square(deviation)) - jnp.square(mean(deviation))

    # Not one minus a ratio, which would cancel the digits of a small loss. The same holds for a difference of means.
    error = predictions - targets
    scale = variance(predictions) + variance(targets) + jnp.square(mean(error))
    losses = ratio(mean(jnp.square(error)), scale)
    return reduce(losses, reduction, where, sample_weight, count=jnp.minimum(number, 1), dtype=dtype)


class ConcordanceLoss(Loss, fn=concordance_loss):
    """Option object of [`concordance_loss`][jaxloss.concordance_loss]."""

    reduction: Reduction = static("mean")
