"""Losses of forecasts that are relative to the size of the numbers. They belong to the family of forecast.py."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from jaxloss._core.arguments import Number, filled, floats, mask, paired, same_shape
from jaxloss._core.autodiff import nan_unless
from jaxloss._core.domains import Domain, within
from jaxloss._core.elementwise import absolute, clamp_min, overflow_safe_mean, quotient, ratio
from jaxloss._core.objects import Loss
from jaxloss._core.program import program
from jaxloss._core.pytree import static
from jaxloss._core.reduction import reduce
from jaxloss._core.types import ArrayLike, Mask, Reduction, Scalar, Weight

ABOVE_MINUS_1 = Domain("at least -1", lambda x: x >= -1)


@program()
def msle_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Squared error of the logarithms of the numbers plus 1.

    $$ \ell = \left( \log(1 + x) - \log(1 + t) \right)^2 $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. A number below -1 makes its loss and gradient NaN. The loss is
        infinite if one of the two numbers is -1.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> loss = jaxloss.msle_loss(jnp.array([1.0, 3.0]), jnp.array([1.0, 7.0]))
        >>> print(f"{loss:.4f}")
        0.2402

    Source: `sklearn.metrics.mean_squared_log_error`.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    valid = within(ABOVE_MINUS_1, predictions=predictions) & within(ABOVE_MINUS_1, targets=targets)
    # The difference of two logarithms cancels where the numbers are close. The logarithm of their ratio does not.
    near = jnp.abs(predictions - targets) < 0.5 * (1 + targets)
    ratio = jnp.where(near, predictions - targets, 0.0) / jnp.where(near, 1 + targets, 1.0)
    far = jnp.log1p(jnp.where(near, 0.0, predictions)) - jnp.log1p(jnp.where(near, 0.0, targets))
    losses = nan_unless(valid, jnp.square(jnp.where(near, jnp.log1p(ratio), far)))
    return reduce(losses, reduction, where, sample_weight, dtype=dtype)


class MSLELoss(Loss, fn=msle_loss):
    """Option object of [`msle_loss`][jaxloss.msle_loss]."""

    reduction: Reduction = static("mean")


@program(eps=Number(above=0))
def mape_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    eps: Scalar = 1e-7,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Absolute error relative to the size of the target, as a fraction.

    $$ \ell = \frac{|x - t|}{\max(|t|, \epsilon)} $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        eps: The least size $\epsilon$ of a target, above 0, in the units of the targets.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The gradient at equality is 0. The loss of a target of 0 is the
        absolute error divided by `eps`.

    Raises:
        ValueError: The shapes differ, or `eps` is not above 0.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.mape_loss(jnp.array([1.0, 3.0]), jnp.array([2.0, 4.0])))
        0.375

    Source: `sklearn.metrics.mean_absolute_percentage_error`.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    size = clamp_min(absolute(targets), jnp.asarray(eps, predictions.dtype))
    return reduce(quotient(absolute(predictions - targets), size), reduction, where, sample_weight, dtype=dtype)


class MAPELoss(Loss, fn=mape_loss):
    """Option object of [`mape_loss`][jaxloss.mape_loss]."""

    eps: Scalar = 1e-7
    reduction: Reduction = static("mean")


@program()
def smape_loss(
    predictions: Float[ArrayLike, "*shape"],
    targets: Shaped[ArrayLike, "*shape"],
    *,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Absolute error relative to the mean size of prediction and target, from 0 to 2.

    $$ \ell = \frac{2 |x - t|}{|x| + |t|} $$

    Args:
        predictions: Predicted values $x$, any shape.
        targets: True values $t$, in the same shape and units.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the elements that take part. See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each element. See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses in the inputs' shape. The loss and its gradient are 0 where both numbers are 0.

    Raises:
        ValueError: The shapes differ.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> print(jaxloss.smape_loss(jnp.array([1.0, 3.0]), jnp.array([3.0, 3.0])))
        0.5

    Source: Makridakis, "Accuracy Measures: Theoretical and Practical Concerns", 1993.
    """
    predictions, targets, dtype = paired(predictions, targets, where)
    # Halves, because the sum of two large numbers overflows.
    error = absolute(predictions / 2 - targets / 2)
    size = absolute(predictions) / 2 + absolute(targets) / 2
    return reduce(2 * ratio(error, size), reduction, where, sample_weight, dtype=dtype)


class SMAPELoss(Loss, fn=smape_loss):
    """Option object of [`smape_loss`][jaxloss.smape_loss]."""

    reduction: Reduction = static("mean")


@program()
def mase_loss(
    predictions: Float[ArrayLike, "*batch horizon"],
    targets: Shaped[ArrayLike, "*batch horizon"],
    insample: Shaped[ArrayLike, "*batch past"],
    *,
    seasonality: int = 1,
    reduction: Reduction = "mean",
    where: Mask | None = None,
    sample_weight: Weight | None = None,
) -> Float[Array, "..."]:
    r"""Absolute error relative to the error of a naive forecast of the past.

    $$ \ell = \frac{|x - t|}{\frac{1}{T - m} \sum_{i > m} |y_i - y_{i - m}|} $$

    The naive forecast of a number is the number one season earlier. A mean below 1 is better than that forecast.

    Args:
        predictions: Predicted values $x$ of future steps, shape (N..., H).
        targets: True values $t$, in the same shape and units.
        insample: The past $y$ of each series, shape (N..., T), in the same units.
        seasonality: The number of steps $m$ in a season, from 1 to T - 1.
        reduction: `"mean"`, `"sum"` or `"none"`. See [`reduce`][jaxloss.reduce].
        where: True for the steps that take part, shape (N..., H). See [`reduce`][jaxloss.reduce].
        sample_weight: The weight of each step, shape (N..., H). See [`reduce`][jaxloss.reduce].

    Returns:
        A scalar, or the losses of shape (N..., H). A past without change makes the losses infinite, and 0 where the
        prediction is exact.

    Raises:
        ValueError: The shapes do not match, or the past is not longer than a season.
        TypeError: The predictions are not real and floating.

    Examples:
        >>> past = jnp.array([1.0, 2.0, 4.0, 5.0])
        >>> print(jaxloss.mase_loss(jnp.array([6.0, 7.0]), jnp.array([6.0, 9.0]), past))
        0.75

    Source: Hyndman and Koehler, "Another Look at Measures of Forecast Accuracy", 2006.
    """
    (predictions, targets, insample), dtype = floats(predictions=predictions, targets=targets, insample=insample)
    same_shape(predictions=predictions, targets=targets)
    batch, steps = predictions.shape[:-1], insample.shape[-1]
    if insample.shape[:-1] != batch:
        raise ValueError(
            f"`insample` has shape {insample.shape}, but `predictions` of shape {predictions.shape} have one past per "
            f"series: {(*batch, 'T')}."
        )
    if not 1 <= seasonality < steps:
        raise ValueError(f"`seasonality` is {seasonality}, but must be from 1 to {steps - 1} for {steps} past steps.")
    keep = mask(where, predictions.shape)
    past = insample if keep is None else filled(insample, jnp.any(jnp.broadcast_to(keep, predictions.shape), -1), 0.0)
    error = absolute(filled(predictions, keep, 0.0) - filled(targets, keep, 0.0))
    change = overflow_safe_mean(absolute(past[..., seasonality:] - past[..., :-seasonality]), -1)
    exact = (error == 0) & (change == 0)
    return reduce(quotient(error, jnp.where(exact, 1.0, change)), reduction, where, sample_weight, dtype=dtype)


class MASELoss(Loss, fn=mase_loss):
    """Option object of [`mase_loss`][jaxloss.mase_loss]."""

    seasonality: int = static(1)
    reduction: Reduction = static("mean")
